"""Deleting a workspace deletes or moves its models past MLflow's registry store."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from mlflow.entities.workspace import Workspace, WorkspaceDeletionMode
from mlflow.exceptions import MlflowException
from mlflow.store.workspace.abstract_store import AbstractStore
from mlflow_gate import attacks, store, workspaces
from mlflow_gate.attacks import Answer
from mlflow_gate.once import Once
from mlflow_gate.policy import Policy, parse
from mlflow_gate.settings import Settings

from tests.support.gate import KEY, Countersign, policy_text, rule
from tests.support.siege import GuardedMlflow

CASCADE, SET_DEFAULT = WorkspaceDeletionMode.CASCADE, WorkspaceDeletionMode.SET_DEFAULT


class World:
    """A workspace `risk` with one model, of which version 1 may hold something."""

    def __init__(self, path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        from mlflow.store.model_registry.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore
        from mlflow.store.workspace.sqlalchemy_store import SqlAlchemyStore
        from mlflow.utils.workspace_context import WorkspaceContext

        monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
        self.policy: Policy = parse(policy_text(rule(workspace="risk")), "mlflow")
        self.told: list[dict[str, Any]] = []
        gate = store.Gate(settings, lambda: self.policy, self.told.append, Once(settings.used))
        monkeypatch.setattr(store, "gate", lambda: gate)
        monkeypatch.setenv("MLFLOW_WORKSPACE_STORE_URI", f"sqlite:///{path}")
        self.plain = SqlAlchemyStore(f"sqlite:///{path}")
        self.guarded = workspaces.build(f"countersign:sqlite:///{path}")
        self.plain.create_workspace(Workspace(name="risk"))
        self.models = WorkspaceAwareSqlAlchemyStore(f"sqlite:///{path}")
        self.here = WorkspaceContext
        with self.here("risk"):
            self.models.create_registered_model("churn")
            self.models.create_model_version("churn", "s3://bucket/model")

    def hold(self, *, stage: str = "", alias: str = "") -> None:
        with self.here("risk"):
            if stage:
                self.models.transition_model_version_stage("churn", "1", stage, False)
            if alias:
                self.models.set_registered_model_alias("churn", alias, "1")

    @property
    def names(self) -> list[str]:
        return sorted(each.name for each in self.plain.list_workspaces())


@pytest.fixture
def world(empty_registry: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    path = tmp_path / "registry.sqlite3"
    shutil.copy(empty_registry, path)
    made = World(path, settings, monkeypatch)
    yield made
    made.models._dispose_engine()


def refused(call: Any) -> str:
    with pytest.raises(MlflowException) as caught:
        call()
    assert caught.value.error_code == "PERMISSION_DENIED", caught.value
    return str(caught.value.message)


def test_somebody_looked_at_each_method_of_mlflows_workspace_store() -> None:
    public = {name for name in vars(AbstractStore) if not name.startswith("_")}
    assert public == workspaces.GUARDED | workspaces.FREE | workspaces.READS


@pytest.mark.parametrize("mode", [CASCADE, SET_DEFAULT])
@pytest.mark.parametrize("held", [{"stage": "Production"}, {"alias": "champion"}, {"alias": "Champion"}])
def test_while_something_is_held_the_workspace_stays(
    mode: WorkspaceDeletionMode, held: dict[str, str], world: World
) -> None:
    world.hold(**held)
    said = refused(lambda: world.guarded.delete_workspace("risk", mode=mode))
    assert said.startswith("The workspace risk cannot be deleted while churn version 1 is ")
    assert said.endswith("[gate 0.1 · policy 12 · enforce]")
    assert world.names == ["default", "risk"]
    assert [(each["operation"], each["model"], each["version"]) for each in world.told] == [
        ("delete_workspace", "churn", 1)
    ]


def test_models_may_not_come_under_a_rule_with_what_they_hold(world: World) -> None:
    """Production is free in this workspace, and guarded in the one into which its models would go."""
    world.policy = parse(policy_text(rule()), "mlflow")
    world.hold(stage="Production")
    refused(lambda: world.guarded.delete_workspace("risk", SET_DEFAULT))


@pytest.mark.parametrize("mode", [CASCADE, SET_DEFAULT])
def test_a_workspace_without_a_holder_goes(mode: WorkspaceDeletionMode, world: World) -> None:
    world.hold(stage="Staging", alias="challenger")
    world.guarded.delete_workspace("risk", mode=mode)
    assert world.names == ["default"]
    assert world.told == []


def test_one_that_is_only_observed_goes_and_is_told(world: World) -> None:
    world.policy = parse(policy_text(rule(workspace="risk", mode="observe")), "mlflow")
    world.hold(stage="Production")
    world.guarded.delete_workspace("risk", mode=CASCADE)
    assert world.names == ["default"]
    assert [each["mode"] for each in world.told] == ["observe"]


def test_all_else_of_workspaces_goes_on(world: World) -> None:
    world.guarded.create_workspace(Workspace(name="fraud"))
    world.guarded.update_workspace(Workspace(name="fraud", description="Of the fraud team"))
    assert world.guarded.get_workspace("fraud").description == "Of the fraud team"
    with pytest.raises(MlflowException, match="still contains"):
        world.guarded.delete_workspace("risk")


def test_only_a_database_is_guarded(world: World) -> None:
    with pytest.raises(MlflowException, match="guards the workspaces of a database"):
        workspaces.build("countersign:http://elsewhere")


@pytest.mark.server
@pytest.mark.nodb
def test_a_real_mlflow_keeps_the_workspace_until_nothing_is_held(tmp_path: Path) -> None:
    from mirror.mlflow.client import MlflowRegistry

    database = f"sqlite:///{tmp_path / 'mlflow.sqlite3'}"
    with (
        override_settings(GATE_KEY=KEY.private_bytes_raw()),
        Countersign(rule(workspace="risk")) as site,
        GuardedMlflow(
            tmp_path,
            site,
            options=["--enable-workspaces"],
            environment={"MLFLOW_WORKSPACE_STORE_URI": f"countersign:{database}"},
        ) as server,
    ):
        at = attacks.Mlflow(server.url)

        def ask(method: str, path: str, body: dict[str, Any] | None = None, *, workspace: str = "risk") -> Answer:
            content = b"" if body is None else json.dumps(body).encode()
            headers = {} if "workspaces" in path else {"X-MLFLOW-WORKSPACE": workspace}
            return at.send(method, f"/api/{path}", content, headers)

        worker = MlflowRegistry(server.url, timeout_seconds=30, workspace="risk")
        assert ask("POST", "3.0/mlflow/workspaces", {"name": "risk"}).status in (200, 201)
        version = {"name": "churn", "source": "s3://bucket/model"}
        move = {"name": "churn", "version": "1", "stage": "Production", "archive_existing_versions": False}
        for workspace, answer in (("default", 200), ("risk", 403)):
            for path, body in (("registered-models/create", {"name": "churn"}), ("model-versions/create", version)):
                assert ask("POST", f"2.0/mlflow/{path}", body, workspace=workspace).status == 200
            moved = ask("POST", "2.0/mlflow/model-versions/transition-stage", move, workspace=workspace)
            assert moved.status == answer, "the policy is for one workspace"
        worker.set_stage("churn", 1, "Production", archive_existing=False)
        for mode in ("CASCADE", "SET_DEFAULT"):
            for address in (f"3.0/mlflow/workspaces/risk?mode={mode}", f"3.0/mlflow/%77orkspaces/%72isk?mode={mode}"):
                assert "cannot be deleted while churn version 1 is Production" in ask("DELETE", address).error
        worker.set_stage("churn", 1, "Archived", archive_existing=False)
        assert ask("DELETE", "3.0/mlflow/workspaces/risk?mode=CASCADE").status == 204
