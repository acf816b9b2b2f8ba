"""One guarded change of a model after the other: what was looked at is still so when it is written.

MLflow reads and writes in two transactions. A change that was let through may otherwise wait between the two while
Countersign promotes its version, and then takes it out of Production again. Holds for the processes of one host, which
share the folder of the state.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from mlflow_gate.policy import fold

if sys.platform != "win32":
    import fcntl

MANY = 64
"""Turns; models whose names fall on the same one wait for each other."""


class Turns:
    """Of this process alone, where the folder cannot be written, and on Windows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks = [threading.RLock() for _ in range(MANY)]
        self._depth = [0] * MANY

    @contextlib.contextmanager
    def of(self, model: str) -> Iterator[None]:
        """Within it no other change of this model is looked at or made, unless it is a part of this one."""
        turn = int.from_bytes(hashlib.sha256(fold(model).encode("utf-8", "replace")).digest()[:2], "big") % MANY
        with self._locks[turn], contextlib.ExitStack() as held:
            if not self._depth[turn]:
                self._hold(turn, held)
            self._depth[turn] += 1
            try:
                yield
            finally:
                self._depth[turn] -= 1

    def _hold(self, turn: int, held: contextlib.ExitStack) -> None:
        if sys.platform == "win32":
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._folder / str(turn), os.O_RDWR | os.O_CREAT, 0o600)
            held.callback(os.close, file)  # which lets it go
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # the other processes are not waited for
