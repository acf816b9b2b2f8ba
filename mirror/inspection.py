"""Looks at a version's files for a decision: hashes all of them, reads the few that describe the model, and keeps the
curves, figures and tables of its run. Files are streamed and hashed, never loaded.

For the worker: assessment before review, and delivery before anything moves.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any, TypeAlias, TypeVar

from django.db import transaction

from mirror import clock, exhibits, packaging, sandbox
from mirror.models import Exhibit, Inspection, ModelVersion
from mirror.port import ArtifactFile, NotFound, Refused, Registry, RegistryError, read_whole

AT_ONCE = 4
MOST_FILES = 50_000
NOT_ASKED = {"skipped": "The policy does not ask for the model's files to be hashed."}
TOLD_EVERY = 1.0
"""Seconds between two notes of the progress."""

T = TypeVar("T")

Progress: TypeAlias = Callable[[], object]
"""Called about every second while files are read, so that a lease can be renewed; may raise to stop it."""


class TookTooLong(RegistryError):
    """The files could not be read in the time that is set for it."""


class _VanishedError(Exception):
    """A file that was listed is gone: a person writes to the folder."""


class _LargerError(Exception):
    """There is more than the store said, and more than the limit."""


def nothing() -> None:
    """Progress that no one follows."""


def inspect(
    registry: Registry,
    version: ModelVersion,
    *,
    files_limit_bytes: int | None,
    seconds: float,
    progress: Progress = nothing,
) -> Inspection:
    """Looks at files, packaging, curves and exhibits, and stores what it found, all of it or nothing; the progress
    alone is stored before. Raises the port's errors, and TookTooLong after `seconds`."""
    row, _ = Inspection.objects.get_or_create(version=version)
    now = clock.now()
    _note(row, started_at=now, files_done=0, files_total=0, bytes_done=0, bytes_total=0)
    job = _Job(registry, seconds, progress, told=lambda job: _note(row, **job.counts()))
    root = registry.version_root(version.model.name, version.number)
    files = job.hash(root, files_limit_bytes, keep=packaging.small_files)
    facts, problem = _described(job, root, job.kept if "digest" in files else None)
    curves, no_curves = _decoration("Curves of metrics", lambda: exhibits.curves(registry, version, check=job.tell))
    found, no_exhibits = _decoration("Figures and tables", lambda: exhibits.found(registry, version, check=job.tell))
    problem = " ".join(filter(None, (problem, no_curves, no_exhibits)))
    with transaction.atomic():
        _note(row, files=files, packaging=facts, curves=curves or {}, problem=problem, inspected_at=clock.now())
        if found is not None:  # those that are kept stay where MLflow does not give them now
            Exhibit.objects.filter(version=version).exclude(path__in=[each.path for each in found]).delete()
        Exhibit.objects.bulk_create(
            found or [],
            update_conflicts=True,
            unique_fields=["version", "path"],
            update_fields=["kind", "media_type", "size", "sha256", "content"],
        )
    return row


def _described(job: "_Job", root: str, kept: dict[str, bytes] | None) -> tuple[dict[str, Any] | None, str]:
    """A store that the worker may not read must not stand in the way where the policy does not ask for hashes."""
    try:
        return sandbox.described(job.read_small(root) if kept is None else kept)
    except (NotFound, Refused) as error:
        return None, error.message


def _decoration(what: str, read: Callable[[], T]) -> tuple[T | None, str]:
    """What `read` gives; where MLflow does not, None and a sentence. No one waits for what only decorates."""
    try:
        return read(), ""
    except RegistryError as error:
        return None, f"{what} are not available: {error.message}"


def read_packaging(registry: Registry, version: ModelVersion, *, seconds: float = 60) -> Inspection:
    """Only what describes the model, and the curves and exhibits of its run: for the champion, whose files are not in
    question. Its `files` stay as they are."""
    job = _Job(registry, seconds, nothing)
    facts, problem = _described(job, registry.version_root(version.model.name, version.number), None)
    curves, no_curves = _decoration("Curves of metrics", lambda: exhibits.curves(registry, version, check=job.tell))
    found, no_exhibits = _decoration("Figures and tables", lambda: exhibits.found(registry, version, check=job.tell))
    problem = " ".join(filter(None, (problem, no_curves, no_exhibits)))
    row, _ = Inspection.objects.get_or_create(version=version)
    _note(row, packaging=facts, curves=curves or {}, problem=problem)
    Exhibit.objects.bulk_create(found or [], ignore_conflicts=True)
    return row


def hash_files(
    registry: Registry,
    version: ModelVersion,
    *,
    files_limit_bytes: int | None,
    seconds: float,
    progress: Progress = nothing,
) -> dict[str, Any]:
    """The version's files as they are now: {"digest": SHA-256 of the manifest, hexadecimal, "bytes", "count",
    "manifest": [[path, size, SHA-256], …] by path}, or {"skipped": why} above the limit. An empty folder has an empty
    manifest. Stores nothing."""
    if files_limit_bytes == 0:
        return dict(NOT_ASKED)
    root = registry.version_root(version.model.name, version.number)
    return _Job(registry, seconds, progress).hash(root, files_limit_bytes)


@dataclass
class _Job:
    """One reading of files against the clock."""

    registry: Registry
    seconds: float
    progress: Progress
    told: Callable[["_Job"], None] = lambda _: None
    kept: dict[str, bytes] = field(default_factory=dict)
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0

    def __post_init__(self) -> None:
        self._started = self._last_told = time.monotonic()
        self._lock = Lock()

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("files_done", "files_total", "bytes_done", "bytes_total")}

    def check(self) -> None:
        """Raises TookTooLong when the time is over."""
        if time.monotonic() - self._started > self.seconds:
            raise TookTooLong(f"The model's files could not be read within {self.seconds:g} seconds.")

    def tell(self) -> None:
        """The same, and notes the progress when that is due. In the caller's thread alone: the database is its own."""
        self.check()
        now = time.monotonic()
        if now - self._last_told >= TOLD_EVERY:
            self._last_told = now
            self.told(self)
            self.progress()

    def hash(
        self, root: str, limit: int | None, *, keep: Callable[[set[str]], set[str]] = lambda _: set()
    ) -> dict[str, Any]:
        if limit == 0:
            return dict(NOT_ASKED)
        try:
            try:
                return self._hash_listed(root, limit, keep)
            except _VanishedError:
                return self._hash_listed(root, limit, keep)
        except _VanishedError as error:
            raise Refused(f"MLflow lists the file {error}, but does not give it.") from error

    def _hash_listed(self, root: str, limit: int | None, keep: Callable[[set[str]], set[str]]) -> dict[str, Any]:
        listed = self._list(root)
        self.kept, self.files_done, self.bytes_done = {}, 0, 0
        self.files_total, self.bytes_total = len(listed), sum(each.size or 0 for each in listed)
        try:
            if limit is not None and self.bytes_total > limit:
                raise _LargerError
            manifest = sorted(self._all(root, listed, keep({each.path for each in listed}), limit))
        except _LargerError:
            size = f"{limit / 1_000_000:,.0f}" if limit else ""
            return {"skipped": f"The model's files are larger than {size} MB, so they were not hashed."}
        text = json.dumps(manifest, separators=(",", ":"), ensure_ascii=False)
        return {
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "bytes": sum(size for _, size, _ in manifest),
            "count": len(manifest),
            "manifest": manifest,
        }

    def read_small(self, root: str) -> dict[str, bytes]:
        """The files that describe the model, without the others."""
        paths = {each.path for each in self._list(root)}
        for path in sorted(packaging.small_files(paths)):
            self.tell()
            try:
                content = read_whole(self.registry, root, path, largest=packaging.LARGEST)
            except NotFound:  # gone since it was listed
                continue
            if content is not None:
                self.kept[path] = content
        return self.kept

    def _list(self, root: str) -> list[ArtifactFile]:
        found = []
        for each in self.registry.artifacts(root):
            found.append(each)
            self.tell()
            if len(found) > MOST_FILES:
                raise Refused(f"The version has more than {MOST_FILES:,} files.")
        return found

    def _all(self, root: str, listed: list[ArtifactFile], kept: set[str], limit: int | None) -> Iterator[list[Any]]:
        """Several files at a time: most are small, and each costs a round trip. The threads do not touch the database,
        and are not waited for when the reading ends early: each ends with its next chunk or time-out."""
        over = Event()

        def one(path: str) -> list[Any]:
            digest, size, parts = hashlib.sha256(), 0, []
            try:
                for chunk in self.registry.read_artifact(root, path):
                    self.check()
                    if over.is_set():
                        break
                    digest.update(chunk)
                    size += len(chunk)
                    if path in kept and size <= packaging.LARGEST:
                        parts.append(chunk)
                    with self._lock:
                        self.bytes_done += len(chunk)
                    if limit is not None and self.bytes_done > limit:
                        raise _LargerError
            except NotFound as error:
                raise _VanishedError(repr(path)) from error
            with self._lock:
                self.files_done += 1
                if path in kept and size <= packaging.LARGEST:
                    self.kept[path] = b"".join(parts)
            return [path, size, digest.hexdigest()]

        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            waiting = [pool.submit(one, each.path) for each in listed]
            for future in waiting:
                while wait([future], timeout=TOLD_EVERY / 4).not_done:
                    self.tell()
                yield future.result()
                self.tell()
        finally:
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _note(row: Inspection, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=list(fields))
