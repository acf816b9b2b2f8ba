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
    """What stands side by side: the same path in each version."""

    path: str
    is_image: bool
    leaves: Sequence[Leaf | None]
    """One for each version, None where it has nothing of this name."""

    is_same: bool

    @property
    def can_blend(self) -> bool:
        """Whether two or more of them are pictures that can be laid over each other."""
        return self.is_image and not self.is_same and sum(bool(leaf and leaf.exhibit) for leaf in self.leaves) > 1


def plates(versions: Sequence[ModelVersion], *, kept: Mapping[int, Mapping[str, str]]) -> list[Plate]:
    """By path, figures first. `kept` are, by the version's primary key, the digests that were frozen with a request:
    only those are shown of it. Two queries."""
    found = list(Exhibit.objects.filter(version__in=versions).defer("content").order_by("path"))
    read = _read(found)
    leaves: dict[int, dict[str, Leaf]] = {version.pk: {} for version in versions}
    for each in found:
        leaves[each.version_id][each.path] = Leaf(each, filename_of(each), read.get(each.pk))
    for pk, digests in kept.items():
        leaves[pk] = {path: _as_frozen(leaves[pk].get(path), digest) for path, digest in sorted(digests.items())}
    paths = sorted({path for own in leaves.values() for path in own})
    made = [_plate(path, [leaves[version.pk].get(path) for version in versions]) for path in paths]
    return sorted(made, key=lambda plate: not plate.is_image)


def _as_frozen(leaf: Leaf | None, digest: str) -> Leaf:
    if leaf is None or leaf.exhibit is None:
        return Leaf(None, reason="It is no longer there.")
    if leaf.exhibit.sha256 != digest:
        return Leaf(None, reason="It has changed since it was frozen with the request, so it is not shown.")
    return leaf


def _plate(path: str, leaves: Sequence[Leaf | None]) -> Plate:
    known = [leaf.exhibit for leaf in leaves if leaf and leaf.exhibit]
    is_image = known[0].media_type in IMAGES if known else PurePosixPath(path).suffix.lower() not in (".csv", ".json")
    digests = {exhibit.sha256 for exhibit in known}
    return Plate(path, is_image, leaves, is_same=len(leaves) > 1 and len(known) == len(leaves) and len(digests) == 1)


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
