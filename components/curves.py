"""Metrics with steps as server-made SVG: challenger and champion in one picture, told apart by dashes, marks and names
rather than by colour. Pure.

Lines stand in a box of 1,000 × 1,000 that is stretched over the chart; marks, names and numbers are placed in per cent
of it, so that they keep their shape at any width.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from components import charts

LEFT, RIGHT = 6.0, 97.0
TOP, BOTTOM = 10.0, 84.0
"""Per cent of the chart that the points use."""

MOST_POINTS = 400
MARKS = 6
TABLE_ROWS = 40

Raw = Sequence[Sequence[Any]]
"""[[step, "0.25"], …], by step."""


@dataclass(frozen=True, slots=True)
class Mark:
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    lines: Sequence[str]
    """Points of polylines in the stretched box, one for each unbroken piece."""

    marks: Sequence[Mark]
    end: Mark
    label_dy: int
    """Pixels by which the name stands below the last point."""

    total: int
    drawn: int
    gaps: int
    """Values that are not finite numbers."""


@dataclass(frozen=True, slots=True)
class Tick:
    value: float
    place: float


@dataclass(frozen=True, slots=True)
class Row:
    step: int
    challenger: str
    champion: str


@dataclass(frozen=True, slots=True)
class Curve:
    metric: str
    challenger: Series | None
    champion: Series | None
    grid: Sequence[Tick]
    steps: Sequence[Tick]
    summary: str
    notes: Sequence[str]
    rows: Sequence[Row]
    total_rows: int

    @property
    def series(self) -> list[tuple[str, Series]]:
        """(css name, series) of those that have points; the champion first, so that the challenger lies above."""
        both = (("champion", self.champion), ("challenger", self.challenger))
        return [(name, series) for name, series in both if series]


Point = tuple[int, float]


def curve(metric: str, challenger: Raw, champion: Raw, *, names: tuple[str, str]) -> Curve | None:
    """One metric of two versions over its steps; either may be empty. `names` are what the lines are called. None where
    no value of either can be drawn."""
    mine, theirs = _points(challenger), _points(champion)
    finite = [value for _, value in (*mine, *theirs) if charts.is_finite(value)]
    if not finite:
        return None
    scale = charts.ticks(finite)
    steps = [step for step, value in (*mine, *theirs) if charts.is_finite(value)]
    box = _Box(min(steps), max(steps), scale[0], scale[-1])
    above = _stands_above(mine, theirs)
    first = _series(names[0], mine, box, label_dy=-9 if above else 17, offset=0)
    second = _series(names[1], theirs, box, label_dy=17 if above else -9, offset=1)
    rows = _rows(mine, theirs)
    return Curve(
        metric=metric,
        challenger=first,
        champion=second,
        grid=[Tick(value, box.y(value)) for value in scale],
        steps=[Tick(step, box.x(step)) for step in sorted({box.first, box.last})],
        summary=" ".join(_summary(metric, points, each) for points, each in ((mine, first), (theirs, second)) if each),
        notes=[
            *(note for each in (first, second) if each for note in _notes(each)),
            *(
                f"{_capital(name)} has no such curve."
                for name, each in zip(names, (first, second), strict=True)
                if name and not each
            ),
        ],
        rows=_thinned(rows, TABLE_ROWS),
        total_rows=len(rows),
    )


@dataclass(frozen=True, slots=True)
class _Box:
    first: int
    last: int
    low: float
    high: float

    def x(self, step: int) -> float:
        """Per cent of the width; in the middle where there is one step only."""
        share = (step - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return round(LEFT + share * (RIGHT - LEFT), 2)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(BOTTOM - share * (BOTTOM - TOP), 2)


def _points(raw: Raw) -> list[Point]:
    return sorted(((int(each[0]), _number(each[1])) for each in raw), key=lambda point: point[0])


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _series(name: str, points: Sequence[Point], box: _Box, *, label_dy: int, offset: int) -> Series | None:
    pieces = _pieces(points)
    drawn = [point for piece in pieces for point in piece]
    if not drawn:
        return None
    share = MOST_POINTS / len(drawn)
    kept = [_downsampled(piece, max(2, int(len(piece) * share))) if share < 1 else piece for piece in pieces]
    lines = [" ".join(f"{box.x(step) * 10:.1f},{box.y(value) * 10:.1f}" for step, value in piece) for piece in kept]
    last = drawn[-1]
    return Series(
        name=name,
        lines=[line for piece, line in zip(kept, lines, strict=True) if len(piece) > 1][:MOST_POINTS],
        marks=[Mark(box.x(step), box.y(value)) for step, value in _marked(kept, offset)],
        end=Mark(box.x(last[0]), box.y(last[1])),
        label_dy=label_dy,
        total=len(points),
        drawn=sum(len(piece) for piece in kept),
        gaps=len(points) - len(drawn),
    )


def _pieces(points: Sequence[Point]) -> list[list[Point]]:
    """Runs of finite values; what is not finite breaks the line."""
    found: list[list[Point]] = [[]]
    for point in points:
        if charts.is_finite(point[1]):
            found[-1].append(point)
        elif found[-1]:
            found.append([])
    return [piece for piece in found if piece]


def _downsampled(piece: Sequence[Point], most: int) -> list[Point]:
    """The first, the last, and of each bucket between them the lowest and the highest: peaks stay."""
    if len(piece) <= most:
        return list(piece)
    inner = piece[1:-1]
    buckets = max(1, (most - 2) // 2)
    size = math.ceil(len(inner) / buckets)
    kept = [piece[0]]
    for start in range(0, len(inner), size):
        bucket = inner[start : start + size]
        low, high = min(bucket, key=lambda point: point[1]), max(bucket, key=lambda point: point[1])
        kept += sorted({low, high})
    return [*kept, piece[-1]]


def _marked(pieces: Sequence[Sequence[Point]], offset: int) -> list[Point]:
    """A few points evenly along the line, and each that stands alone and would not be seen without."""
    along = [point for piece in pieces for point in piece]
    every = max(1, len(along) // MARKS)
    alone = [piece[0] for piece in pieces if len(piece) == 1][:MOST_POINTS]
    return sorted({*along[offset * every // 2 :: every], *alone, along[-1]})


def _stands_above(mine: Sequence[Point], theirs: Sequence[Point]) -> bool:
    """Whether the challenger's last value is not below the champion's: its name goes above the line, else below."""
    ends = [[value for _, value in points if charts.is_finite(value)] for points in (mine, theirs)]
    return not ends[0] or not ends[1] or ends[0][-1] >= ends[1][-1]


def _summary(metric: str, points: Sequence[Point], series: Series) -> str:
    finite = [point for point in points if charts.is_finite(point[1])]
    (first, start), (last, end) = finite[0], finite[-1]
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    return (
        f"{metric} of {series.name} goes from {start:.4g} at step {first} to {end:.4g} at step {last}, "
        f"between {low:.4g} and {high:.4g}."
    )


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _notes(series: Series) -> Iterable[str]:
    name = _capital(series.name)
    if series.gaps:
        values = "value is" if series.gaps == 1 else "values are"
        yield f"{name}: {series.gaps:,} of {series.total:,} {values} not a finite number, seen as gaps."
    if series.drawn < series.total - series.gaps:
        yield f"{name}: {series.drawn:,} of {series.total:,} points are drawn; lowest and highest ones stay."


def _rows(mine: Sequence[Point], theirs: Sequence[Point]) -> list[Row]:
    first, second = dict(mine), dict(theirs)
    return [Row(step, _said(first.get(step)), _said(second.get(step))) for step in sorted({*first, *second})]


def _said(value: float | None) -> str:
    if value is None:
        return ""
    if math.isnan(value):
        return "NaN"
    if not charts.is_finite(value):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{value:.6g}"


def _thinned(rows: Sequence[Row], most: int) -> list[Row]:
    """Evenly taken, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    return [rows[place * (len(rows) - 1) // (most - 1)] for place in range(most)]


# --- A metric over the versions, as small as a word -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spark:
    """Positions in a box of 96 × 24."""

    line: str
    challenger: Mark | None
    champion: Mark | None
    summary: str


SPARK_WIDTH, SPARK_HEIGHT = 96, 24


def spark(values: Sequence[tuple[int, Any]], *, challenger: int, champion: int | None) -> Spark | None:
    """`values` are (version number, value), by number; None with fewer than two finite ones."""
    finite = [(number, float(value)) for number, value in values if charts.is_finite(value)]
    if len(finite) < 2:
        return None
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    places = {}
    for place, (number, value) in enumerate(finite):
        x = 4 + (SPARK_WIDTH - 8) * place / (len(finite) - 1)
        share = (value - low) / (high - low) if high - low > abs(high) * 1e-12 else 0.5
        places[number] = Mark(round(x, 1), round(SPARK_HEIGHT - 4 - share * (SPARK_HEIGHT - 8), 1))
    return Spark(
        line=" ".join(f"{mark.x},{mark.y}" for mark in places.values()),
        challenger=places.get(challenger),
        champion=places.get(champion) if champion is not None else None,
        summary=f"From {finite[0][1]:.4g} in version {finite[0][0]} to {finite[-1][1]:.4g} in version {finite[-1][0]}; "
        f"lowest {low:.4g}, highest {high:.4g}.",
    )
