"""Tells Countersign who was refused what, so that a refusal can become a request. Best effort: it never waits for
anybody, and no change depends on it."""

from __future__ import annotations

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
AT_ONCE = 100
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
            self._waiting.append(refusal)
        self._background.ensure()

    def send(self) -> bool:
        """What waits, at most so much at once; whether Countersign took it. What it did not take waits on."""
        told = [self._waiting[place] for place in range(min(AT_ONCE, len(self._waiting)))]
        if not told:
            return True
        try:
            body = json.dumps(told).encode()
            with opener.open(request(self._settings, f"{self._settings.site}/gate/refusals", body), timeout=TIMEOUT):
                pass
        except Exception as error:  # whatever it is, refusing goes on without it
            log.warning("Countersign could not be told of %s refusals: %s", len(self._waiting), error)
            return False
        for _ in told:
            self._waiting.popleft()
        return True

    def _run(self) -> None:
        while True:
            time.sleep(EVERY if self.send() else AFTER_TROUBLE)
