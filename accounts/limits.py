"""How often something may be tried: counts that all processes share, in the cache of the database.

Where each try matters, such as a password, it is counted before it is made, by one statement (`hit`). Where only a
flood does, each process counts by itself and tells the cache in steps (`Limiter`), so most requests cost no query.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.core.cache import caches
from django.db import DatabaseError, transaction

WINDOW = 60
STEPS = 20
"""A limit is told to the cache in so many steps."""

MOST_KEPT = 50_000
"""Clients of one minute. Beyond it the counting begins anew, rather than fill the memory."""

logger = structlog.get_logger(__name__)


def hit(key: str, seconds: float, by: int = 1) -> tuple[int, float]:
    """Counts `by` more under `key` within `seconds` of the first; returns the count, with these, and the seconds until
    it begins anew. Raises django.db.OperationalError when the database cannot be asked."""
    cache: Any = caches["default"]
    count, left = cache.hit(f"limit:{key}", seconds, by)
    return int(count), float(left)


def forget(*keys: str) -> None:
    """These counts begin anew."""
    caches["default"].delete_many([f"limit:{key}" for key in keys])


@dataclass(slots=True)
class _Count:
    untold: int = 0
    """Of this process, since the cache was told."""

    total: int = 0
    """Of all processes, as the cache last had it."""


class Limiter:
    """Counts by windows of a minute. Who asks at several processes at once gets at most one step a process more. While
    the cache is away each process goes by its own count. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._window, self._counts = 0, dict[str, _Count]()

    def hit(self, client: str, most: int) -> int:
        """Counts one request of `client`, of which `most` a window are let through: 0, or the seconds to wait."""
        now = self._clock()
        window, step = int(now // WINDOW), max(most // STEPS, 1)
        with self._lock:
            if window != self._window or len(self._counts) >= MOST_KEPT:
                self._window, self._counts = window, {}
            count = self._counts.setdefault(client, _Count())
            if count.total + count.untold >= most:
                return WINDOW - int(now) % WINDOW
            count.untold += 1
            told = count.untold if count.untold >= step else 0
            if told:
                count.untold, count.total = 0, count.total + told
        if told:
            known = _tell(f"{client}:{window}", told)
            with self._lock:
                count.total = max(count.total, known)
        return 0


def _tell(key: str, hits: int) -> int:
    """How many there were with these; 0 when the cache cannot be asked."""
    try:
        with transaction.atomic(savepoint=True):  # on PostgreSQL a query that fails ends what is around it
            return hit(key, 2 * WINDOW, hits)[0]
    except (DatabaseError, OSError) as error:
        logger.warning("limits_not_shared", error=type(error).__name__)
        return 0


LIMITER = Limiter()
