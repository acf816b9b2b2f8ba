"""The sealed artifact repository, for MLflow servers that hand out files themselves: the scheme `countersign:` before
the destination, in `--artifacts-destination` or MLFLOW_ARTIFACTS_DESTINATION.

What was approved is a version with its files. So the folders that the policy names are sealed: nothing in them is
written or deleted through MLflow, nor is a folder around them. All else goes on as it comes, reading too. `build` has
MLflow make the repository that it would make without us, and gives it a class in which each changing method first asks
where it would write. No grant opens a seal, as Countersign never writes files.

Outside of this are who reaches the storage itself, and runs whose files MLflow's clients write there directly.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact import artifact_repo
from mlflow.utils.uri import get_uri_scheme

# The modules, not what is in them: each may be what brought MLflow in, and with it this one before its own end.
from mlflow_gate import changes, store
from mlflow_gate.policy import ENFORCE, OFF, Policy, Rule, Sealed
from mlflow_gate.seals import DOCTOR, Seals, climbs

log = logging.getLogger("mlflow_gate")

DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
"""Where `mlflow server` tells its own processes what the operator gave as destination."""

TRACES = "traces"
"""MLflow keeps traces in a folder of this name in each experiment, and makes a repository for each of them."""

RULE = Rule(models=("*",), places=("files",), mode=ENFORCE, words="its files stay as they are")

WAIT = 3
"""Seconds for which the first request waits for a policy, in a process that starts without one."""


def build(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """MLflow's entry point: the repository behind `countersign:`, sealed. Raises MlflowException."""
    # Here, as MLflow loads this module while it makes its registry.
    from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415
        get_registered_artifact_repositories,
    )

    below = _below_destination(artifact_uri)
    inner = artifact_uri[len(store.SCHEME) :]
    # Made by its scheme's own builder: MLflow's general one would ask whether the server may connect to that host, and
    # knows only hosts that stand at the beginning of the destination.
    builder = get_registered_artifact_repositories().get(get_uri_scheme(inner))
    if builder is None or inner.startswith(store.SCHEME):
        raise MlflowException(f"MLflow has no artifact repository for {inner!r}.", INVALID_PARAMETER_VALUE)
    wanted = {"tracking_uri": tracking_uri, "registry_uri": registry_uri}
    takes = inspect.signature(builder).parameters
    repository = builder(inner, **wanted) if wanted.keys() <= takes.keys() else builder(inner)
    decides = store.gate()
    _wait_for_policy(decides)
    repository.__class__ = sealed_class(type(repository), Sealing(decides, below))
    return repository


def _wait_for_policy(gate: store.Gate) -> None:
    """Which folders are sealed cannot be guessed, and training is not kept waiting for Countersign. So where nothing is
    known, as before Countersign was reached for the first time, nothing is sealed. Only the first repository of a
    process is waited for: each trace has one of its own."""
    while gate.policy().serial == 0 and time.monotonic() < _patience_ends():
        time.sleep(0.05)


@functools.lru_cache(maxsize=1)
def _patience_ends() -> float:
    """In this process, by its monotonic clock."""
    return time.monotonic() + WAIT


def _below_destination(uri: str) -> str:
    """Where in the operator's destination a repository begins: "" for all of it. Raises MlflowException for any other
    address. Engineers choose addresses, too, for their experiments and versions, and MLflow does not know of this
    scheme what it knows of `file:`: `countersign:/etc` must not read the server's own files."""
    root = os.environ.get(DESTINATION, "").rstrip("/")
    if root.startswith(store.SCHEME) and uri.rstrip("/") == root:
        return ""
    below = uri[len(root) + 1 :] if root.startswith(store.SCHEME) and uri.startswith(f"{root}/") else ""
    if TRACES in below.split("/") and not climbs(below):
        return below
    raise MlflowException(
        f"{store.SCHEME} is for the destination that the MLflow server is started with, and for no other address.",
        INVALID_PARAMETER_VALUE,
    )


# --- What each method would change


Places = Callable[[Mapping[str, Any]], Iterator[str]]


def _file(arguments: Mapping[str, Any]) -> Iterator[str]:
    """One file in a folder; each of MLflow's repositories takes the last part of its name."""
    name = arguments.get("artifact_file_name") or arguments["local_file"]
    yield _joined(arguments.get("artifact_path"), PurePath(name).name)


def _files(arguments: Mapping[str, Any]) -> Iterator[str]:
    """What a local folder holds."""
    root = Path(arguments["local_dir"])
    for found in root.rglob("*"):
        yield _joined(arguments.get("artifact_path"), found.relative_to(root).as_posix())


def _path(arguments: Mapping[str, Any]) -> Iterator[str]:
    yield arguments.get("artifact_path") or ""


def _root(_: Mapping[str, Any]) -> Iterator[str]:
    """Traces and what is attached to them: files right where the repository begins."""
    yield ""


def _joined(folder: str | None, name: str) -> str:
    return f"{folder}/{name}" if folder else name


WRITES: Mapping[str, Places] = {
    "log_artifact": _file,
    "log_artifact_from_stream": _file,
    "log_artifact_from_async_stream": _file,
    "log_artifacts": _files,
    "create_multipart_upload": _file,
    "complete_multipart_upload": _file,
    "abort_multipart_upload": _file,
    "create_presigned_upload_url": _path,
    "upload_trace_data": _root,
    "upload_archived_trace_data": _root,
    "upload_archived_trace_data_bytes": _root,
    "upload_attachment": _root,
}

DELETES: Mapping[str, Places] = {"delete_artifacts": _path}

READS = frozenset(
    {
        "list_artifacts",
        "get_local_path",
        "download_artifacts",
        "download_trace_data",
        "download_trace_data_to_file",
        "download_archived_trace_data",
        "download_trace_attachment",
        "download_trace_attachment_to_file",
        "get_download_presigned_url",
        "flush_async_logging",
        "max_workers",
    }
)
"""The census: with the methods above, all public ones of MLflow's artifact repositories."""


def not_looked_at(plain: type) -> list[str]:
    """Methods that a newer MLflow asks of its repositories. What else a kind of storage has is its own business."""
    known = {*WRITES, *DELETES, *READS}
    asked = [each for each in plain.__mro__ if each.__module__ == artifact_repo.__name__]
    return sorted({name for each in asked for name in vars(each) if not name.startswith("_")} - known)


def _any_text(arguments: Mapping[str, Any]) -> Iterator[str]:
    return (value for value in arguments.values() if isinstance(value, str))


# --- The decision


class Sealing:
    """What decides for one repository. `below` is where it begins in the destination."""

    def __init__(self, gate: store.Gate, below: str) -> None:
        self._gate, self._below = gate, below
        self._known: tuple[Policy | None, Seals] = None, Seals(())

    def require(self, operation: str, path: str, *, deletes: bool, by_letters: bool = False) -> None:
        """Returns when it may be changed. Raises MlflowException: 403, or 400 for a path with `..` in it, which some
        storage takes for another folder and some does not. MLflow's own routes refuse it as well."""
        if self._gate.settings.mode == OFF:
            return
        path = _joined(self._below, path)
        if climbs(path):
            raise MlflowException(f"{path!r} leads out of its folder.", INVALID_PARAMETER_VALUE)
        policy = self._gate.policy()
        seals = self._seals(policy)
        sealed = seals.around(path) or (seals.below(path, by_letters=by_letters) if deletes else None)
        if sealed is None:
            return
        mode = self._gate.settings.mode_now()
        sentence = _sentence(sealed)
        if sealed is not DOCTOR:
            touched = changes.Touched(RULE, RULE.places[0], sentence, sealed.model, sealed.version)
            store.tell(self._gate, operation, touched, mode)
        if mode == ENFORCE:
            raise store.refusal(f"{sentence}.", policy, mode)

    def _seals(self, policy: Policy) -> Seals:
        known, seals = self._known
        if known is not policy:
            seals = Seals(policy.sealed)
            self._known = policy, seals
        return seals


def _sentence(sealed: Sealed) -> str:
    if sealed is DOCTOR:
        return f"The files in {sealed.folder} cannot be changed: they are there to be refused"
    return (
        f"The files of {sealed.model} version {sealed.version} cannot be changed, as it is approved or in use;"
        " log a new version instead"
    )


# --- The class


def sealed_class(plain: type, sealing: Sealing) -> type:
    """A subclass of the repository's class, so that it still is what MLflow asks it to be."""
    unknown = not_looked_at(plain)
    if unknown:
        log.warning("This MLflow asks for files in ways that the gate does not know: %s.", ", ".join(unknown))
    by_letters = not hasattr(artifact_repo, "_is_object_key_within_path") and not hasattr(plain, "artifact_dir")
    members: dict[str, Any] = {}
    for name, places in {**WRITES, **DELETES, **dict.fromkeys(unknown, _any_text)}.items():
        method = getattr(plain, name, None)
        if inspect.isfunction(method):
            require = functools.partial(sealing.require, name, deletes=name not in WRITES, by_letters=by_letters)
            members[name] = _sealed(method, places, require)
    return type(f"Sealed{plain.__name__}", (plain,), members)


def _sealed(method: Callable[..., Any], places: Places, require: Callable[[str], None]) -> Callable[..., Any]:
    signature = inspect.signature(method)

    def ask(*args: Any, **kwargs: Any) -> None:
        arguments = signature.bind(*args, **kwargs).arguments
        for path in places(dict(list(arguments.items())[1:])):
            require(path)

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        ask(*args, **kwargs)
        return method(*args, **kwargs)

    @functools.wraps(method)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        ask(*args, **kwargs)
        return await method(*args, **kwargs)

    return call_async if inspect.iscoroutinefunction(method) else call
