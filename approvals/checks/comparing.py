"""Checks on metrics: against a number, and against the champion."""

import math
from datetime import date

from approvals import comparison
from approvals.checks.kinds import Evidence, Field, Kind, Settings, number


def _bounds(settings: Settings) -> list[str]:
    least, most = settings["at_least"], settings["at_most"]
    if least is None and most is None:
        return ["Say at least or at most how much."]
    if least is not None and most is not None and least > most:
        return ["The least is more than the most."]
    return []


def _threshold(settings: Settings, evidence: Evidence, _: date) -> tuple[str, str]:
    name, least, most = settings["metric"], settings["at_least"], settings["at_most"]
    value = number(evidence["version"]["metrics"].get(name))
    if value is None:
        return "fail", f"There is no metric {name}."
    if not math.isfinite(value):
        return "fail", f"{name} is {_shown(value)}, which is not a number to hold against anything."
    if least is not None and value < least:
        return "fail", f"{name} is {_shown(value)}; at least {_shown(least)} is asked."
    if most is not None and value > most:
        return "fail", f"{name} is {_shown(value)}; at most {_shown(most)} is allowed."
    return "pass", f"{name} is {_shown(value)}."


def _regression(settings: Settings, evidence: Evidence, _: date) -> tuple[str, str]:
    """Worse by more than the margin fails. Challenger and champion are both finite, or it says why it cannot judge."""
    name, margin = settings["metric"], settings["margin"]
    champion = evidence.get("champion")
    if champion is None:
        return "pass", "Nothing holds the target, so there is nothing to compare with."
    before, after = number(champion["metrics"].get(name)), number(evidence["version"]["metrics"].get(name))
    if before is None:
        return "pass", f"The champion, version {champion['number']}, has no metric {name}."
    if not math.isfinite(before):
        return "warn", f"The champion's {name} is {_shown(before)}, so it cannot be compared."
    if after is None:
        return "fail", f"There is no metric {name}; the champion has {_shown(before)}."
    if not math.isfinite(after):
        return "fail", f"{name} is {_shown(after)}; the champion has {_shown(before)}."
    upward = {"higher": True, "lower": False}.get(settings["direction"], comparison.higher_is_better(name))
    if upward is None:
        return "fail", f"Whether more of {name} is better is not known. State its direction in the policy."
    worse = before - after if upward else after - before
    allowed = margin * abs(before) if settings["margin_is"] == "relative" else margin
    versus = f"{name} is {_shown(after)}, the champion has {_shown(before)}"
    words = f"{margin:.3g} of it" if settings["margin_is"] == "relative" else f"{margin:g}"
    if worse > allowed and not math.isclose(worse, allowed, rel_tol=1e-9):
        return "fail", f"{versus}: worse by {_shown(worse)}, and {words} is allowed."
    return "pass", f"{versus}."


def _shown(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinity"
    return f"{value:.6g}"


_DIRECTIONS = (("auto", "By its name"), ("higher", "Higher is better"), ("lower", "Lower is better"))

KINDS = (
    Kind(
        key="metric_threshold",
        label="Metric threshold",
        description="A metric is at least, or at most, so much.",
        fields=(
            Field("metric", "Metric", "text", required=True),
            Field("at_least", "At least", "number"),
            Field("at_most", "At most", "number"),
        ),
        judge=_threshold,
        named=lambda settings: str(settings["metric"]),
        also=_bounds,
    ),
    Kind(
        key="metric_regression",
        label="No worse than the champion",
        description="A metric is not worse than the champion's by more than a margin.",
        fields=(
            Field("metric", "Metric", "text", required=True),
            Field("margin", "Margin", "number", default=0.0, least=0),
            Field(
                "margin_is",
                "The margin is",
                "choice",
                default="absolute",
                choices=(("absolute", "An amount"), ("relative", "A share of the champion's value")),
            ),
            Field("direction", "Direction", "choice", default="auto", choices=_DIRECTIONS),
        ),
        judge=_regression,
        named=lambda settings: str(settings["metric"]),
    ),
)
