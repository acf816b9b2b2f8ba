"""Moments as people read them: on the clock of the zone that is active, which for a page is the reader's own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import ParamSpec, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils import timezone

P = ParamSpec("P")
R = TypeVar("R")

COOKIE = "zone"
"""In which `theme.js` keeps the name of the browser's own zone, such as `Europe/Berlin`."""

LONGEST_ZONE = 64


def zone_named(name: str) -> ZoneInfo | None:
    """The zone of the IANA's name; None for anything else."""
    if not name or len(name) > LONGEST_ZONE:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones, such as "America"
        return None


def exact(at: datetime, *, seconds: bool = False) -> str:
    """`2026-11-23 14:04 CET`; zones without letters of their own say how far they are from UTC."""
    at = timezone.localtime(at)
    zone = at.tzname() or "UTC"
    return f"{at:%Y-%m-%d %H:%M:%S} {_named(zone)}" if seconds else f"{at:%Y-%m-%d %H:%M} {_named(zone)}"


def brief(at: datetime) -> str:
    """As short as it is clear today: `14:04`, `23 Nov 14:04`, `23 Nov 2025`."""
    at, now = timezone.localtime(at), timezone.localtime()
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
