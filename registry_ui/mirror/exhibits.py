"""What a run logged to look at: metrics with steps as curves, figures and tables as exhibits. For `inspection`."""

import hashlib
from collections.abc import Callable
from pathlib import PurePosixPath

from registry_ui.mirror.models import Exhibit, ModelVersion
from registry_ui.mirror.registry import NotFound, Refused, Registry

MOST_CURVES, MOST_POINTS = 50, 1_000
MOST_EXHIBITS, MOST_LISTED = 24, 2_000
LARGEST_IMAGE, LARGEST_TABLE = 2_000_000, 1_000_000

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
    for key in sorted(version.metrics):
        if key.startswith("system/") or len(found) >= MOST_CURVES:
            continue
        check()
        try:
            history = registry.metric_history(version.run_id, key, limit=MOST_POINTS)
        except (NotFound, Refused):  # the run is gone, or the metric is the LoggedModel's alone
            continue
        if len({step for step, _ in history}) > 1:
            found[key] = [[step, repr(value)] for step, value in history]
    return found


def found(registry: Registry, version: ModelVersion, *, check: Check) -> list[Exhibit]:
    """The figures and tables among the run's own files, unsaved; those that are too large or not what they say are
    left out."""
    if not version.run_id:
        return []
    kept: list[Exhibit] = []
    try:
        root = registry.run_root(version.run_id)
        for count, file in enumerate(registry.artifacts(root)):
            check()
            if count >= MOST_LISTED or len(kept) >= MOST_EXHIBITS:
                break
            suffix = PurePosixPath(file.path).suffix.lower()
            largest = LARGEST_IMAGE if suffix in SUFFIXES else LARGEST_TABLE if suffix in TABLES else 0
            if file.size is None or not 0 < file.size <= largest or len(file.path) > 500:
                continue
            content = b"".join(registry.read_artifact(root, file.path))
            if exhibit := _exhibit(version, file.path, suffix, content):
                kept.append(exhibit)
    except (NotFound, Refused):
        return kept
    return kept


def _exhibit(version: ModelVersion, path: str, suffix: str, content: bytes) -> Exhibit | None:
    media_type = TABLES.get(suffix) or image_type(content)
    if not media_type:
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


def image_type(content: bytes) -> str:
    """The media type by the first bytes, whatever the name says; "" for anything that is not one of IMAGES."""
    for media_type, beginning in IMAGES.items():
        if content.startswith(beginning) and (media_type != "image/webp" or content[8:12] == b"WEBP"):
            return media_type
    return ""
