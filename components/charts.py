"""Server-made SVG charts: positions are percentages, so that a chart fits any width without script or inline style."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

LEFT, RIGHT = 8.0, 96.0
TOP, BOTTOM = 18.0, 84.0
"""Per cent of the box that the points use; above are the names of the targets, below the version numbers."""

MOST_LABELS = 12
TREND_WIDTH, TREND_HEIGHT = 84, 22
"""Pixels of the small line beside a number."""


@dataclass(frozen=True, slots=True)
class Point:
    number: int
    value: float
    x: float
    y: float
    is_labelled: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """A version that holds targets: a dashed line with their names above it."""

    number: int
    names: str
    value: float
    x: float
    y: float
    anchor: str
    label_y: float
    line_y: float


@dataclass(frozen=True, slots=True)
class Line:
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Grid:
    value: float
    y: float


@dataclass(frozen=True, slots=True)
class MetricChart:
    metric: str
    points: Sequence[Point]
    lines: Sequence[Line]
    marks: Sequence[Mark]
    grid: Sequence[Grid]
    summary: str
    """What the picture says, for people who do not see it."""

    unplotted: Sequence[int]
    """Versions whose value is not a finite number."""


def metric_chart(
    metric: str, values: Iterable[tuple[int, Any]], held: Mapping[int, Sequence[str]], *, verb: str = "holds"
) -> MetricChart | None:
    """One metric over the versions. `values` are (version number, value or None); `held` names the targets that a
    version holds, or what else it is, with `verb`. None when fewer than two versions have a finite value: one point is
    not a picture."""
    ordered = sorted((number, value) for number, value in values if value is not None)
    finite = [(number, float(value)) for number, value in ordered if is_finite(value)]
    if len(finite) < 2:
        return None
    scale = ticks([value for _, value in finite])
    points = _points(finite, low=scale[0], high=scale[-1], held=held)
    return MetricChart(
        metric=metric,
        points=points,
        lines=[Line(a.x, a.y, b.x, b.y) for a, b in pairwise(points)],
        marks=_marks(points, held),
        grid=[Grid(tick, _height(tick, scale[0], scale[-1])) for tick in scale],
        summary=_summary(metric, points, held, verb),
        unplotted=[number for number, value in ordered if not is_finite(value)],
    )


def is_finite(value: Any) -> bool:
    """NaN and the infinities are strings in the mirror. What is beyond drawing (1e300) counts as infinite too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _points(
    finite: Sequence[tuple[int, float]], *, low: float, high: float, held: Mapping[int, Sequence[str]]
) -> list[Point]:
    last = len(finite) - 1
    every = math.ceil(len(finite) / MOST_LABELS)
    step = (RIGHT - LEFT) / last
    # Counted from the newest, so that the newest always has its number.
    return [
        Point(
            number,
            value,
            round(LEFT + step * place, 3),
            _height(value, low, high),
            is_labelled=(last - place) % every == 0 or (number in held and every == 1),
        )
        for place, (number, value) in enumerate(finite)
    ]


def _marks(points: Sequence[Point], held: Mapping[int, Sequence[str]]) -> list[Mark]:
    """Names go on two lines by turns, so that those of neighbours do not meet."""
    marks: list[Mark] = []
    for point in points:
        if names := held.get(point.number):
            anchor = "start" if point.x < 20 else "end" if point.x > 80 else "middle"
            label_y = 5.5 if len(marks) % 2 == 0 else 12.5
            marks.append(
                Mark(point.number, ", ".join(names), point.value, point.x, point.y, anchor, label_y, label_y + 2)
            )
    return marks


def _height(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low)
    return round(BOTTOM - share * (BOTTOM - TOP), 3)


def ticks(values: Sequence[float]) -> list[float]:
    """Two to five round numbers that enclose the values; the axis need not begin at zero."""
    low, high = min(values), max(values)
    # Differences beyond the precision of a float are none.
    if high - low <= max(abs(low), abs(high), 1e-290) * 1e-12:
        room = abs(low) / 10 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * n for n in range(first, last + 1)]


def _summary(metric: str, points: Sequence[Point], held: Mapping[int, Sequence[str]], verb: str) -> str:
    first, last = points[0], points[-1]
    parts = [f"{metric} from {first.value:.4g} in version {first.number} to {last.value:.4g} in version {last.number}."]
    parts += [
        f"Version {point.number} {verb} {' and '.join(held[point.number])} with {point.value:.4g}."
        for point in points
        if held.get(point.number)
    ]
    return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Trend:
    """Counts over time as a small line, the newest with a dot."""

    line: str
    """Points of a polyline within TREND_WIDTH by TREND_HEIGHT."""

    x: float
    y: float


def trend(counts: Sequence[int]) -> Trend | None:
    """From zero up to the largest count. None where there is nothing but zeros, or one count alone."""
    if len(counts) < 2 or not any(counts):
        return None
    room, step = TREND_HEIGHT - 4, (TREND_WIDTH - 4) / (len(counts) - 1)
    points = [(2 + step * place, 2 + room - room * count / max(counts)) for place, count in enumerate(counts)]
    return Trend(" ".join(f"{x:.1f},{y:.1f}" for x, y in points), round(points[-1][0], 1), round(points[-1][1], 1))
