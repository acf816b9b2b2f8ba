"""Which files may not be changed: whether a path leads into a sealed folder, or one lies below it. Pure."""

from __future__ import annotations

import posixpath
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable
from urllib.parse import unquote

from mlflow_gate.attacks import SEALED
from mlflow_gate.policy import Sealed

DOCTOR = Sealed(SEALED, "", 0)
"""Always sealed, at the root and in each experiment, and nobody's: there the doctor tries whether files are."""


def decoded(path: str) -> str:
    """Until nothing changes, as MLflow does it."""
    while (once := unquote(path)) != path:
        path = once
    return path


def climbs(path: str) -> bool:
    return ".." in decoded(path).split("/")


def plain(path: str) -> str:
    """The one spelling in which folders are compared: decoded, without `//` and `.`, and in lower case, as some storage
    takes either case for the same. "" for the root."""
    path = decoded(path)
    return unicodedata.normalize("NFC", posixpath.normpath(f"/{path}").lstrip("/").casefold())


class Seals:
    def __init__(self, sealed: Iterable[Sealed]) -> None:
        self._by_folder = {plain(each.folder): each for each in (DOCTOR, *sealed)}
        self._by_folder.pop("", None)  # the root is nobody's, and sealing it would end all training
        self._sorted = sorted(f"{folder}/" for folder in self._by_folder)

    def around(self, path: str) -> Sealed | None:
        """The sealed folder that the path leads into, or is."""
        path = plain(path)
        if f"/{SEALED}/" in f"/{path}/":
            return DOCTOR
        parts = path.split("/")
        folders = ("/".join(parts[:length]) for length in range(1, len(parts) + 1))
        return next((self._by_folder[folder] for folder in folders if folder in self._by_folder), None)

    def below(self, path: str, *, by_letters: bool = False) -> Sealed | None:
        """A sealed folder at the path or below it, which goes when the path is deleted. By letters: also one whose
        name only begins like the path, `1/models/m-7e81` with `1/models/m-7`."""
        folder = plain(path)
        start = folder if by_letters or not folder else f"{folder}/"
        at = bisect_left(self._sorted, start)
        is_there = at < len(self._sorted) and self._sorted[at].startswith(start)
        return self._by_folder[self._sorted[at].rstrip("/")] if is_there else None
