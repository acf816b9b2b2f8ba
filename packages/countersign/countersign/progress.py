"""What is said while a request is waited for, on standard error: a line for each change, and on a terminal a last line
that is written over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from countersign import durations, words
from countersign.errors import Unavailable
from countersign.shapes import PromotionRequest

CLEAR = "\r\x1b[K"


class Progress:
    def __init__(self, to: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._to = to or sys.stderr
        self._is_terminal = self._to.isatty()
        self._clock = clock
        self._began = clock()
        self._said = ""

    def seen(self, request: PromotionRequest) -> None:
        now = words.standing(request)
        if now != self._said:
            self.say(f"Request {request['id']}: {now}")
            self._said = now
        self._over(f"Waiting since {durations.words(self._clock() - self._began)}. Ctrl-C leaves the request open.")

    def away(self, error: Unavailable) -> None:
        self._said = ""
        self.say(f"{error} Trying again.")

    def say(self, line: str) -> None:
        self._over("")
        self._to.write(f"{line}\n")
        self._to.flush()

    def end(self) -> None:
        self._over("")

    def _over(self, line: str) -> None:
        if self._is_terminal:
            self._to.write(f"{CLEAR}{line}")
            self._to.flush()
