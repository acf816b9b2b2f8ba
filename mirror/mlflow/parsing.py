"""Reads MLflow's JSON into the port's snapshots. Pure; used by `client` only."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mirror.port import LoggedModelFacts, ModelMetric, ModelSnapshot, RunFacts, VersionSnapshot

Raw = Mapping[str, Any]

LAST_MOMENT = 253_370_764_800_000
"""The year 9999, in milliseconds."""

_LOGGED_MODEL_SOURCE = re.compile(r"models:/(m-[0-9A-Za-z]+)/?")
_PLAIN_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def is_plain_id(text: str) -> bool:
    """Whether it can be put into a path or a filter as it is; MLflow makes no other ids."""
    return bool(_PLAIN_ID.fullmatch(text))


def model(raw: Raw) -> ModelSnapshot:
    return ModelSnapshot(
        name=raw["name"],
        description=raw.get("description", ""),
        tags=_pairs(raw.get("tags", ())),
        aliases={each["alias"]: int(each["version"]) for each in raw.get("aliases", ())},
        created_at=_moment(raw.get("creation_timestamp", 0)),
        last_updated_at=_moment(raw.get("last_updated_timestamp", 0)),
        latest=tuple(sorted(int(each["version"]) for each in raw.get("latest_versions", ()))),
    )


def version(raw: Raw) -> VersionSnapshot:
    source = raw.get("source", "")
    from_source = _LOGGED_MODEL_SOURCE.fullmatch(source)
    return VersionSnapshot(
        model=raw["name"],
        number=int(raw["version"]),
        stage=raw.get("current_stage", "None")[:20],
        description=raw.get("description", ""),
        tags=_pairs(raw.get("tags", ())),
        status=raw.get("status", "READY")[:40],
        status_message=raw.get("status_message", ""),
        source=source,
        run_id=raw.get("run_id", "")[:64],  # MLflow makes ids of 32 characters; a longer one names no run
        run_link=raw.get("run_link", ""),
        logged_model_id=(raw.get("model_id") or (from_source[1] if from_source else ""))[:64],
        created_at=_moment(raw.get("creation_timestamp", 0)),
        last_updated_at=_moment(raw.get("last_updated_timestamp", 0)),
    )


def run(raw: Raw) -> RunFacts:
    info, data = raw["info"], raw.get("data", {})
    tags = _pairs(data.get("tags", ()))
    return RunFacts(
        run_id=info["run_id"],
        name=info.get("run_name", ""),
        status=info.get("status", ""),
        user=tags.get("mlflow.user") or info.get("user_id", ""),
        experiment_id=info.get("experiment_id", ""),
        started_at=_whole(info.get("start_time")),
        ended_at=_whole(info.get("end_time")),
        is_deleted=info.get("lifecycle_stage") == "deleted",
        metrics=_last_values(data.get("metrics", ())),
        params=_pairs(data.get("params", ())),
        tags=tags,
        datasets=tuple(_dataset(each) for each in raw.get("inputs", {}).get("dataset_inputs", ())),
    )


def logged_model(raw: Raw) -> LoggedModelFacts:
    info, data = raw["info"], raw.get("data", {})
    return LoggedModelFacts(
        logged_model_id=info["model_id"],
        name=info.get("name", ""),
        status=info.get("status", "").removeprefix("LOGGED_MODEL_"),
        metrics=_last_measured(data.get("metrics", ())),
        params=_pairs(data.get("params", ())),
        tags=_pairs(info.get("tags", ())),
    )


def _dataset(raw: Raw) -> dict[str, str]:
    dataset = raw.get("dataset", {})
    return {
        "name": dataset.get("name", ""),
        "digest": dataset.get("digest", ""),
        "source": dataset.get("source", ""),
        "source_type": dataset.get("source_type", ""),
        "context": _pairs(raw.get("tags", ())).get("mlflow.data.context", ""),
    }


def _pairs(raw: Iterable[Raw]) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in raw}


def moment_of(raw: Raw) -> tuple[int, int]:
    """(step, timestamp) of a logged value: the later one is the last, as MLflow itself picks it."""
    return int(raw.get("step", 0)), int(raw.get("timestamp", 0))


def value_of(raw: Raw) -> float:
    """JSON carries NaN as a string, which float() reads."""
    return float(raw.get("value", 0))


def _last_values(raw: Iterable[Raw]) -> dict[str, float]:
    return {each["key"]: value_of(each) for each in sorted(raw, key=moment_of)}


def _last_measured(raw: Iterable[Raw]) -> tuple[ModelMetric, ...]:
    """A LoggedModel has each key several times: for every data set, step and run."""
    last: dict[tuple[str, str, str], ModelMetric] = {}
    for each in sorted(raw, key=moment_of):
        step, timestamp = moment_of(each)
        found = ModelMetric(
            key=each["key"],
            value=value_of(each),
            dataset_name=each.get("dataset_name", ""),
            dataset_digest=each.get("dataset_digest", ""),
            step=step,
            timestamp=timestamp,
            run_id=each.get("run_id", ""),
        )
        last[found.key, found.dataset_name, found.dataset_digest] = found
    return tuple(last.values())


def _moment(value: Any) -> int:
    """Within what a date can be."""
    return min(max(int(value), 0), LAST_MOMENT)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
