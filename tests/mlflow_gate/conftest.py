"""A registry of MLflow's own making, guarded, in this process."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from mlflow_gate import grants, store
from mlflow_gate.once import Once
from mlflow_gate.policy import Policy, parse
from mlflow_gate.settings import Settings

from tests.support.gate import KEY, Countersign, policy_text


@pytest.fixture
def site() -> Iterator[Countersign]:
    with Countersign() as countersign:
        yield countersign


@pytest.fixture
def settings(site: Countersign, tmp_path: Path) -> Settings:
    return Settings.from_environment(site.environment(COUNTERSIGN_GATE_STATE=str(tmp_path / "state" / "gate.json")))


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables: making them takes longer than any test."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    path = tmp_path_factory.mktemp("registry") / "empty.sqlite3"
    SqlAlchemyStore(f"sqlite:///{path}")._dispose_engine()
    return path


class GuardedRegistry:
    """The guarded store, MLflow's plain one on the same tables, and what Countersign was told."""

    def __init__(self, path: Path, settings: Settings) -> None:
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

        self.plain = SqlAlchemyStore(f"sqlite:///{path}")
        self.policy: Policy = parse(policy_text(), "mlflow")
        self.told: list[dict[str, Any]] = []
        gate = store.Gate(settings, lambda: self.policy, self.told.append, Once(settings.used))
        self.guarded: Any = SqlAlchemyStore(f"sqlite:///{path}")
        self.guarded.__class__ = store.guarded_class(SqlAlchemyStore, gate)

    def versions(self, model: str, count: int, *, in_production: int = 0) -> None:
        self.plain.create_registered_model(model)
        for _ in range(count):
            self.plain.create_model_version(model, "s3://bucket/model")
        if in_production:
            self.plain.transition_model_version_stage(model, in_production, "Production", False)
            self.plain.set_registered_model_alias(model, "champion", in_production)

    def granted(self, operation: str, *, expect: dict[str, list[int]] | None = None, **arguments: Any) -> Any:
        """The call as Countersign's worker makes it."""
        grant = grants.sign(KEY, operation, arguments, audience="mlflow", expect=expect)
        return self.with_grant(grant, operation, **arguments)

    def with_grant(self, grant: str, operation: str, /, **arguments: Any) -> Any:
        if "key" in arguments and operation.startswith("set_"):
            from mlflow.entities.model_registry import ModelVersionTag

            arguments["tag"] = ModelVersionTag(arguments.pop("key"), arguments.pop("value"))
        method: Callable[..., Any] = getattr(self.guarded, operation)
        with flask.Flask("mlflow").test_request_context(headers={grants.HEADER: grant}):
            return method(**arguments)


@pytest.fixture
def registry(empty_registry: Path, tmp_path: Path, settings: Settings) -> Iterator[GuardedRegistry]:
    path = tmp_path / "registry.sqlite3"
    shutil.copy(empty_registry, path)
    made = GuardedRegistry(path, settings)
    yield made
    made.plain._dispose_engine()
