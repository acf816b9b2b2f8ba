"""FakeRegistry: an MLflow Model Registry in memory. The contract suite holds it to what a real server does."""

import contextlib
import math
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from mirror.port import (
    PROMPT_TAG,
    UNASKED,
    ArtifactFile,
    Denied,
    Gate,
    Grounds,
    Identity,
    LoggedModelFacts,
    ModelMetric,
    ModelSnapshot,
    NotFound,
    Outdated,
    Refused,
    RegistryError,
    RunFacts,
    ServerInfo,
    Unreachable,
    VersionSnapshot,
    is_prompt,
)

MODEL_FILES = {
    "MLmodel": b"flavors:\n  sklearn:\n    serialization_format: skops\n    pickled_model: model.skops\n",
    "model.skops": b"weights",
    "requirements.txt": b"scikit-learn==1.7.2\n",
}
_addresses = count(1)
STAGES = {stage.lower(): stage for stage in ("None", "Staging", "Production", "Archived")}


class FakeRegistry:
    """The port, plus what an engineer does behind its back (`create_version`, `delete_model`, `log_run`, …), plus
    trouble: `is_down`, `fail_next`, `limit` (PostgreSQL's 5,000 characters), `between_pages`. `calls` lists every
    request."""

    def __init__(self, *, limit: int | None = None, clock: Callable[[], int] | None = None) -> None:
        self.limit, self.is_down = limit, False
        self.clock = clock or (lambda: time.time_ns() // 1_000_000)
        self.between_pages: Callable[[], None] = lambda: None
        self.calls: list[tuple[Any, ...]] = []
        self.is_gated = False
        """Whether a gate holds changes to their grounds, as the one inside MLflow does."""

        self.gates: list[Gate | None] = [None]
        """What the processes of the server say of their gate, in turn."""

        self.grounds: list[tuple[str, Grounds]] = []
        """On what each change was made, with the name of its method."""

        self._models: dict[str, ModelSnapshot] = {}
        self._versions: dict[tuple[str, int], VersionSnapshot] = {}
        self._deleted: dict[tuple[str, int], VersionSnapshot] = {}
        self._last_number: defaultdict[str, int] = defaultdict(int)
        self._runs: dict[str, RunFacts] = {}
        self._logged_models: dict[str, LoggedModelFacts] = {}
        self._without_effect: defaultdict[str, int] = defaultdict(int)
        self._failures: defaultdict[str, list[RegistryError]] = defaultdict(list)
        self.files: dict[str, dict[str, bytes]] = {}
        self.histories: dict[str, dict[str, list[tuple[int, float]]]] = {}
        self.address, self.workspace = f"fake://{next(_addresses)}", ""
        self.workspaces = False
        self.key, self.born_at, self.skew_seconds = "", self.clock(), 0.0
        self._replica: tuple[dict[str, ModelSnapshot], dict[tuple[str, int], VersionSnapshot]] | None = None
        self._is_all_behind = False
        self._empty: dict[str, int] = {}
        self.denied: set[str] = set()
        """Models, runs and LoggedModels that the account may not read: a listing leaves them out without a word."""

        self._ids = count(1)
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """For copies: a registry that was made once serves many tests, each with one of its own."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()

    # --- Trouble

    def fail_next(self, method: str, error: RegistryError | None = None, *, times: int = 1) -> None:
        """The next calls of this method raise, before they do anything."""
        self._failures[method] += [error or Unreachable("MLflow cannot be reached: Connection refused.")] * times

    def ignore_next(self, method: str, *, times: int = 1) -> None:
        """The next calls of this writing method are answered well and do nothing."""
        self._without_effect[method] += times

    def _is_ignored(self, method: str) -> bool:
        self._without_effect[method] = max(0, (left := self._without_effect[method]) - 1)
        return left > 0

    def count(self, *methods: str) -> int:
        """How many requests were sent, of these methods or of all."""
        return sum(not methods or call[0] in methods for call in self.calls)

    @contextlib.contextmanager
    def behind(self, *, everything: bool = False) -> Iterator[None]:
        """From here on listings come from a replica that stands still, and with `everything` each answer does."""
        self._replica, self._is_all_behind = (dict(self._models), dict(self._versions)), everything
        try:
            yield
        finally:
            self._replica, self._is_all_behind = None, False

    @contextlib.contextmanager
    def empty(self, method: str, *, times: int = 1_000_000) -> Iterator[None]:
        """Here so many listings ("models", "versions") are answered `{}`, as by a proxy that lost the rest."""
        self._empty[method] = times
        try:
            yield
        finally:
            del self._empty[method]

    def _request(self, method: str, *values: Any) -> None:
        self.calls.append((method, *values))
        if self.is_down:
            raise Unreachable("MLflow cannot be reached: Connection refused.")
        if self._failures[method]:
            raise self._failures[method].pop(0)

    def _change(
        self, method: str, model: str, grounds: Grounds, *, is_in_effect: bool = False, number: int | None = None
    ) -> None:
        """A gate lets through what changes nothing: a request whose answer was lost is sent again. `number`: of the
        version that is changed."""
        self.grounds.append((method, grounds))
        if self.is_gated and grounds.made is not None and self._version(model, number or 0).created_at != grounds.made:
            raise Outdated(f"the grant expects another version {number} than the one that was made since")
        if not self.is_gated or is_in_effect:
            return
        for place, expected in grounds.holders.items():
            there = self._holders(model, place)
            if there != sorted(expected):
                raise Outdated(f"the grant expects {sorted(expected)} in {place}, MLflow has {there}")

    def _holders(self, model: str, place: str) -> list[int]:
        if place.startswith("@"):
            return [number for alias, number in self._model(model).aliases.items() if alias == place[1:]]
        return sorted(key[1] for key, each in self._versions.items() if key[0] == model and each.stage == place)

    # --- The port: reading

    def ping(self) -> ServerInfo:
        self._request("ping")
        return ServerInfo(version="3.17.2", latency_ms=0.1)

    def models(self, *, page_size: int = 1000, name: str | None = None) -> Iterator[Sequence[ModelSnapshot]]:
        def by_name() -> list[ModelSnapshot]:
            latest = self._latest()
            models = self._replica[0] if self._replica else self._models
            listed = [models[each] for each in sorted(models) if name in (None, each)]
            shown = (each for each in listed if not each.is_prompt and each.name not in self.denied)
            return [replace(each, latest=latest.get(each.name, ())) for each in shown]

        yield from self._pages("models", page_size, by_name)

    def versions(
        self, *, page_size: int = 10_000, model: str | None = None, by_name: bool = False
    ) -> Iterator[Sequence[VersionSnapshot]]:
        def newest_first(each: VersionSnapshot) -> tuple[int, str, int]:
            return -each.last_updated_at, each.model, -each.number

        def in_order() -> list[VersionSnapshot]:
            all_of_them = [*self._versions.values(), *self._deleted.values()]
            hidden = {each.model for each in all_of_them if is_prompt(each.tags)} | self.denied
            found = [
                each
                for each in (self._replica[1] if self._replica else self._versions).values()
                if each.model not in hidden and model in (None, each.model)
            ]
            return sorted(found, key=(lambda each: (each.model, each.number)) if by_name else newest_first)

        yield from self._pages("versions", page_size, in_order)

    def _pages(self, method: str, page_size: int, listing: Callable[[], list[Any]]) -> Iterator[Sequence[Any]]:
        """Pages by offset over whatever is there when each is asked for, as MLflow does."""
        offset = 0
        while True:
            self._request(method, page_size)
            with self._lock:
                listed = listing()
            if self._empty.get(method, 0) > 0:
                self._empty[method] -= 1
                listed = []
            yield listed[offset : offset + page_size]
            offset += page_size
            if offset >= len(listed):
                return
            self.between_pages()

    def _may_read(self, name: str) -> None:
        if name in self.denied:
            raise Denied("Permission denied")

    def model(self, name: str) -> ModelSnapshot:
        self._request("model", name)
        self._may_read(name)
        if self._replica and self._is_all_behind:
            return self._replica[0][name]
        return self._model(name)

    def version(self, model: str, number: int) -> VersionSnapshot:
        self._request("version", model, number)
        self._may_read(model)
        if self._replica and self._is_all_behind:
            return self._replica[1][model, number]
        return self._version(model, number)

    def versions_in_stage(self, model: str, stage: str) -> Sequence[VersionSnapshot]:
        self._request("versions_in_stage", model, stage)
        versions = self._replica[1] if self._replica else self._versions
        found = (each for each in versions.values() if (each.model, each.stage) == (model, stage))
        return sorted(found, key=lambda each: (-each.last_updated_at, -each.number))

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, RunFacts | Denied]:
        return self._among("runs", run_ids, self._runs)

    def logged_models(self, ids: Iterable[str]) -> Mapping[str, LoggedModelFacts | Denied]:
        return self._among("logged_models", ids, self._logged_models)

    def _among(self, method: str, ids: Iterable[str], held: Mapping[str, Any]) -> dict[str, Any]:
        wanted = set(ids)
        if wanted:
            self._request(method, *sorted(wanted))
        found = {each: held[each] for each in wanted if each in held}
        return found | {each: Denied("Permission denied") for each in wanted & self.denied}

    # --- The port: files

    def version_root(self, model: str, number: int) -> str:
        self._request("version_root", model, number)
        self._version(model, number)
        return f"fake:/{model}/{number}"

    def run_root(self, run_id: str) -> str:
        self._request("run_root", run_id)
        if run_id not in self._runs:
            raise NotFound(f"Run '{run_id}' not found")
        return f"fake:/runs/{run_id}"

    def artifacts(self, root: str) -> Iterator[ArtifactFile]:
        self._request("artifacts", root)
        for path, content in sorted(self.files_of(root).items()):
            yield ArtifactFile(path, len(content))

    def read_artifact(self, root: str, path: str) -> Iterator[bytes]:
        self._request("read_artifact", root, path)
        if path not in self.files_of(root):
            raise NotFound(f"No such artifact: '{path}'")
        content = self.files_of(root)[path]
        for start in range(0, len(content), 1024):
            yield content[start : start + 1024]

    def stepped_metrics(self, run_id: str) -> Sequence[str]:
        self._request("stepped_metrics", run_id)
        if run_id not in self._runs:
            raise NotFound(f"Run '{run_id}' not found")
        return sorted(key for key, points in self.histories.get(run_id, {}).items() if max(points)[0])

    def metric_history(self, run_id: str, key: str, *, limit: int) -> Sequence[tuple[int, float]]:
        self._request("metric_history", run_id, key)
        metrics = self._runs[run_id].metrics if run_id in self._runs else {}
        known = {key: [(0, metrics[key])]} if key in metrics else {}
        points = sorted((known | self.histories.get(run_id, {})).get(key, ()))
        if len(points) <= limit:
            return points
        return [points[round(index * (len(points) - 1) / (limit - 1))] for index in range(limit)]

    def files_of(self, root: str) -> dict[str, bytes]:
        """What lies below a root; every version starts with a small model."""
        return self.files.setdefault(root, {} if root.startswith("fake:/runs/") else dict(MODEL_FILES))

    def change_file(self, model: str, number: int, path: str, content: bytes) -> None:
        """What somebody with access to the artifact store does."""
        self.files_of(f"fake:/{model}/{number}")[path] = content

    # --- The port: writing

    def set_description(self, model: str, number: int, description: str, *, grounds: Grounds = UNASKED) -> None:
        self._request("set_description", model, number, description)
        if self._is_ignored("set_description"):
            return
        with self._lock:
            self._change("set_description", model, grounds, number=number)
            old = self._version(model, number)
            if self.limit is not None and len(description) > self.limit:
                raise Refused(
                    "(psycopg2.errors.StringDataRightTruncation) value too long for type character varying(5000)"
                )
            self._versions[model, number] = replace(old, description=description, last_updated_at=self.clock())

    def set_tag(self, model: str, number: int, key: str, value: str, *, grounds: Grounds = UNASKED) -> None:
        self._request("set_tag", model, number, key, value)
        if self._is_ignored("set_tag"):
            return
        with self._lock:
            self._change("set_tag", model, grounds, number=number)
            old = self._version(model, number)
            self._versions[model, number] = replace(old, tags={**old.tags, key: value})

    def delete_tag(self, model: str, number: int, key: str, *, grounds: Grounds = UNASKED) -> None:
        self._request("delete_tag", model, number, key)
        with self._lock:
            self._change("delete_tag", model, grounds, number=number)
            old = self._version(model, number)
            self._versions[model, number] = replace(
                old, tags={name: each for name, each in old.tags.items() if name != key}
            )

    def set_stage(
        self, model: str, number: int, stage: str, *, archive_existing: bool, grounds: Grounds = UNASKED
    ) -> None:
        self._request("set_stage", model, number, stage, archive_existing)
        canonical = STAGES.get(stage.lower())
        if canonical is None:
            raise Refused(f"Invalid Model Version stage: {stage}. Value must be one of {', '.join(STAGES.values())}.")
        if archive_existing and canonical not in {"Staging", "Production"}:
            raise Refused("Existing versions can be archived for Staging and Production only.")
        with self._lock:
            old, now = self._version(model, number), self.clock()
            there = self._holders(model, canonical)
            is_in_effect = there == [number] if archive_existing else number in there
            self._change("set_stage", model, grounds, is_in_effect=is_in_effect, number=number)
            for key, each in self._versions.items():
                if archive_existing and each.model == model and each.stage == canonical and each.number != number:
                    self._versions[key] = replace(each, stage="Archived", last_updated_at=now)
            self._versions[model, number] = replace(old, stage=canonical, last_updated_at=now)
            self._models[model] = replace(self._models[model], last_updated_at=now)

    def set_alias(self, model: str, alias: str, number: int, *, grounds: Grounds = UNASKED) -> None:
        self._request("set_alias", model, alias, number)
        if not re.fullmatch(r"[\w-]+", alias):
            raise Refused(f"Invalid alias name: '{alias}'.")
        if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
            raise Refused(f"Version alias name '{alias}' is reserved.")
        with self._lock:
            self._version(model, number)
            is_in_effect = self._holders(model, f"@{alias}") == [number]
            self._change("set_alias", model, grounds, is_in_effect=is_in_effect, number=number)
            self._models[model] = replace(self._models[model], aliases={**self._models[model].aliases, alias: number})

    def delete_alias(self, model: str, alias: str, *, grounds: Grounds = UNASKED) -> None:
        self._request("delete_alias", model, alias)
        with self._lock:
            old = self._model(model)
            self._change("delete_alias", model, grounds, is_in_effect=alias not in old.aliases)
            aliases = {name: number for name, number in old.aliases.items() if name != alias}
            self._models[model] = replace(old, aliases=aliases)

    # --- The port: the installation

    def has_workspaces(self) -> bool:
        return self.workspaces

    def identity(self) -> Identity:
        self._request("identity")
        return Identity(self.key, self.born_at, self.address, self.workspace)

    def keep_identity(self, key: str) -> None:
        self._request("keep_identity", key)
        self.key = key

    def clock_skew(self) -> float | None:
        if self.is_down:
            raise Unreachable("MLflow cannot be reached: Connection refused.")
        return self.skew_seconds

    def gate(self) -> Gate | None:
        self._request("gate")
        return self.gates[self.count("gate") % len(self.gates)]

    def unsigned(self) -> "FakeRegistry":
        return self

    def newest_run(self) -> str:
        self._request("newest_run")
        return max(self._runs, default="")

    # --- Behind the port's back: what engineers do in MLflow

    def create_model(  # of the port, and of engineers
        self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None, is_prompt: bool = False
    ) -> str:
        with self._lock:
            now = self.clock()
            marks = {PROMPT_TAG: "true"} if is_prompt else {}
            self._models[name] = ModelSnapshot(name, description, {**(tags or {}), **marks}, {}, now, now)
            self._last_number[name] = 0
        return name

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        with self._lock:
            old = self._model(name)
            self._models[name] = replace(old, tags={**old.tags, key: value})

    def delete_model_tag(self, name: str, key: str) -> None:
        with self._lock:
            old = self._model(name)
            self._models[name] = replace(old, tags={each: value for each, value in old.tags.items() if each != key})

    def create_version(self, model: str, *, run_id: str = "", logged_model_id: str = "", **fields: Any) -> int:
        """Registers the next version, with its model when that is new; returns the number."""
        with self._lock:
            if model not in self._models:
                self.create_model(model)
            self._last_number[model] += 1
            number, now = self._last_number[model], self.clock()
            source = f"models:/{logged_model_id}" if logged_model_id else "s3://bucket/model"
            snapshot = VersionSnapshot(
                model=model,
                number=number,
                stage="None",
                description="",
                tags={},
                status="READY",
                status_message="",
                source=source,
                run_id=run_id,
                run_link="",
                logged_model_id=logged_model_id,
                created_at=now,
                last_updated_at=now,
            )
            self._versions[model, number] = replace(snapshot, **fields)
            self._models[model] = replace(self._models[model], last_updated_at=now)
        return number

    def copy_version(self, model: str, number: int, to: str) -> int:
        """What `MlflowClient.copy_model_version` does: the copy has the same run, and no LoggedModel of its own."""
        return self.create_version(to, run_id=self._version(model, number).run_id, source=f"models:/{model}/{number}")

    def change_version(self, model: str, number: int, **fields: Any) -> None:
        """Sets any field, without moving the time of the last update."""
        with self._lock:
            self._versions[model, number] = replace(self._version(model, number), **fields)

    def delete_version(self, model: str, number: int) -> None:
        with self._lock:
            self._version(model, number)
            self._deleted[model, number] = self._versions.pop((model, number))
            old = self._models[model]
            aliases = {alias: held for alias, held in old.aliases.items() if held != number}
            self._models[model] = replace(old, aliases=aliases, last_updated_at=self.clock())

    def delete_model(self, name: str) -> None:
        with self._lock:
            self._model(name)
            del self._models[name]
            for held in (self._versions, self._deleted):
                for key in [key for key in held if key[0] == name]:
                    del held[key]

    def rename_model(self, name: str, new_name: str) -> None:
        """MLflow keeps the versions with all they have, their times of making too, and moves their last update."""
        with self._lock:
            now = self.clock()
            self._models[new_name] = replace(self._model(name), name=new_name, last_updated_at=now)
            del self._models[name]
            self._last_number[new_name] = self._last_number[name]
            for key in [key for key in self._deleted if key[0] == name]:
                self._deleted[new_name, key[1]] = replace(self._deleted.pop(key), model=new_name)
            for key in [key for key in self._versions if key[0] == name]:
                version = self._versions.pop(key)
                self._versions[new_name, key[1]] = replace(version, model=new_name, last_updated_at=now)
                root = f"fake:/{name}/{key[1]}"
                if root in self.files:
                    self.files[f"fake:/{new_name}/{key[1]}"] = self.files.pop(root)

    def log_run(
        self, metrics: Mapping[str, float] | None = None, params: Mapping[str, str] | None = None, **fields: Any
    ) -> str:
        """Makes a finished run; returns its id."""
        run_id = f"{next(self._ids):032x}"
        metrics = {key: _stored(value) for key, value in (metrics or {}).items()}
        facts = RunFacts(
            run_id=run_id,
            name="train",
            status="FINISHED",
            user="rita",
            experiment_id="0",
            started_at=self.clock(),
            ended_at=self.clock(),
            is_deleted=False,
            metrics=metrics,
            params=dict(params or {}),
            tags={},
        )
        self._runs[run_id] = replace(facts, **fields)
        return run_id

    def change_run(self, run_id: str, **fields: Any) -> None:
        self._runs[run_id] = replace(self._runs[run_id], **fields)

    def delete_run(self, run_id: str) -> None:
        self.change_run(run_id, is_deleted=True)

    def purge_run(self, run_id: str) -> None:
        """What `mlflow gc` does."""
        del self._runs[run_id]

    def log_model(self, metrics: Mapping[str, float] | None = None, params: Mapping[str, str] | None = None) -> str:
        """Makes a LoggedModel; returns its id."""
        made = f"m-{next(self._ids):032x}"
        self._logged_models[made] = LoggedModelFacts(made, "model", "READY", (), dict(params or {}), {})
        run_id = self.log_run()
        for key, value in (metrics or {}).items():
            self.log_metric(run_id, key, value, logged_model_id=made)
        return made

    def log_metric(
        self,
        run_id: str,
        key: str,
        value: float,
        *,
        logged_model_id: str = "",
        dataset: tuple[str, str] = ("", ""),
        step: int = 0,
    ) -> None:
        """To the run, and to the LoggedModel too where one is given. `dataset` is its name and digest."""
        value = _stored(value)
        self.change_run(run_id, metrics={**self._runs[run_id].metrics, key: value})
        if logged_model_id:
            facts = self._logged_models[logged_model_id]
            answered = 0.0 if math.isnan(value) else None
            made = ModelMetric(key, value, *dataset, step, self.clock(), run_id, answered)
            kept = [m for m in facts.metrics if (m.key, m.dataset_name, m.dataset_digest) != (key, *dataset)]
            self._logged_models[logged_model_id] = replace(facts, metrics=(*kept, made))

    def delete_logged_model(self, logged_model_id: str) -> None:
        """MLflow does not answer for it any more."""
        del self._logged_models[logged_model_id]

    def _model(self, name: str) -> ModelSnapshot:
        if name not in self._models:
            raise NotFound(f"Registered Model with name={name} not found")
        return replace(self._models[name], latest=self._latest().get(name, ()))

    def _latest(self) -> dict[str, tuple[int, ...]]:
        newest: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (name, number), each in sorted(self._versions.items()):
            newest[name][each.stage] = number
        return {name: tuple(sorted(numbers.values())) for name, numbers in newest.items()}

    def _version(self, model: str, number: int) -> VersionSnapshot:
        if (model, number) not in self._versions:
            raise NotFound(f"Model Version (name={model}, version={number}) not found")
        return self._versions[model, number]


def _stored(value: float) -> float:
    """MLflow's tables have no infinity: it becomes the largest number."""
    return math.copysign(sys.float_info.max, value) if math.isinf(value) else value
