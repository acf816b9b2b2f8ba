"""The picture of tenures: a lane per target (or per model and target), a bar per version. Server-made SVG: times are
percentages of the width and heights are pixels, so that it fits any width without script or inline style."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from approvals import tenures
from approvals.models import Tenure
from approvals.tenures import labels

TONES = 6
ROW, BAR, LANE_HEAD, LANE_GAP, AXIS = 24, 20, 20, 8, 22
"""Pixels: a row of bars, a bar in it, the name above a lane, the room under it, the dates at the foot."""

HATCHED = ("before", "outside", "imported")
"""The looks that have a pattern of that name."""

MOST_ROWS = 4
"""Versions drawn one under another where several hold a stage at once; the table has all of them."""

WIDE, WIDER = 15.0, 30.0
"""Per cent of the width from which on a bar carries "Version 7", and the place too where it holds one alone."""


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    width: float
    y: int
    number: int
    text: str
    is_centred: bool
    tone: int
    look: str
    title: str
    url: str
    is_open: bool
    """It runs still, at the right edge."""

    unsure_x: float
    unsure_width: float
    """In this stretch it may have begun already; no width where that is known."""


@dataclass(frozen=True, slots=True)
class Lane:
    name: str
    y: int
    bars: Sequence[Bar]
    hidden: int
    """Bars for which there is no row."""

    @property
    def words(self) -> str:
        if not self.bars:
            return f"{self.name}: nothing"
        return f"{self.name} ({self.hidden} more in the table)" if self.hidden else self.name


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    words: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Picture:
    lanes: Sequence[Lane]
    ticks: Sequence[Tick]
    height: int
    since: datetime
    until: datetime
    marker: float | None
    looks: Sequence[tuple[str, str]]
    """(look, words) of those in the picture, for its legend."""

    summary: str
    """What the picture says, for people who do not see it."""

    hatched: Sequence[str] = HATCHED

    @property
    def axis_y(self) -> int:
        return self.height - AXIS

    @property
    def label_y(self) -> int:
        return self.height - 6


def picture(
    lanes: Mapping[str, Sequence[Tenure]],
    *,
    since: datetime,
    until: datetime,
    urls: Mapping[int, str],
    marker: datetime | None = None,
) -> Picture:
    """`lanes` are names and their tenures in any order, drawn from top to bottom, the empty ones too; `urls` by primary
    key of a tenure say where a bar leads. What lies outside of `since` to `until` is cut off."""
    scale = _Scale(since, max(until, since + timedelta(minutes=1)))
    drawn: list[Lane] = []
    y, looks = 0, set()
    for name, held in lanes.items():
        tones = {number: place % TONES for place, number in enumerate(sorted({each.version_number for each in held}))}
        rows, hidden = _rows(_alike(held))
        bars = [
            _bar(scale, group, y + LANE_HEAD + row * ROW, tones[group[0].version_number], urls.get(group[0].pk, ""))
            for row, groups in enumerate(rows)
            for group in groups
        ]
        looks |= {bar.look for bar in bars}
        drawn.append(Lane(name, y + LANE_HEAD - 6, bars, hidden))
        y += LANE_HEAD + max(len(rows), 1) * ROW + LANE_GAP
    return Picture(
        lanes=drawn,
        ticks=_ticks(scale),
        height=y + AXIS,
        since=scale.since,
        until=scale.until,
        marker=None if marker is None else scale.x(marker),
        looks=[(look, words) for look, words in labels.LOOKS.items() if look in looks],
        summary=_summary(lanes),
    )


class _Scale:
    def __init__(self, since: datetime, until: datetime) -> None:
        self.since, self.until = since, until

    def x(self, at: datetime) -> float:
        share = (at - self.since) / (self.until - self.since)
        return round(min(max(share, 0.0), 1.0) * 100, 3)


def _alike(found: Iterable[Tenure]) -> list[list[Tenure]]:
    """Places that one version held at the same time, for the same reason, are one bar. Oldest first."""

    def key(each: Tenure) -> tuple[object, ...]:
        return (each.started_at, each.version_number, each.origin, each.request_id or 0, str(each.ended_at))

    ordered = sorted(found, key=lambda each: (*key(each), each.is_alias))
    return [list(group) for _, group in groupby(ordered, key=key)]


def _rows(groups: Sequence[list[Tenure]]) -> tuple[list[list[list[Tenure]]], int]:
    """Bars that overlap in time go under each other; each into the first row that is free by then."""
    rows: list[list[list[Tenure]]] = []
    free: list[datetime | None] = []
    hidden = 0
    for group in groups:
        first = group[0]
        for row, until in enumerate(free):
            if until is not None and until <= first.started_at:
                rows[row].append(group)
                free[row] = first.ended_at
                break
        else:
            if len(rows) == MOST_ROWS:
                hidden += 1
            else:
                rows.append([group])
                free.append(first.ended_at)
    return rows, hidden


def _bar(scale: _Scale, group: Sequence[Tenure], y: int, tone: int, url: str) -> Bar:
    first = group[0]
    x = scale.x(first.started_at)
    end = scale.x(first.ended_at or scale.until)
    width = max(round(end - x, 3), 0.35)
    unsure = scale.x(first.started_after) if first.started_after else x
    return Bar(
        x=min(x, 100 - width),
        width=width,
        y=y,
        number=first.version_number,
        text=_text(group, width),
        is_centred=width < WIDE,
        tone=tone,
        look=labels.look(first),
        title=_title(group),
        url=url,
        is_open=first.ended_at is None,
        unsure_x=unsure,
        unsure_width=round(x - unsure, 3),
    )


def _text(group: Sequence[Tenure], width: float) -> str:
    """As much as fits on a phone, where one per cent is three and a half pixels."""
    number = str(group[0].version_number)
    if width >= WIDER and len(group) < len(tenures.places_of(group[0].target)):
        return f"Version {number} · {group[0].place}"
    return f"Version {number}" if width >= WIDE else number if width >= 0.5 + 1.9 * len(number) else ""


def _title(group: Sequence[Tenure]) -> str:
    first = group[0]
    until = f"until {labels.moment(first.ended_at)}" if first.ended_at else "until now"
    places = " and ".join(each.place for each in group)
    request = f" Request #{first.request_id}." if first.request_id else ""
    return (
        f"Version {first.version_number} in {places} from {labels.moment(first.started_at)} {until}. "
        f"{labels.sentence(first)}{request}"
    )


def _summary(lanes: Mapping[str, Sequence[Tenure]]) -> str:
    parts = []
    for name, found in lanes.items():
        groups = _alike(found)
        held = [str(group[0].version_number) for group in groups]
        now = sorted({group[0].version_number for group in groups if group[0].ended_at is None}, reverse=True)
        some = held[-8:]
        words = f"{name}: " + ("nothing" if not held else f"versions {', '.join(some)}" if len(some) > 1 else held[0])
        words += " (the newest of them)" if len(held) > len(some) else ""
        parts.append(words + (f"; now {', '.join(map(str, now))}." if now else "."))
    return " ".join(parts)


# --- Dates at the foot ------------------------------------------------------------------------------------------------

_STEPS = [
    *(timedelta(minutes=n) for n in (1, 5, 15, 30)),
    *(timedelta(hours=n) for n in (1, 3, 6, 12)),
    *(timedelta(days=n) for n in (1, 2, 5, 10)),
]
_MONTHS = (1, 3, 6, 12, 24, 60)


def _ticks(scale: _Scale) -> list[Tick]:
    """At most five round moments inside the span: minutes, hours, days, or first days of months."""
    length = scale.until - scale.since
    step = next((each for each in _STEPS if length / each <= 5), None)
    if step is not None:
        day = scale.since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        at = day + ((scale.since - day) // step + 1) * step
        words = "%d %b" if step >= timedelta(days=1) else "%d %b %H:%M" if length > timedelta(hours=12) else "%H:%M"
        moments = []
        while at < scale.until:
            moments.append((at, f"{at:{words}}".removeprefix("0" if words.startswith("%d") else "")))
            at += step
    else:
        months = next((each for each in _MONTHS if length / timedelta(days=30.5 * each) <= 5), 120)
        moments = [(at, f"{at:%b %Y}") for at in _firsts(scale, months)]
    return [_tick(scale, at, words) for at, words in moments]


def _firsts(scale: _Scale, months: int) -> list[datetime]:
    """First days of every so many months within the span."""
    since = scale.since.astimezone(UTC)
    count = -(-(since.year * 12 + since.month) // months) * months
    found = []
    while count < 9999 * 12 and (at := datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)) < scale.until:
        if at > scale.since:
            found.append(at)
        count += months
    return found


def _tick(scale: _Scale, at: datetime, words: str) -> Tick:
    x = scale.x(at)
    return Tick(x, words, "start" if x < 7 else "end" if x > 93 else "middle")
