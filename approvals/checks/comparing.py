"""Checks on metrics: against a number, and against the champion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from approvals.checks.kinds import Evidence, Field, Kind, Settings, number
from approvals.evidence import comparison
from approvals.evidence.comparison import remarks
from approvals.evidence.comparison.judging import finite
from approvals.policy.metrics import MetricRule, from_json
from mirror import measures


def _bounds(settings: Settings) -> list[str]:
    least, most = settings["at_least"], settings["at_most"]
    if least is None and most is None:
        return ["Say at least or at most how much."]
    if least is not None and most is not None and least > most:
        return ["The least is more than the most."]
    return []


@dataclass(frozen=True, slots=True)
class _Measured:
    """One metric of one version, on one data set."""

    words: str
    """`accuracy`, or `accuracy on validation`."""

    value: float | None
    dataset: str = ""
    digest: str = ""
    problem: str = ""
    """Why it is not one value, as a sentence."""

    others: Sequence[str] = ()
    """The data sets that the metric was measured on instead."""


def _measured(settings: Settings, facts: Mapping[str, Any]) -> _Measured:
    """The metric on the data set that the policy names. Without one: what was logged for no data set, or for the only
    one. Of several, which is meant cannot be known."""
    metric, wanted = settings["metric"], settings.get("dataset") or ""
    of_sets = {name: each for name, each in (facts.get("measured_on") or {}).items() if each["key"] == metric}
    plain = number(facts["metrics"].get(metric))
    words = f"{metric} on {wanted}" if wanted else metric
    fitting = [name for name, each in of_sets.items() if wanted in ("", each["dataset"], each["digest"])]
    if not wanted and metric in facts["metrics"]:
        return _Measured(words, plain)
    sets = [each["dataset"] or each["digest"] for each in of_sets.values()]
    if len(fitting) > 1:
        twins = f"{len(fitting)} data sets called {wanted or sets[0]}" if len({*sets}) == 1 or wanted else ""
        problem = f"{metric} was measured on {twins or remarks.listed(sets)}. "
        advice = "Give each data set a name of its own." if twins else "Name the data set in the policy."
        return _Measured(words, None, problem=problem + advice)
    if not fitting:
        return _Measured(words, None, others=sets or (["no data set"] if metric in facts["metrics"] else []))
    (name,) = fitting
    one = of_sets[name]
    dataset = one["dataset"] or one["digest"]
    return _Measured(f"{metric} on {dataset}", number(facts["metrics"].get(name)), dataset, one["digest"])


def _missing(found: _Measured) -> str:
    if found.others:
        return f"There is no metric {found.words}; it was measured on {remarks.listed(found.others)}"
    return f"There is no metric {found.words}"


def _threshold(settings: Settings, evidence: Evidence, _: date) -> tuple[str, str]:
    least, most = settings["at_least"], settings["at_most"]
    found = _measured(settings, evidence["version"])
    name, value = found.words, found.value
    if found.problem:
        return "fail", found.problem
    if value is None:
        return "fail", f"{_missing(found)}."
    if not math.isfinite(value):
        return "fail", f"{name} is {_shown(value)}, which is not a number to hold against anything."
    if least is not None and value < least:
        return "fail", f"{name} is {_shown(value)}; at least {_shown(least)} is asked."
    if most is not None and value > most:
        return "fail", f"{name} is {_shown(value)}; at most {_shown(most)} is allowed."
    return "pass", f"{name} is {_shown(value)}."


def _regression(settings: Settings, evidence: Evidence, _: date) -> tuple[str, str]:
    """Fails where it is worse by more than the margin and more than the tolerance of the metric of record: noise
    blocks nothing. Challenger and champion are both finite and measured on the same data set, or it says why it
    cannot judge."""
    champion = evidence.get("champion")
    if champion is None:
        return "pass", "Nothing holds the target, so there is nothing to compare with."
    mine, theirs = _measured(settings, evidence["version"]), _measured(settings, champion)
    name, after, before = mine.words, mine.value, theirs.value
    if mine.problem:
        return "fail", mine.problem
    if theirs.problem:
        return "warn", f"Of the champion, {theirs.problem}"
    if before is None and not theirs.others:
        return "pass", f"The champion, version {champion['number']}, has no metric {theirs.words}."
    if before is None:
        return (
            "warn",
            f"The champion's {settings['metric']} was measured on {remarks.listed(theirs.others)}, "
            "so it cannot be compared.",
        )
    if not math.isfinite(before):
        return "warn", f"The champion's {theirs.words} is {_shown(before)}, so it cannot be compared."
    if after is None:
        return "fail", f"{_missing(mine)}; the champion has {_shown(before)}."
    if mine.dataset != theirs.dataset:
        where = [each.dataset or "no data set" for each in (mine, theirs)]
        return "fail", (
            f"{settings['metric']} was measured on {where[0]}, and the champion's on {where[1]}. "
            "Name the data set in the policy."
        )
    if not math.isfinite(after):
        return "fail", f"{name} is {_shown(after)}; the champion has {_shown(before)}."
    outcome, versus = _worse(settings, _rule_of_record(settings["metric"], mine.dataset, evidence), name, after, before)
    if outcome == "pass" and mine.digest and theirs.digest and mine.digest != theirs.digest:
        return "warn", f"{versus}, but {mine.dataset} has other data now: digest {mine.digest}, not {theirs.digest}."
    return outcome, f"{versus}."


def _worse(settings: Settings, record: MetricRule, name: str, after: float, before: float) -> tuple[str, str]:
    """Of two finite numbers: `fail` or `pass`, and a sentence without its full stop."""
    upward = {"higher": True, "lower": False}.get(settings["direction"], record.upward)
    if upward is None:
        upward = comparison.higher_is_better(settings["metric"])
    if upward is None:
        return "fail", f"Whether more of {name} is better is not known. State its direction in the policy"
    margin, is_relative = settings["margin"], settings["margin_is"] == "relative"
    allowed, words = (margin * abs(before), f"{margin:.3g} of it") if is_relative else (margin, f"{margin:g}")
    if (tolerance := record.allowed(before)) > allowed:
        allowed, words = tolerance, f"{record.tolerance} of tolerance"
    versus = f"{name} is {_shown(after)}, the champion has {_shown(before)}"
    match comparison.judge(after, before, upward=upward, allowed=allowed):
        case comparison.Judgement.WORSE:
            return "fail", f"{versus}: worse by {_shown(abs(before - after))}, and {words} is allowed"
        case comparison.Judgement.WITHIN if tolerance and allowed == tolerance:
            return "pass", f"{versus}: within the tolerance of {record.tolerance}"
        case _:
            return "pass", versus


def _rule_of_record(metric: str, dataset: str, evidence: Evidence) -> MetricRule:
    """What the request's rule says of the metric on this data set; one without tolerance where it says nothing."""
    metrics = from_json(evidence.get("rule", {}).get("metrics", ()))
    found, _ = comparison.rule_of(f"{metric}{measures.AT}{dataset}" if dataset else metric, metrics)
    return found or MetricRule(metric)


def _of_record(_: Settings, evidence: Evidence, __: date) -> tuple[str, str]:
    """Fails where a metric of record is worse beyond its tolerance, or has no number any more, or never had one."""
    rules = [each for each in from_json(evidence.get("rule", {}).get("metrics", ())) if not each.is_pattern]
    champion = evidence.get("champion")
    if not rules:
        return "fail", "Neither the policy nor the model names a metric of record."
    rows = comparison.metric_rows(
        {name: number(value) for name, value in evidence["version"]["metrics"].items()},
        {name: number(value) for name, value in champion["metrics"].items()} if champion else None,
        sources=evidence["version"].get("measured_on"),
        champion_sources=champion.get("measured_on") if champion else None,
        rules=rules,
    )
    kept = [row for row in comparison.by_weight(rows) if row.place is not None]
    missing = [rule.name for place, rule in enumerate(rules) if all(row.place != place for row in kept)]
    found = [_worse_of_record(row) for row in kept if row.judgement == comparison.Judgement.WORSE]
    found += [f"{row.name} is not a number" for row in kept if finite(row.challenger) is None]
    found += [f"{name} is missing" for name in missing]
    if found:
        return "fail", f"{'; '.join(found)}."
    if champion is None:
        return "pass", "Nothing holds the target, so there is nothing to compare with."
    return "pass", f"Of the metrics of record: {comparison.tally(kept) or 'nothing to compare'}."


def _worse_of_record(row: comparison.MetricRow) -> str:
    tolerance = f", tolerance {row.tolerance}" if row.tolerance else ""
    return f"{row.name} is worse by {_shown(abs(row.difference or 0.0))}{tolerance}"


def _shown(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinity"
    return f"{value:.6g}"


_DIRECTIONS = (("auto", "By its name"), ("higher", "Higher is better"), ("lower", "Lower is better"))

_DATASET = Field(
    "dataset",
    "Data set",
    "text",
    is_later=True,
    help="Its name in MLflow, where the metric was logged for a data set. Needed where there are several.",
)


def _named(settings: Settings) -> str:
    dataset = settings.get("dataset")
    return f"{settings['metric']} on {dataset}" if dataset else str(settings["metric"])


KINDS = (
    Kind(
        key="metric_threshold",
        label="Metric threshold",
        description="A metric is at least, or at most, so much.",
        fields=(
            Field("metric", "Metric", "text", required=True),
            _DATASET,
            Field("at_least", "At least", "number"),
            Field("at_most", "At most", "number"),
        ),
        judge=_threshold,
        named=_named,
        also=_bounds,
    ),
    Kind(
        key="metric_regression",
        label="No worse than the champion",
        description="A metric is not worse than the champion's by more than a margin and its tolerance.",
        fields=(
            Field("metric", "Metric", "text", required=True),
            _DATASET,
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
        named=_named,
    ),
    Kind(
        key="metrics_of_record",
        label="No metric of record is worse",
        description="None is worse than the champion's beyond its tolerance, and each has a number.",
        fields=(),
        judge=_of_record,
    ),
)
