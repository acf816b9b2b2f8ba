"""Metrics with steps as server-made SVG: up to four versions in one picture, told apart by dashes and marks rather than
by colour. Pure.

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
    place: int
    """Its column in the comparison; dash, mark and colour follow from it."""

    lines: Sequence[str]
    """Points of polylines in the stretched box, one for each unbroken piece."""

    marks: Sequence[Mark]
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
    values: Sequence[str]
    """One for each series, "" where it has none at this step."""


@dataclass(frozen=True, slots=True)
class Curve:
    metric: str
    series: Sequence[Series]
    """Those that have points; the baseline first, so that the others lie above."""

    grid: Sequence[Tick]
    steps: Sequence[Tick]
    summary: str
    notes: Sequence[str]
    points: Sequence[Sequence["Point"]]
    """Of each series its points as they were logged, not thinned."""

    def rows(self, most: int = TABLE_ROWS) -> list[Row]:
        """The same as a table, thinned evenly to at most so many steps."""
        return [
            Row(step, [_said(found.get(step)) for found in map(dict, self.points)])
            for step in _thinned(self.all_steps, most)
        ]

    @property
    def all_steps(self) -> list[int]:
        return sorted({step for points in self.points for step, _ in points})


Point = tuple[int, float]


def curve(metric: str, given: Sequence[tuple[str, Raw]], *, start: int = 0) -> Curve | None:
    """One metric of some versions over its steps. `given` are what each line is called and its values, which may be
    none; `start` is the place of the first. None where nothing can be drawn."""
    points = [_points(raw) for _, raw in given]
    finite = [point for each in points for point in each if charts.is_finite(point[1])]
    if not finite:
        return None
    scale = charts.ticks([value for _, value in finite])
    steps = [step for step, _ in finite]
    box = _Box(min(steps), max(steps), scale[0], scale[-1])
    made = [_series(name, start + n, points[n], box) for n, (name, _) in enumerate(given)]
    drawn = [each for each in made if each]
    return Curve(
        metric=metric,
        series=drawn,
        grid=[Tick(value, box.y(value)) for value in scale],
        steps=[Tick(step, box.x(step)) for step in sorted({box.first, box.last})],
        summary=" ".join(_summary(metric, points[each.place - start], each) for each in drawn),
        notes=[
            *(note for each in drawn for note in _notes(each)),
            *(f"{_capital(name)} has no such curve." for (name, _), each in zip(given, made, strict=True) if not each),
        ],
        points=[points[each.place - start] for each in drawn],
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


def _series(name: str, place: int, points: Sequence[Point], box: _Box) -> Series | None:
    pieces = _pieces(points)
    drawn = [point for piece in pieces for point in piece]
    if not drawn:
        return None
    share = MOST_POINTS / len(drawn)
    kept = [_downsampled(piece, max(2, int(len(piece) * share))) if share < 1 else piece for piece in pieces]
    lines = [" ".join(f"{box.x(step) * 10:.1f},{box.y(value) * 10:.1f}" for step, value in piece) for piece in kept]
    return Series(
        name=name,
        place=place,
        lines=[line for piece, line in zip(kept, lines, strict=True) if len(piece) > 1][:MOST_POINTS],
        marks=[Mark(box.x(step), box.y(value)) for step, value in _marked(kept, place)],
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
    return sorted({*along[offset * every // 4 :: every], *alone, along[-1]})


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


def _said(value: float | None) -> str:
    if value is None:
        return ""
    if math.isnan(value):
        return "NaN"
    if not charts.is_finite(value):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{value:.6g}"


def _thinned(steps: Sequence[int], most: int) -> list[int]:
    """Evenly taken, with the first and the last."""
    if len(steps) <= most:
        return list(steps)
    return [steps[place * (len(steps) - 1) // (most - 1)] for place in range(most)]


# --- A metric over the versions, as small as a word -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SparkMark:
    place: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Spark:
    """Positions in a box of 96 × 24."""

    line: str
    marks: Sequence[SparkMark]
    """The versions that are compared, by their column."""

    summary: str


SPARK_WIDTH, SPARK_HEIGHT = 96, 24


def spark(values: Sequence[tuple[int, Any]], *, marked: Sequence[tuple[int, int]]) -> Spark | None:
    """`values` are (version number, value), by number; `marked` are place and number of the versions that are compared.
    None with fewer than two finite values."""
    finite = [(number, float(value)) for number, value in values if charts.is_finite(value)]
    if len(finite) < 2:
        return None
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    places = {}
    for place, (number, value) in enumerate(finite):
        x = 4 + (SPARK_WIDTH - 8) * place / (len(finite) - 1)
        share = (value - low) / (high - low) if high - low > abs(high) * 1e-12 else 0.5
        places[number] = (round(x, 1), round(SPARK_HEIGHT - 4 - share * (SPARK_HEIGHT - 8), 1))
    return Spark(
        line=" ".join(f"{x},{y}" for x, y in places.values()),
        marks=[SparkMark(place, *places[number]) for place, number in marked if number in places],
        summary=f"From {finite[0][1]:.4g} in version {finite[0][0]} to {finite[-1][1]:.4g} in version {finite[-1][0]}; "
        f"lowest {low:.4g}, highest {high:.4g}.",
    )
