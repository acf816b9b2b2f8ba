"""Work beside the requests: one thread in each process of the server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


class Background:
    """A thread that does not keep the process from ending. A process that was forked starts its own."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name, self._work = name, work
        self._process = 0

    def ensure(self) -> None:
        """Without a lock, which a fork could leave held: two threads that come at once start the work twice, and none
        of the work minds."""
        if self._process != os.getpid():
            self._process = os.getpid()
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
