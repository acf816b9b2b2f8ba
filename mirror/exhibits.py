"""What a run logged to look at: metrics with steps as curves, figures and tables as exhibits. For `inspection`."""

import hashlib
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import PurePosixPath

from mirror import sandbox
from mirror.models import Exhibit, ModelVersion
from mirror.packaging import MLMODEL
from mirror.port import ArtifactFile, NotFound, Refused, Registry, read_whole

MOST_CURVES, MOST_POINTS = 50, 1_000
MOST_EXHIBITS, MOST_LISTED = 24, 2_000
LARGEST_IMAGE, LARGEST_TABLE = 2_000_000, 1_000_000
LONGEST_PATH = 500

IMAGES = {
    # media type: how its bytes begin. SVG and HTML can carry scripts, so they are not among them.
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".webp"}
TABLES = {".csv": "text/csv", ".json": "application/json"}

Check = Callable[[], None]


def curves(registry: Registry, version: ModelVersion, *, check: Check) -> dict[str, list[list[int | str]]]:
    """{metric: [[step, value as text], …]} of the metrics that the run logged at more than one step."""
    found: dict[str, list[list[int | str]]] = {}
    if not version.run_id:
        return found
    try:
        for key in registry.stepped_metrics(version.run_id):
            if key.startswith("system/"):
                continue
            if len(found) >= MOST_CURVES:
                break
            check()
            history = registry.metric_history(version.run_id, key, limit=MOST_POINTS)
            if len({step for step, _ in history}) > 1:
                found[key] = [[step, repr(value)] for step, value in history]
    except (NotFound, Refused):  # the run is gone
        pass
    return found


def found(registry: Registry, version: ModelVersion, *, check: Check) -> list[Exhibit]:
    """The figures and tables among the run's own files, unsaved. Those that are too large or not what they say, and
    what belongs to a model, are left out."""
    if not version.run_id:
        return []
    kept: list[Exhibit] = []
    try:
        root = registry.run_root(version.run_id)
        listed = _listed(registry.artifacts(root), check)
    except (NotFound, Refused):  # the run is gone, or its store is not for us
        return kept
    models = {PurePosixPath(each.path).parent for each in listed if PurePosixPath(each.path).name == MLMODEL}
    for file in listed:
        suffix = PurePosixPath(file.path).suffix.lower()
        largest = LARGEST_IMAGE if suffix in SUFFIXES else LARGEST_TABLE if suffix in TABLES else 0
        if file.size is None or not 0 < file.size <= largest or _is_odd(file.path) or _is_inside(file.path, models):
            continue
        check()
        try:
            content = read_whole(registry, root, file.path, largest=largest)
        except (NotFound, Refused):  # gone since it was listed
            continue
        if content and (exhibit := _exhibit(version, file.path, suffix, content)):
            kept.append(exhibit)
            if len(kept) >= MOST_EXHIBITS:
                break
    return kept


def _listed(files: Iterable[ArtifactFile], check: Check) -> list[ArtifactFile]:
    found = []
    for file in islice(files, MOST_LISTED):
        check()
        found.append(file)
    return found


def _is_odd(path: str) -> bool:
    return len(path) > LONGEST_PATH or not path.isprintable()


def _is_inside(path: str, folders: set[PurePosixPath]) -> bool:
    return not folders.isdisjoint(PurePosixPath(path).parents)


def _exhibit(version: ModelVersion, path: str, suffix: str, content: bytes) -> Exhibit | None:
    media_type = TABLES.get(suffix) or image_type(content)
    if not media_type or (suffix == ".json" and not _is_table(content)):
        return None
    return Exhibit(
        version=version,
        path=path,
        kind=Exhibit.Kind.TABLE if suffix in TABLES else Exhibit.Kind.IMAGE,
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
    )


def _is_table(content: bytes) -> bool:
    """Most JSON files are none, and are not worth a process."""
    begins = content.lstrip()[:1]
    might_be = begins == b"[" or (begins == b"{" and b'"columns"' in content and b'"data"' in content)
    return might_be and sandbox.is_table(content)


def image_type(content: bytes) -> str:
    """The media type by the first bytes, whatever the name says; "" for anything that is not one of IMAGES."""
    for media_type, beginning in IMAGES.items():
        if content.startswith(beginning) and (media_type != "image/webp" or content[8:12] == b"WEBP"):
            return media_type
    return ""
