"""One large chart of a metric, over the versions or over the steps: the SVG of `charts` or `curves`, which is what
people without script see, and what the script in `plot.js` draws from. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components import charts, curves
from components.templatetags.values import number as written

DIGITS = 7
"""Significant digits that the script gets; the table and the CSV have all of them."""


@dataclass(frozen=True, slots=True)
class Band:
    """Between these values a difference is noise."""

    low: float
    high: float
    words: str
    """`Tolerance 0.5 % around version 6`."""


@dataclass(frozen=True, slots=True)
class Plot:
    metric: str
    chart: charts.MetricChart | None
    """Over the versions, or"""

    curve: curves.Curve | None
    """over the steps."""

    band: Band | None

    @property
    def over(self) -> str:
        return "version" if self.chart else "step"

    @property
    def summary(self) -> str:
        return self.chart.summary if self.chart else self.curve.summary if self.curve else ""

    @property
    def axis(self) -> str:
        """Where the vertical axis starts, when that is not zero; "" when it is."""
        grid = self.chart.grid if self.chart else self.curve.grid if self.curve else ()
        low, high = (grid[0].value, grid[-1].value) if grid else (0, 0)
        return "" if low <= 0 <= high else f"The axis starts at {written(low)}, not at zero."

    @property
    def data(self) -> str:
        """JSON for the script: each series with its own places and values, null for a gap; marks; the band."""
        told: dict[str, Any] = {"metric": self.metric, "over": self.over, "series": [], "marks": []}
        if self.chart:
            points = self.chart.points
            told["series"] = [
                _series(self.metric, 1, [point.number for point in points], [point.value for point in points])
            ]
            told["marks"] = [{"x": mark.number, "name": mark.names} for mark in self.chart.marks]
        elif self.curve:
            told["series"] = [
                _series(
                    each.name.capitalize(), each.place, [step for step, _ in points], [value for _, value in points]
                )
                for each, points in zip(self.curve.series, self.curve.points, strict=True)
            ]
        if self.band:
            told["band"] = {"low": self.band.low, "high": self.band.high, "name": self.band.words}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))

    def rows(self) -> list[list[Any]]:
        """The same as a table with all digits: place and the value of each series, None where it has none."""
        if self.chart:
            return [[point.number, point.value] for point in self.chart.points]
        if not self.curve:
            return []
        found = [dict(points) for points in self.curve.points]
        return [[step, *(each.get(step) for each in found)] for step in self.curve.all_steps]


def of_versions(
    metric: str,
    values: Iterable[tuple[int, Any]],
    marked: Mapping[int, Sequence[str]],
    *,
    band: Band | None = None,
    verb: str = "holds",
) -> Plot | None:
    """See `charts.metric_chart`; None when fewer than two versions have a finite value."""
    chart = charts.metric_chart(metric, values, marked, verb=verb)
    return Plot(metric, chart, None, band) if chart else None


def of_steps(curve: curves.Curve, *, band: Band | None = None) -> Plot:
    return Plot(curve.metric, None, curve, band)


def _series(name: str, place: int, x: Sequence[int], y: Sequence[float]) -> dict[str, Any]:
    values = [float(f"{value:.{DIGITS}g}") if charts.is_finite(value) else None for value in y]
    return {"name": name, "place": place, "x": x, "y": values}
