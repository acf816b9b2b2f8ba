"""Waiting for a request to move on. Web processes have few threads, so of those that wait there are two at a time, and
whoever comes third is asked to come again."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AT_ONCE = 2
"""Of one process, whose other threads answer pages meanwhile."""

LONGEST = 30
"""Seconds: less than proxies and web servers usually let an answer take."""

EVERY = 1.0
"""Seconds between two looks, each a query of one row."""

COME_AGAIN, LATEST = 5, 60
"""Seconds, for whom there was no place, and the most when there are many."""

TOGETHER = 5
"""So many are asked to come again in five seconds; beyond these others come later, so that a crowd asks no more often
than a few."""


class Crowd:
    """How many there was no place for lately. Safe for threads."""

    def __init__(self) -> None:
        self._lock, self._span, self._now, self._before = threading.Lock(), 0, 0, 0

    def come_again(self) -> int:
        """Seconds, for one more."""
        span = int(time.monotonic() // COME_AGAIN)
        with self._lock:
            if span != self._span:
                self._before = self._now if span == self._span + 1 else 0
                self._span, self._now = span, 0
            self._now += 1
            many = max(self._now, self._before)
        return min(COME_AGAIN * -(-many // TOGETHER), LATEST)


CROWD = Crowd()
_PLACES = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def place() -> Iterator[bool]:
    """`with place() as is_free:`; never waits for one."""
    is_free = _PLACES.acquire(blocking=False)
    try:
        yield is_free
    finally:
        if is_free:
            _PLACES.release()


def until_other(look: Callable[[], str], seen: str, seconds: float) -> None:
    """Returns once `look()` is another than `seen`, or after so many seconds. No transaction is open meanwhile: each
    look sees what was committed before it."""
    end = time.monotonic() + min(seconds, LONGEST)
    while look() == seen and (left := end - time.monotonic()) > 0:
        time.sleep(min(EVERY, left))
