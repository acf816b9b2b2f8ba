"""The large chart of a comparison: one metric on request, over the versions or over the steps. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow
from approvals.evidence.comparison.judging import finite
from approvals.views.comparison_sides import Side
from components import curves, plots
from components.plots import Band, Plot

VERSIONS, STEPS = OVER = ("versions", "steps")


@dataclass(frozen=True, slots=True)
class Chosen:
    metric: str
    over: str
    names: Sequence[str]
    """What can be drawn, of either kind, in the order of the tables."""

    plot: Plot | None
    """None where the metric has nothing to draw."""

    is_other_way: bool
    """It can be drawn the other way only, so that is what is shown."""


def choose(
    sides: Sequence[Side],
    history: Sequence[tuple[int, Mapping[str, Any]]],
    pairs: Sequence[Sequence[MetricRow]],
    names: Sequence[str],
    *,
    metric: str,
    over: str,
) -> Chosen | None:
    """`history` are (number, metrics) of the versions; `names` all metrics. Without a `metric` it is the one of record.
    None where there are none."""
    record = comparison.of_record([row for rows in pairs for row in rows])
    first = record.name if record else next(iter(names), "")
    metric = metric if metric in names else first
    if not metric:
        return None
    band = band_of(next((row for rows in pairs for row in rows if row.name == metric), None), sides)
    made = {
        VERSIONS: plots.of_versions(
            metric, [(number, metrics.get(metric)) for number, metrics in history], _marked(sides), band=band, verb="is"
        ),
        STEPS: plots.of_steps(curve, band=band) if (curve := curve_of(metric, sides)) else None,
    }
    wanted = over if over in OVER else VERSIONS
    shown = wanted if made[wanted] else next((way for way in OVER if made[way]), wanted)
    return Chosen(metric, shown, names, made[shown], is_other_way=bool(over) and shown != wanted)


def curve_of(metric: str, sides: Sequence[Side]) -> curves.Curve | None:
    given = [(f"version {side.number}", side.curves.get(metric) or ()) for side in sides]
    return curves.curve(metric, given, start=sides[0].place)


def band_of(row: MetricRow | None, sides: Sequence[Side]) -> Band | None:
    """What is noise around the baseline's value, where a metric of record says so."""
    before = finite(row.champion) if row else None
    if row is None or before is None or not row.allowed:
        return None
    words = f"Tolerance {row.tolerance} around version {sides[0].number}"
    return Band(before - row.allowed, before + row.allowed, words)


def _marked(sides: Sequence[Side]) -> dict[int, list[str]]:
    return {side.number: [side.role.lower() or ("compared" if side.place else "baseline")] for side in sides}
