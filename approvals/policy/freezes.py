"""Freeze windows: until when approved changes are held, and when the next freeze begins. Pure: the caller gives the
windows that concern a model and a target, and the time.

An hour that a clock skips or repeats (daylight saving) belongs to the freeze rather than not: of two readings of a
local time, a freeze begins at the earlier one and ends at the later one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEK = timedelta(days=7)
HORIZON = timedelta(days=3 * 366)
"""Freezes that follow each other for longer than this are as good as endless."""

LONGEST_ONCE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Once:
    starts_at: datetime
    """Aware, as is the end; the end itself is free."""

    ends_at: datetime

    def spans(self, _around: datetime) -> Iterator[tuple[datetime, datetime]]:
        yield self.starts_at.astimezone(UTC), self.ends_at.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Weekly:
    """From a weekday and time until a weekday and time, on the clocks of a place. `from_day` 0 is Monday."""

    from_day: int
    from_time: time
    until_day: int
    until_time: time
    time_zone: str

    def spans(self, around: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The spans, in UTC, that begin in the weeks before, of and after `around`."""
        zone = ZoneInfo(self.time_zone)
        local = around.astimezone(zone)
        monday = local.date() - timedelta(days=local.weekday())
        for weeks in (-1, 0, 1):
            first = datetime.combine(monday + weeks * WEEK + timedelta(days=self.from_day), self.from_time)
            last = datetime.combine(first.date() + timedelta(days=self._days), self.until_time)
            yield min(_readings(first, zone)), max(_readings(last, zone))

    @property
    def _days(self) -> int:
        days = (self.until_day - self.from_day) % 7
        return 7 if days == 0 and self.until_time <= self.from_time else days


@dataclass(frozen=True, slots=True)
class Window:
    name: str
    when: Once | Weekly
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Freeze:
    """`window` holds from `since` until `until`; where others follow without a gap, until the last one ends."""

    window: Window
    since: datetime
    until: datetime


def frozen_until(windows: Iterable[Window], now: datetime) -> Freeze | None:
    """The freeze that is on, or None. Windows that overlap or touch count as one; the one that is named is on now, and
    of several the one that ends last."""
    known, at = list(windows), now.astimezone(UTC)
    first: tuple[datetime, datetime, Window] | None = None
    while at - now < HORIZON:
        on = [(start, end, each) for each in known for start, end in each.when.spans(at) if start <= at < end]
        if not on:
            break
        last = max(on, key=lambda span: (span[1], span[2].name))
        first = first or last
        at = last[1]
    return Freeze(first[2], first[0], at) if first else None


def next_freeze(windows: Iterable[Window], now: datetime, *, within: timedelta) -> Freeze | None:
    """The first freeze that begins after `now` and no later than `within` (at most a week) from it."""
    now = now.astimezone(UTC)
    coming = [
        (start, each) for each in windows for start, _ in each.when.spans(now) if now < start <= now + min(within, WEEK)
    ]
    if not coming:
        return None
    start, window = min(coming, key=lambda span: (span[0], span[1].name))
    joined = frozen_until([window], start)
    return Freeze(window, start, joined.until) if joined else None


def is_endless(windows: Iterable[Window], now: datetime) -> bool:
    """Whether these windows leave no moment in which anything could be delivered."""
    found = frozen_until(windows, now)
    return found is not None and found.until - now.astimezone(UTC) >= HORIZON


def problems_of(when: Once | Weekly) -> list[str]:
    """Sentences that say what makes no sense in a window; [] when all is well."""
    if isinstance(when, Once):
        if when.ends_at <= when.starts_at:
            return ["A freeze must end after it begins."]
        return ["A freeze lasts a year at most."] if when.ends_at - when.starts_at > LONGEST_ONCE else []
    found = []
    if when.time_zone not in zones():
        found.append(f"There is no time zone called {when.time_zone!r}; write one such as Europe/Berlin or UTC.")
    if not (0 <= when.from_day <= 6 and 0 <= when.until_day <= 6):
        found.append("A day of the week is one of Monday to Sunday.")
    elif (when.from_day, when.from_time) == (when.until_day, when.until_time):
        found.append("This window covers the whole week, so nothing could ever be delivered.")
    return found


@cache
def zones() -> frozenset[str]:
    """The names of time zones that this machine knows."""
    return frozenset(available_timezones())


def _readings(local: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """What a local time may mean, in UTC: two instants in the hour that a clock skips or repeats."""
    return tuple(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))  # type: ignore[return-value]
