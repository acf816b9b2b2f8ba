"""Tells Countersign who was refused what, so that a refusal can become a request. Best effort: it never waits for
anybody, and no change depends on it."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections import deque
from typing import Any

from mlflow_gate.background import Background
from mlflow_gate.settings import Settings
from mlflow_gate.source import TIMEOUT, opener, request

log = logging.getLogger("mlflow_gate")

MOST = 1000
"""That wait; what comes on top is dropped."""
AT_ONCE = 50
LONGEST = 256
"""Characters of each text: MLflow looks how long a name is only after the gate, and Countersign keeps no more of it.
So what is sent at once stays below the 512 KB that Countersign takes, in any script."""
EVERY = 1
AFTER_TROUBLE = 30
"""Seconds until the next try."""


class Teller:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: deque[dict[str, Any]] = deque()
        self._background = Background("countersign-refusals", self._run)

    def tell(self, refusal: dict[str, Any]) -> None:
        """One of `id, who, operation, model, version, place, at, mode, address`. Returns at once."""
        if len(self._waiting) < MOST:
            self._waiting.append(
                {key: each[:LONGEST] if isinstance(each, str) else each for key, each in refusal.items()}
            )
        self._background.ensure()

    def send(self) -> bool:
        """What waits, at most so much at once; whether Countersign took it. What it did not take waits on."""
        told = self._taken()
        if not told:
            return True
        try:
            body = json.dumps(told).encode()
            asked = request(self._settings, f"{self._settings.countersign}/gate/refusals", body)
            with opener.open(asked, timeout=TIMEOUT):
                pass
        except Exception as error:  # whatever it is, refusing goes on without it
            self._waiting.extendleft(reversed(told))
            log.warning("Countersign could not be told of %s refusals: %s", len(self._waiting), error)
            return False
        return True

    def _taken(self) -> list[dict[str, Any]]:
        """Out of the queue, so that of two threads none sends, or takes away, what the other one has."""
        told: list[dict[str, Any]] = []
        with contextlib.suppress(IndexError):  # there is no more
            while len(told) < AT_ONCE:
                told.append(self._waiting.popleft())
        return told

    def _run(self) -> None:
        while True:
            time.sleep(EVERY if self.send() else AFTER_TROUBLE)
