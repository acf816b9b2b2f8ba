"""Figures and tables of two versions by the same path, as they may be shown: only what was frozen, never as a page of
its own kind, and never more than a browser takes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from approvals.audit.dossier import SUFFIXES
from approvals.evidence.comparison import tables
from mirror.models import Exhibit, ModelVersion

IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
READ_AT_ONCE = 2_000_000
"""Bytes of tables that are read for one page; the rest can be downloaded."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One figure or table of one version; without an exhibit, the reason why it is not shown."""

    exhibit: Exhibit | None
    filename: str = ""
    table: tables.Table | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plate:
    """What stands side by side: the same path in both versions."""

    path: str
    is_image: bool
    mine: Leaf | None
    other: Leaf | None
    is_same: bool


def plates(mine: ModelVersion, other: ModelVersion | None, *, kept: Mapping[str, str] | None) -> list[Plate]:
    """By path, figures first. `kept` are the digests that were frozen with a request: only those are shown of the
    challenger. Two queries."""
    wanted = [version.pk for version in (mine, other) if version]
    found = list(Exhibit.objects.filter(version__in=wanted).defer("content").order_by("path"))
    read = _read(found)
    own = {each.path: Leaf(each, filename_of(each), read.get(each.pk)) for each in found if each.version_id == mine.pk}
    theirs = {
        each.path: Leaf(each, filename_of(each), read.get(each.pk))
        for each in found
        if other and each.version_id == other.pk
    }
    if kept is not None:
        own = {path: _as_frozen(own.get(path), digest) for path, digest in sorted(kept.items())}
    made = [_plate(path, own.get(path), theirs.get(path)) for path in sorted({*own, *theirs})]
    return sorted(made, key=lambda plate: not plate.is_image)


def _as_frozen(leaf: Leaf | None, digest: str) -> Leaf:
    if leaf is None or leaf.exhibit is None:
        return Leaf(None, reason="It is no longer there.")
    if leaf.exhibit.sha256 != digest:
        return Leaf(None, reason="It has changed since it was frozen with the request, so it is not shown.")
    return leaf


def _plate(path: str, mine: Leaf | None, other: Leaf | None) -> Plate:
    known = next((leaf.exhibit for leaf in (mine, other) if leaf and leaf.exhibit), None)
    is_image = known.media_type in IMAGES if known else PurePosixPath(path).suffix.lower() not in (".csv", ".json")
    digests = [leaf.exhibit.sha256 for leaf in (mine, other) if leaf and leaf.exhibit]
    return Plate(path, is_image, mine, other, is_same=len(digests) == 2 and digests[0] == digests[1])


def _read(found: Sequence[Exhibit]) -> dict[int, tables.Table]:
    """The tables, as far as they fit into what is read at once."""
    wanted, total = [], 0
    for each in found:
        if each.media_type not in IMAGES and total + each.size <= READ_AT_ONCE:
            wanted.append(each.pk)
            total += each.size
    if not wanted:
        return {}
    rows = Exhibit.objects.filter(pk__in=wanted).values_list("pk", "content", "media_type")
    return {pk: tables.read(bytes(content), media_type) for pk, content, media_type in rows}


def filename_of(exhibit: Exhibit) -> str:
    """What the exhibit is called in its address: plain letters of its name, its digest, and the ending of what it is,
    whatever it was called. Another content has another address."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePosixPath(exhibit.path).stem).strip("-")[:60] or "exhibit"
    return f"{stem}-{exhibit.sha256[:12]}.{SUFFIXES.get(exhibit.media_type, 'bin')}"
