"""The files of two versions side by side, from their manifests. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ORDER = ("changed", "removed", "added", "")


@dataclass(frozen=True, slots=True)
class FileRow:
    path: str
    size: int | None
    """Bytes in the challenger; None where it has no such file."""

    champion_size: int | None
    sha256: str
    champion_sha256: str
    is_compared: bool = True

    @property
    def name(self) -> str:
        return self.path

    @property
    def change(self) -> str:
        """`added`, `removed`, `changed`, or "" where the bytes are the same."""
        if not self.is_compared or (self.sha256 == self.champion_sha256 and self.sha256):
            return ""
        return "added" if self.champion_size is None else "removed" if self.size is None else "changed"

    @property
    def is_changed(self) -> bool:
        return bool(self.change)


def rows(challenger: Mapping[str, Any] | None, champion: Mapping[str, Any] | None) -> list[FileRow]:
    """Of two `files` of the evidence: what changed, was removed or added, then what is the same. Without the champion's
    manifest nothing is compared."""
    mine, theirs = dict(_manifest(challenger)), dict(_manifest(champion))
    is_compared = bool(mine and theirs)
    found = []
    for path in sorted({*mine, *theirs} if is_compared else mine):
        size, digest = mine.get(path, (None, ""))
        champion_size, champion_digest = theirs.get(path, (None, ""))
        found.append(FileRow(path, size, champion_size, digest, champion_digest, is_compared))
    return sorted(found, key=lambda row: ORDER.index(row.change))


def _manifest(files: Mapping[str, Any] | None) -> Iterator[tuple[str, tuple[int, str]]]:
    for line in (files or {}).get("manifest") or ():
        path, size, digest = line
        yield str(path), (int(size), str(digest))
