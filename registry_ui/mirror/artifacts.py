"""Where MLflow keeps files, and how to read them without loading them. For `mlflow_registry` alone.

A store that MLflow serves itself (`mlflow-artifacts:`) is streamed over HTTP; any other is read through MLflow's own
client for that store, one file at a time, by way of a temporary folder.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from registry_ui.mirror.registry import ArtifactFile, NotFound, Refused, Unreachable

SERVED = "mlflow-artifacts"
API = "/api/2.0/mlflow-artifacts/artifacts"
CHUNK = 1 << 20
DEEPEST = 32
"""Folders below folders; a store with a loop in it must not keep the worker for ever."""


def is_served(root: str) -> bool:
    return urlsplit(root).scheme == SERVED


def served_path(root: str) -> str:
    """`mlflow-artifacts://host/0/models/m-1/artifacts` → `0/models/m-1/artifacts`."""
    return urlsplit(root).path.strip("/")


def served_address(root: str, path: str) -> str:
    return f"{API}/{quote(f'{served_path(root)}/{plain(path)}')}"


def plain(path: str) -> str:
    """The path, if it stays below its root. Raises Refused: MLflow would refuse it as well, other stores might not."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/") or "\\" in path:
        raise Refused(f"The artifact name {path[:200]!r} leads out of its folder.")
    return path


def walk(list_folder: Any, folder: str = "", depth: int = 0) -> Iterator[ArtifactFile]:
    """All files below `folder`; `list_folder(folder)` gives (path below the root, is it a folder, size)."""
    if depth > DEEPEST:
        raise Refused(f"The artifact folders are nested more than {DEEPEST} deep.")
    for path, is_folder, size in sorted(list_folder(folder), key=lambda entry: str(entry[0])):
        if is_folder:
            yield from walk(list_folder, path, depth + 1)
        else:
            yield ArtifactFile(plain(path), size)


# --- Stores that MLflow does not serve --------------------------------------------------------------------------------


def repository(root: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415

    return get_artifact_repository(root)


def list_elsewhere(root: str, folder: str) -> Iterator[tuple[str, bool, int | None]]:
    try:
        for entry in repository(root).list_artifacts(folder or None):
            yield entry.path, bool(entry.is_dir), None if entry.is_dir else entry.file_size
    except Exception as error:  # whatever the store's library raises
        raise Unreachable(f"The artifact store {_named(root)} did not answer: {_words(error)}") from error


def read_elsewhere(root: str, path: str) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
        try:
            found = Path(repository(root).download_artifacts(plain(path), folder))
        except FileNotFoundError as error:
            raise NotFound(f"There is no file {path!r}.") from error
        except Exception as error:
            raise Unreachable(f"The artifact store {_named(root)} did not answer: {_words(error)}") from error
        with found.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def _named(root: str) -> str:
    parts = urlsplit(root)
    return f"{parts.scheme or 'file'}://{parts.hostname or ''}"


def _words(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
