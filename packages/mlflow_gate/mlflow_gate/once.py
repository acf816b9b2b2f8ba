"""Which grants were used: each one once, in all processes of this host.

A grant that somebody saw on its way could otherwise be sent again while it holds, for a change that Countersign took
back in the meantime.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from mlflow_gate.grants import LIFETIME, SKEW

KEPT = LIFETIME + 2 * SKEW
"""Seconds after which no grant holds any more."""


class Once:
    """An empty file for each grant that was used; this process alone, where the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._here: dict[str, float] = {}

    def was_used(self, grant_id: str) -> bool:
        name = _name(grant_id)
        return name in self._here or (self._folder / name).exists()

    def use(self, grant_id: str) -> None:
        """After the change was made: one that failed may be tried again."""
        now = time.time()
        self._here = {name: at for name, at in self._here.items() if at > now - KEPT} | {_name(grant_id): now}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / _name(grant_id)).touch(mode=0o600)
            for entry in os.scandir(self._folder):
                if entry.stat().st_mtime < now - KEPT:
                    Path(entry.path).unlink(missing_ok=True)
        except OSError:
            pass  # what this process knows is left


def _name(grant_id: str) -> str:
    return hashlib.sha256(grant_id.encode()).hexdigest()
