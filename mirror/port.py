"""The registry port: what Countersign needs of a model registry, in its own words. No MLflow here.

`mlflow.client.MlflowRegistry` is the real one, `tests.support.fakes.FakeRegistry` the fast one; a contract suite runs
against both. Workers get theirs from `connect.connect()`. Times are milliseconds since the epoch, as MLflow gives them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

DESCRIPTION_LIMIT = 5_000
"""Characters in MLflow's version description (`VARCHAR(5000)`); PostgreSQL refuses more, SQLite does not say."""


CANARY = re.compile(r"countersign-canary(-[0-9a-f]{8})?")
"""Names of models on which `manage.py check_mlflow` tries things. They are not mirrored, and so nobody is accused."""

PROMPT_TAG = "mlflow.prompt.is_prompt"


def is_prompt(tags: Mapping[str, str]) -> bool:
    """As MLflow's search compares it: this value alone makes a prompt, "false" and "TRUE" do not."""
    return tags.get(PROMPT_TAG) == "true"


class RegistryError(Exception):
    """MLflow refused, or could not be asked. `message` is fit for the user."""

    may_retry = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(RegistryError):
    """No usable answer: connection refused or reset, time-out, 5xx, 429. Trying again can help."""

    may_retry = True


class NotFound(RegistryError):
    """The model, version, alias or run does not exist (any more)."""


class Refused(RegistryError):
    """MLflow answered no (4xx); the message is MLflow's own."""


class Denied(Refused):
    """MLflow does not accept the credentials (401), or they lack a right (403). Nothing is wrong with what was asked:
    once somebody has put the account right, the same call succeeds. The message names what is missing."""

    may_retry = True


class Outdated(Refused):
    """A gate in the registry found other holders than the change was decided on. Nothing was changed: look again."""

    may_retry = True


REFUSED_SIGN_IN = "MLflow refused the sign-in"
"""So begins what the registry says of the worker's own credentials; the pages know the case by it."""


WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"
WRONG_WORKSPACE = "This MLflow has"
"""So begin the sentences about workspaces, for the same reason."""


class Unsigned(Denied):
    """The credentials themselves (401): whatever is asked next is answered so too."""


SERVED = "mlflow-artifacts"
"""The scheme of files that MLflow hands out itself."""


def is_served(root: str) -> bool:
    return urlsplit(root).scheme == SERVED


def served_path(root: str) -> str:
    """`mlflow-artifacts://host/0/models/m-1/artifacts` → `0/models/m-1/artifacts`. Raises Refused when it leads out."""
    path = urlsplit(root).path.strip("/")
    if ".." in path.split("/"):
        raise Refused(f"The address {root[:200]!r} leads out of MLflow's artifacts.")
    return path


@dataclass(frozen=True, slots=True)
class Grounds:
    """On what a change is made. A registry with a gate is told, and changes nothing where other versions hold a place;
    one without changes whatever is there."""

    request: int | None = None
    """Number of the promotion request; None for what no request asked for."""

    holders: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Of places that the change touches, "Production" or "@champion": the versions that were last read there."""

    made: int | None = None
    """When the version was made that is changed, in milliseconds: a model that was deleted and made anew has other
    versions with the same numbers."""


UNASKED = Grounds()


@dataclass(frozen=True, slots=True)
class VersionSnapshot:
    model: str
    number: int
    stage: str
    description: str
    tags: Mapping[str, str]
    status: str
    status_message: str
    source: str
    run_id: str
    run_link: str
    logged_model_id: str
    created_at: int
    last_updated_at: int


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    name: str
    description: str
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    created_at: int
    last_updated_at: int
    latest: Sequence[int] = ()
    """Numbers of the newest version in each stage, ascending: MLflow names them with the model itself."""

    @property
    def is_prompt(self) -> bool:
        return is_prompt(self.tags)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the run says. Metric values may be NaN or infinite; `datasets` are dicts with name, digest, source,
    context."""

    run_id: str
    name: str
    status: str
    user: str
    experiment_id: str
    started_at: int | None
    ended_at: int | None
    is_deleted: bool
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    datasets: Sequence[Mapping[str, str]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class ModelMetric:
    """What was logged last under one key for one data set of a LoggedModel. `value` may be NaN or infinite."""

    key: str
    value: float
    dataset_name: str = ""
    dataset_digest: str = ""
    step: int = 0
    timestamp: int = 0
    run_id: str = ""
    """The run that logged it, which need not be the one that made the model."""

    answered: float | None = None
    """What the LoggedModel API says, where the run says something else: 0 of NaN, which that API cannot express."""

    is_proven: bool = True
    """False for a 0 that may have been NaN: the run that logged it cannot be read. `value` is then NaN."""


@dataclass(frozen=True, slots=True)
class LoggedModelFacts:
    logged_model_id: str
    name: str
    status: str
    metrics: Sequence[ModelMetric]
    """One of each key and data set."""

    params: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    path: str
    """Below the root, with "/" between its parts."""

    size: int | None
    """Bytes; None where the store does not say."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    version: str
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate inside the registry says of itself."""

    version: str
    serial: int
    """Of the policy that it enforces; 0 while it knows none."""

    mode: str
    """`enforce`, `observe` or `off`: whatever a policy says, it does no more."""


@dataclass(frozen=True, slots=True)
class Identity:
    """By what a registry is known again: see `identity`."""

    key: str
    """What Countersign has left there; "" when there is nothing."""

    born_at: int | None
    """When MLflow made its default experiment, where it says so."""

    address: str
    """Where it answered, with the workspace if one is named."""

    workspace: str = ""


class Registry(Protocol):
    """Every method may raise Unreachable; the ones that name a thing may raise NotFound; the writing ones Refused, and
    Outdated where a gate in the registry holds them to their grounds."""

    def ping(self) -> ServerInfo: ...

    def models(self, *, page_size: int = 1000, name: str | None = None) -> Iterator[Sequence[ModelSnapshot]]:
        """All registered models that MLflow lists, or the one of this name, page by page. It lists no prompts."""

    def versions(
        self, *, page_size: int = 10_000, model: str | None = None, by_name: bool = False
    ) -> Iterator[Sequence[VersionSnapshot]]:
        """All versions that MLflow lists, newest change first, page by page; with `by_name` ascending by the names of
        their models, as MLflow's database sorts them, and their numbers. It leaves out every version of a model of
        which one, deleted ones too, is marked as a prompt; each still answers to its number."""

    def model(self, name: str) -> ModelSnapshot:
        """A prompt answers as well."""

    def version(self, model: str, number: int) -> VersionSnapshot: ...

    def versions_in_stage(self, model: str, stage: str) -> Sequence[VersionSnapshot]:
        """Also of a model whose versions MLflow does not list; none of a model that does not exist."""

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, RunFacts | Denied]:
        """By id; runs that do not exist are absent, and for those that this account may not read there is why."""

    def logged_models(self, ids: Iterable[str]) -> Mapping[str, LoggedModelFacts | Denied]:
        """The same of LoggedModels."""

    def version_root(self, model: str, number: int) -> str:
        """The address of the version's files, for the two methods below."""

    def run_root(self, run_id: str) -> str:
        """The address of the files that the run logged."""

    def artifacts(self, root: str) -> Iterator[ArtifactFile]:
        """All files below a root, folder by folder; none where there is nothing. Raises Refused for a store that may
        not be read, and for names that lead out of the root."""

    def read_artifact(self, root: str, path: str) -> Iterator[bytes]:
        """The bytes of one file in chunks; memory stays bounded however large it is. A file that ends early, or stops
        coming, is Unreachable. Raises NotFound, and Refused as above."""

    def stepped_metrics(self, run_id: str) -> Sequence[str]:
        """The keys of the metrics whose last step is not 0, sorted."""

    def metric_history(self, run_id: str, key: str, *, limit: int) -> Sequence[tuple[int, float]]:
        """(step, value) of what the run logged, by step. Thinned out evenly to about `limit` points, with the first
        and the last; empty where the run or the metric does not exist."""

    def set_description(self, model: str, number: int, description: str, *, grounds: Grounds = UNASKED) -> None: ...

    def set_tag(self, model: str, number: int, key: str, value: str, *, grounds: Grounds = UNASKED) -> None: ...

    def delete_tag(self, model: str, number: int, key: str, *, grounds: Grounds = UNASKED) -> None: ...

    def set_stage(
        self, model: str, number: int, stage: str, *, archive_existing: bool, grounds: Grounds = UNASKED
    ) -> None: ...

    def set_alias(self, model: str, alias: str, number: int, *, grounds: Grounds = UNASKED) -> None: ...

    def delete_alias(self, model: str, alias: str, *, grounds: Grounds = UNASKED) -> None:
        """Nothing happens where the model has no such alias."""

    # The installation: for `identity` and `rights` alone

    @property
    def address(self) -> str: ...

    @property
    def workspace(self) -> str:
        """The one that is named in the settings; "" for MLflow's default."""

    def has_workspaces(self) -> bool:
        """Whether MLflow keeps its models in workspaces; then one has to be named."""

    def identity(self) -> Identity: ...

    def keep_identity(self, key: str) -> None:
        """Leaves the key with MLflow, beside the models. Raises Refused where this account may write nowhere."""

    def clock_skew(self) -> float | None:
        """Seconds by which MLflow's clock is ahead of this host's, to about one; None where it tells no date."""

    def gate(self) -> Gate | None:
        """As one process of the server says it, on a connection of its own; None where it has no gate. Changes nothing.
        Raises Refused where neither can be told."""

    def unsigned(self) -> "Registry":
        """The same server, asked without credentials."""

    def newest_run(self) -> str: ...

    def create_model(self, name: str) -> None: ...

    def create_version(self, model: str) -> int: ...

    def delete_model(self, name: str) -> None: ...


def read_whole(registry: Registry, root: str, path: str, *, largest: int) -> bytes | None:
    """A small file; None when it turns out to have more than `largest` bytes, whatever the listing said."""
    parts, size = [], 0
    for chunk in registry.read_artifact(root, path):
        parts.append(chunk)
        size += len(chunk)
        if size > largest:
            return None
    return b"".join(parts)


def as_plain(snapshot: Any) -> dict[str, Any]:
    """The snapshot as a dict, for display and canonical JSON."""
    return {name: getattr(snapshot, name) for name in snapshot.__dataclass_fields__}
