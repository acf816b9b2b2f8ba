"""What the demo says while it works: one line per step, with a tick and its seconds, redrawn in place on a terminal."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TextIO


class Console:
    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.is_terminal = self.out.isatty()
        self._open_line = ""

    def say(self, text: str = "") -> None:
        """A line of its own; a step that is under way is shown again below it."""
        if self._open_line and self.is_terminal:
            self._write(f"\r\x1b[K{text}\n{self._open_line}")
        else:
            self._write(f"{text}\n")

    @contextlib.contextmanager
    def step(self, label: str) -> Iterator["Step"]:
        """Shows the label while the block runs and a tick (a cross when it raises) with the seconds after it."""
        step = Step(self, label)
        step.show()
        try:
            yield step
        except BaseException:
            step.close("✗")
            raise
        step.close("✓")

    def _write(self, text: str) -> None:
        try:
            self.out.write(text)
        except UnicodeEncodeError:  # a terminal that knows no ticks
            plain = text.replace("✓", "ok").replace("✗", "failed").replace("·", "-").replace("…", "...")
            self.out.write(plain.encode("ascii", "replace").decode())
        self.out.flush()


class Step:
    def __init__(self, console: Console, label: str) -> None:
        self.console, self.label = console, label
        self.started_at = time.monotonic()

    def show(self, detail: str = "") -> None:
        """`detail` says how far it is, e.g. "3 of 7"."""
        line = f"  · {self.label}{': ' if detail else ' …'}{detail}"
        if self.console.is_terminal:
            self.console._open_line = line  # noqa: SLF001  the two classes are one thing
            self.console._write(f"\r\x1b[K{line}")  # noqa: SLF001
        else:
            self.console.say(line)

    def close(self, mark: str) -> None:
        seconds = f"{time.monotonic() - self.started_at:.1f} s"
        start = "\r\x1b[K" if self.console.is_terminal else ""
        self.console._open_line = ""  # noqa: SLF001
        self.console._write(f"{start}  {mark} {self.label:<62} {seconds:>7}\n")  # noqa: SLF001
