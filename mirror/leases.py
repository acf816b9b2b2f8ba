"""One pull and one sweep at a time, whichever process gets the message."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.db import Error, connection
from django.db.models import QuerySet

from mirror import clock
from mirror.models import MirrorState

log = structlog.get_logger(__name__)

SECONDS, RENEWED_EVERY = 20, 5
"""A process that is killed holds up the next one for so long, and one that waits for MLflow keeps its lease."""

LONGEST = 3600
"""Seconds for which it is renewed: a call to MLflow that never ends must not keep everyone else away for ever."""


@contextmanager
def held(lease: str) -> Iterator[bool]:
    """Holds `pulling_until` or `sweeping_until` of MirrorState while the block runs, and renews it meanwhile in a
    thread, so that it says that the process lives and not how long its work may take. False where another has it."""
    until = MirrorState.objects.claim(lease, seconds=SECONDS)
    if until is None:
        yield False
        return
    keeper = _Keeper(lease, until)
    keeper.start()
    try:
        yield True
    finally:
        keeper.end()


class _Keeper(threading.Thread):
    def __init__(self, lease: str, until: datetime) -> None:
        super().__init__(name=f"lease-{lease}", daemon=True)
        self._lease, self._until, self._is_over = lease, until, threading.Event()

    def run(self) -> None:
        try:
            ends = time.monotonic() + LONGEST
            while not self._is_over.wait(RENEWED_EVERY) and time.monotonic() < ends:
                self._renew()
        finally:
            connection.close()  # of this thread

    def _renew(self) -> None:
        try:
            later = clock.now() + timedelta(seconds=SECONDS)
            if self._ours().update(**{self._lease: later}):
                self._until = later
        except Error as error:  # busy or away: it is tried again, and the work itself will tell
            log.warning("lease not renewed", lease=self._lease, error=str(error))
            connection.close()  # what has broken once, no one else here replaces

    def end(self) -> None:
        self._is_over.set()
        self.join()
        try:
            self._ours().update(**{self._lease: None})
        except Error as error:  # it runs out by itself; what became of the work is for the work to say
            log.warning("lease not given back", lease=self._lease, error=str(error))

    def _ours(self) -> "QuerySet[MirrorState]":
        """None where another has it: a process that stood still for longer has lost it."""
        ours: QuerySet[MirrorState] = MirrorState.objects.filter(pk=1, **{self._lease: self._until})
        return ours
