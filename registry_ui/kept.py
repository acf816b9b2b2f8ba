"""Secrets whose files are exchanged while a process runs. For `registry_ui.environment`, which reads each one at the
start."""

import os
from pathlib import Path


class Kept:
    """NAME, or the file that NAME_FILE names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._known: tuple[str, tuple[int, ...], str] = ("", (), "")

    def read(self, *, anew: bool = False) -> str:
        """What it says now; "" where it is not set. A file is read again when its time, size or place changed, or with
        `anew`. One that is not there while it is exchanged says what it said last."""
        path = os.environ.get(f"{self.name}_FILE", "")
        if not path:
            return os.environ.get(self.name, "").strip()
        known = self._known  # one tuple, because threads read it side by side
        try:
            found = Path(path).stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if anew or known[:2] != (path, stamp):
                self._known = known = (path, stamp, Path(path).read_text().strip())
        except (OSError, ValueError):
            return known[2] if known[0] == path else ""
        return known[2]
