"""What a version was trained on, when, from which code and by which run, as far as MLflow was told. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DATA_KEYS = ("training_data_hash", "data_hash", "dataset_hash", "training_data_digest")
CUTOFF_KEYS = ("training_cutoff", "training_data_cutoff", "data_cutoff", "cutoff_date")
COMMIT_KEYS = ("git_commit", "git_sha", "commit", "mlflow.source.git.commit")


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the provenance checklist. `value` is "" where MLflow does not know."""

    question: str
    value: str
    key: str = ""
    """Which key said it and where: `training_cutoff, a tag of the version`."""

    remedy: str = ""
    """What to do where it is missing."""

    code: str = ""
    """A line of Python that does it."""

    @property
    def is_known(self) -> bool:
        return bool(self.value)


def checklist(version: Any) -> list[Fact]:
    """The questions an auditor asks about a mirrored version, each with its answer or with how to give one."""
    return [_data(version), _cutoff(version), _commit(version), _run(version), *_copied(version)]


def known(version: Any) -> dict[str, str]:
    """What the usual keys say, under one name each: training_data_hash, training_cutoff, git_commit."""
    found = {
        "training_data_hash": _first(version, DATA_KEYS)[0],
        "training_cutoff": _first(version, CUTOFF_KEYS)[0],
        "git_commit": _first(version, COMMIT_KEYS)[0],
    }
    return {name: value for name, value in found.items() if value}


def origin(version: Any) -> dict[str, str]:
    """Of a copy, which version it was copied from: {"copied_from": "dev.two version 1"}."""
    chain = [f"{each['model']} version {each['number']}" for each in _copied_from(version).get("chain", ())]
    return {"copied_from": ", a copy of ".join(chain)} if chain else {}


def logged_model_id(version: Any) -> str:
    """Its own, or that of the version that it was copied from."""
    return str(version.logged_model_id or _copied_from(version).get("logged_model_id", ""))


def losses(version: Any) -> list[str]:
    """What MLflow has lost since, or never had, of what the version points to: a sentence each."""
    run, logged_model = version.run, version.run.get("logged_model") or {}
    found = []
    if run.get("is_unreadable"):
        found.append(f"MLflow does not let Countersign read the run of version {version.number}, or it is gone.")
    elif run.get("is_missing"):
        found.append(f"The run of version {version.number} does not exist in MLflow any more.")
    elif run.get("is_deleted"):
        found.append(f"The run of version {version.number} was deleted in MLflow.")
    if logged_model.get("is_unreadable"):
        found.append(
            f"MLflow does not let Countersign read the logged model of version {version.number}, or it is gone."
        )
    elif logged_model.get("is_missing"):
        found.append(f"The logged model of version {version.number} was deleted in MLflow.")
    if problem := _copied_from(version).get("problem"):
        found.append(f"Version {version.number} is a copy, and its source can't be followed. {problem}")
    return found


def _copied_from(version: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = version.run.get("copied_from") or {}
    return found


def _copied(version: Any) -> list[Fact]:
    value, problem = origin(version).get("copied_from", ""), str(_copied_from(version).get("problem") or "")
    if not value and not problem:
        return []
    return [Fact("Copied from", value, problem or "source of the version", remedy=problem)]


def datasets(version: Any) -> Sequence[Mapping[str, str]]:
    """The run's data sets: name, digest, source, context."""
    return [each for each in version.run.get("datasets", []) if isinstance(each, Mapping)]


def _data(version: Any) -> Fact:
    question = "Training data"
    value, key = _first(version, DATA_KEYS)
    if value:
        return Fact(question, value, key)
    digests = [
        f"{each.get('name') or 'data set'} ({each['digest']})" for each in datasets(version) if each.get("digest")
    ]
    if digests:
        return Fact(question, ", ".join(digests), "logged data sets of the run")
    return Fact(
        question,
        "",
        remedy="Log a hash of the training data as the parameter training_data_hash.",
        code='mlflow.log_param("training_data_hash", sha256_of_the_file)',
    )


def _cutoff(version: Any) -> Fact:
    value, key = _first(version, CUTOFF_KEYS)
    return Fact(
        "Data up to",
        value,
        key,
        remedy="Log the last day that the training data covers as the parameter training_cutoff.",
        code='mlflow.log_param("training_cutoff", "2026-10-31")',
    )


def _commit(version: Any) -> Fact:
    value, key = _first(version, COMMIT_KEYS)
    return Fact(
        "Code",
        value,
        key,
        remedy="Set the tag git_commit; MLflow sets its own when training runs inside a Git checkout.",
        code='mlflow.set_tag("git_commit", commit)',
    )


def _run(version: Any) -> Fact:
    question = "Run"
    if not version.run_id:
        return Fact(
            question,
            "",
            remedy="Log the model inside a run, so that metrics and parameters come with it.",
            code="with mlflow.start_run():",
        )
    name = str(version.run.get("name") or "")
    value = f"{name} ({version.run_id})" if name else version.run_id
    if version.run.get("is_missing") or version.run.get("is_deleted"):
        return Fact(question, value, "deleted in MLflow since; what was mirrored is kept")
    return Fact(question, value, "run of the version")


def _first(version: Any, keys: Sequence[str]) -> tuple[str, str]:
    """The value of the first key that anything knows, and where it stood."""
    for key in keys:
        for values, place in _places(version):
            if str(values.get(key) or "").strip():
                return str(values[key]), f"{key}, {place}"
    return "", ""


def _places(version: Any) -> Iterator[tuple[Mapping[str, Any], str]]:
    yield version.tags, "a tag of the version"
    yield version.params, "a parameter of the run"
    yield version.run.get("tags") or {}, "a tag of the run"
    yield (version.run.get("logged_model") or {}).get("tags") or {}, "a tag of the logged model"
