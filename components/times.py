"""Moments as people read them: on the clock of the zone that is active, which for a page is the reader's own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import wraps
from typing import ParamSpec, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils import timezone
from django.utils.timesince import timesince, timeuntil

P = ParamSpec("P")
R = TypeVar("R")

COOKIE = "zone"
"""In which `theme.js` keeps the name of the browser's own zone, such as `Europe/Berlin`."""

LONGEST_ZONE = 64

UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60))
SHORTEST_MONTH = 28 * 86_400
"""Seconds."""


def zone_named(name: str) -> ZoneInfo | None:
    """The zone of the IANA's name; None for anything else."""
    if not name or len(name) > LONGEST_ZONE:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones, such as "America"
        return None


def exact(at: datetime, *, seconds: bool = False, zone: tzinfo | None = None) -> str:
    """`2026-11-23 14:04 CET`; zones without letters of their own say how far they are from UTC. `zone` is the active
    one, where the caller has asked for it already."""
    at = timezone.localtime(at, zone)
    return f"{at.isoformat(' ')[: 19 if seconds else 16]} {_named(at.tzname() or 'UTC')}"


def away(at: datetime, now: datetime) -> str:
    """`3 hours ago`, `in 2 weeks`: Django's words, which take it ten times as long where no month has to be counted."""
    is_past = at <= now
    seconds = abs((now - at).total_seconds())
    if seconds >= SHORTEST_MONTH:
        return f"{timesince(at, now, depth=1)} ago" if is_past else f"in {timeuntil(at, now, depth=1)}"
    unit, length = next((each for each in UNITS if seconds >= each[1]), UNITS[-1])
    count = int(seconds // length)
    words = f"{count}\xa0{unit}{'' if count == 1 else 's'}"
    return f"{words} ago" if is_past else f"in {words}"


def length(time: timedelta) -> str:
    """`2 days 3 hours`, to the minute."""
    minutes = round(time.total_seconds() / 60)
    if minutes < 1:
        return "less than a minute"
    days, rest = divmod(minutes, 24 * 60)
    parts = [(days, "day"), (rest // 60, "hour"), (rest % 60, "minute")]
    return " ".join(f"{many} {unit}{'' if many == 1 else 's'}" for many, unit in parts if many)


def brief(at: datetime, *, zone: tzinfo | None = None) -> str:
    """As short as it is clear today: `14:04`, `23 Nov 14:04`, `23 Nov 2025`."""
    at, now = timezone.localtime(at, zone), timezone.localtime(timezone=zone)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    is_near = at.year == now.year or abs(at - now) < timedelta(days=30)  # around New Year
    return f"{at:%-d %b %H:%M}" if is_near else f"{at:%-d %b %Y}"


def _named(zone: str) -> str:
    return f"UTC{zone}" if zone[:1] in "+-" else zone


def in_utc(view: Callable[P, R]) -> Callable[P, R]:
    """For pages of the record: they are held against exports and against each other, wherever they are read."""

    @wraps(view)
    def shown(*args: P.args, **kwargs: P.kwargs) -> R:
        with timezone.override(UTC):  # its own each time: as a decorator, it would be shared by threads
            return view(*args, **kwargs)

    return shown
