"""Where MLflow keeps files, and how to read them without loading them. For `client` alone.

A store that MLflow serves itself (`mlflow-artifacts:`) is streamed from the one server that is configured. Anyone who
may write to MLflow chooses the addresses of all others, the worker's own disk among them, so those are read only below
the addresses in COUNTERSIGN_ARTIFACT_STORES: folders in place, anything else through MLflow's client for that store,
one file at a time by way of a temporary folder.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

from mirror.port import ArtifactFile, NotFound, Refused, RegistryError, Unreachable, served_path

API = "/api/2.0/mlflow-artifacts/artifacts"
CHUNK = 1 << 20
DEEPEST, MOST_FOLDERS = 32, 5_000
"""Folders below folders, and all of them; a store with a loop in it must not keep the worker without end."""

_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")

_OURS, _LEFT_SECONDS = "countersign-file-", 86_400
"""Folders for files on their way, and after how long one is nobody's: no file takes a day."""

Entry: TypeAlias = tuple[str, bool, int | None]
"""Path below the root, whether it is a folder, size in bytes."""


def served_address(root: str, path: str) -> str:
    """MLflow decodes an address until nothing changes and leaves tabs out, so some names mean another file there.
    Raises Refused for them."""
    if _CONTROL.search(path):
        raise Refused(f"The artifact name {_shown(path)} has a control character, for which MLflow gives another file.")
    if unquote(plain(path)) != path:
        raise Refused(f"The artifact name {_shown(path)} has an escape in it, for which MLflow gives another file.")
    return f"{API}/{quote(f'{served_path(root)}/{path}')}"


def refused(error: Refused, path: str) -> Refused:
    """What MLflow said, with the name of the file or folder: it says `Invalid path` alone."""
    return Refused(f"MLflow refuses the artifact name {_shown(path)}: {error.message.rstrip('.')}.")


def _shown(path: str) -> str:
    """In quotes, with a backslash as one."""
    return f"'{path[:200]}'" if path.isprintable() else repr(path[:200])


def plain(path: str) -> str:
    """The path, if it stays below its root. Raises Refused: MLflow would refuse it as well, other stores might not."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/"):
        raise Refused(f"The artifact name {path[:200]!r} leads out of its folder.")
    if "\\" in path:
        raise Refused(f"The artifact name {_shown(path)} has a backslash, which some stores take for a folder.")
    if _NOT_TEXT.search(path):  # bytes on a disk that are no UTF-8; no manifest could say them
        raise Refused(f"The artifact name {path[:200]!r} is not text.")
    return path


def walk(list_folder: Callable[[str], Iterable[Entry]]) -> Iterator[ArtifactFile]:
    """All files below a root, folder by folder, sorted by name. Raises Refused when they lie too deep, in too many
    folders, or have names that lead out."""
    folders = 0

    def below(folder: str, depth: int) -> Iterator[ArtifactFile]:
        nonlocal folders
        folders += 1
        if depth > DEEPEST:
            raise Refused(f"The artifact folders are nested more than {DEEPEST} deep.")
        if folders > MOST_FOLDERS:
            raise Refused(f"The files lie in more than {MOST_FOLDERS:,} folders.")
        for path, is_folder, size in sorted(list_folder(folder), key=lambda entry: entry[0]):
            if is_folder:
                yield from below(plain(path), depth + 1)
            else:
                yield ArtifactFile(plain(path), size)

    return below("", 0)


# --- Stores that MLflow does not serve --------------------------------------------------------------------------------


def permitted(root: str) -> str:
    """The address, with `file://` before a bare path, if it is at or below one of COUNTERSIGN_ARTIFACT_STORES;
    else raises Refused."""
    address = _spelled(root)
    for store in map(_spelled, settings.ARTIFACT_STORES):
        if (address == store or address.startswith(f"{store}/")) and ".." not in unquote(address).split("/"):
            return address
    raise Refused(
        f"The files are in {_named(root)}, which is not among the artifact stores that Countersign may read"
        " (COUNTERSIGN_ARTIFACT_STORES)."
    )


def list_elsewhere(root: str, folder: str) -> Iterator[Entry]:
    """What is in one folder of a store that MLflow does not serve. Raises Refused (not permitted, or a library is
    missing) or Unreachable."""
    address = permitted(root)
    if address.startswith("file://"):
        yield from _list_local(Path(unquote(urlsplit(address).path)), folder)
        return
    try:
        for entry in _repository(address).list_artifacts(folder or None):
            yield entry.path, bool(entry.is_dir), None if entry.is_dir else entry.file_size
    except Exception as error:  # whatever the store's library raises
        raise _told(error, root) from error


def read_elsewhere(root: str, path: str) -> Iterator[bytes]:
    """The bytes of one file there, in chunks. Raises NotFound, Refused or Unreachable."""
    address = permitted(root)
    if address.startswith("file://"):
        yield from _pieces(_inside(Path(unquote(urlsplit(address).path)), plain(path)))
        return
    _clear_what_is_left()
    with tempfile.TemporaryDirectory(prefix=_OURS) as folder:
        try:
            found = Path(_repository(address).download_artifacts(plain(path), folder))
        except FileNotFoundError as error:
            raise NotFound(f"There is no file {path!r}.") from error
        except Exception as error:
            raise _told(error, root) from error
        yield from _pieces(found)


def _clear_what_is_left() -> None:
    """By a worker that was killed meanwhile. Workers may share the folder, so each may still be at its own."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_OURS}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _LEFT_SECONDS:
                shutil.rmtree(folder)


def _list_local(root: Path, folder: str) -> Iterator[Entry]:
    place = _inside(root, folder)
    if not place.is_dir():
        return
    try:
        for entry in place.iterdir():
            is_folder = entry.is_dir()
            below = f"{folder}/{entry.name}" if folder else entry.name
            yield below, is_folder, entry.stat().st_size if entry.is_file() else None  # a dangling link is neither
    except OSError as error:
        raise Unreachable(f"The folder {place} cannot be read: {error.strerror}.") from error


def _inside(root: Path, path: str) -> Path:
    """The place on disk. Symbolic links must not lead out of the root."""
    place, home = (root / path).resolve(), root.resolve()
    if not place.is_relative_to(home):
        raise Refused(f"The artifact name {path[:200]!r} leads out of its folder.")
    return place


def _pieces(place: Path) -> Iterator[bytes]:
    if place.exists() and not place.is_file():  # a pipe or a device would never end
        raise Refused(f"{place.name!r} is not a file.")
    try:
        with place.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {place.name!r}.") from error
    except OSError as error:
        raise Unreachable(f"The file {place} cannot be read: {error.strerror}.") from error


def _repository(address: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: PLC0415

    return get_artifact_repository(address)


def _told(error: Exception, root: str) -> RegistryError:
    """What the store's library raised, as the port's error: what waiting cannot mend is Refused."""
    words = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
    if isinstance(error, ImportError):
        return Refused(f"The worker lacks a library for the artifact store {_named(root)}: {words}")
    return Unreachable(f"The artifact store {_named(root)} did not answer: {words}")


def _spelled(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme in {"", "file"}:
        return f"file://{parts.path.rstrip('/')}"
    return address.rstrip("/")


def _named(root: str) -> str:
    parts = urlsplit(root)
    return f"{parts.scheme or 'file'}://{parts.hostname or ''}{parts.path[:200]}"
