"""The whole room. One workspace of MLflow is named and mirrored: the others are neither read nor written. Asked of the
fake and of a real MLflow with workspaces and sign-in alike."""

from collections.abc import Callable, Iterator
from io import StringIO
from itertools import count
from typing import Any, TypeAlias

import pytest
from django.core.management import CommandError, call_command

from mirror import identity, sync
from mirror.mlflow.client import MlflowRegistry
from mirror.models import MirrorState, RegisteredModel
from mirror.port import WRONG_WORKSPACE, Identity, Registry, RegistryError, Unreachable
from mirror.rights import Level, Trial
from registry_ui import system
from tests.support.backstage import Backstage
from tests.support.fakes import MODEL_FILES, FakeRegistry
from tests.support.signed import ADMIN, PASSWORD, SignedMlflow

pytestmark = pytest.mark.django_db
MODEL = "churn"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedMlflow]:
    folder = tmp_path_factory.mktemp("workspaces")
    with SignedMlflow(folder, default_permission="NO_PERMISSIONS", workspaces=("risk", "fraud")) as server:
        for name in ("risk", "fraud", "default"):
            engineer = Backstage(server.url, workspace=name, auth=ADMIN)
            for number in range(1, 3):
                made = engineer.create_version(MODEL, run_id=engineer.log_run({"auc": 0.9}), description=f"Of {name}.")
                assert made == number
        yield server


def fakes() -> Callable[[str], FakeRegistry]:
    there = {name: FakeRegistry() for name in ("risk", "fraud", "default")}
    for number, (name, fake) in enumerate(there.items()):
        fake._ids = count(1 + 1000 * number)
        fake.workspaces, fake.workspace = True, name
        fake.address = "fake://mlflow" if name == "default" else f"fake://mlflow (workspace {name})"
        for _ in range(2):
            fake.create_version(MODEL, run_id=fake.log_run({"auc": 0.9}), description=f"Of {name}.")
    return lambda name: there[name]


World: TypeAlias = Callable[[str], Any]
"""The registry with this workspace named."""


@pytest.fixture
def real(process: SignedMlflow, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
    return lambda name: MlflowRegistry(process.url, timeout_seconds=30, workspace=name)


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=[pytest.mark.server, pytest.mark.nodb])])
def at(request: pytest.FixtureRequest) -> World:
    found: World = fakes() if request.param == "fake" else request.getfixturevalue("real")
    return found


def test_one_workspace_is_read_and_written_and_no_other(at: World) -> None:
    risk, fraud = at("risk"), at("fraud")
    assert (risk.has_workspaces(), risk.workspace) == (True, "risk")
    before = fraud.version(MODEL, 1), fraud.model(MODEL)
    risk.set_description(MODEL, 1, "Of risk, approved.")
    risk.set_tag(MODEL, 1, "countersign.request", "7")
    risk.set_stage(MODEL, 1, "Production", archive_existing=True)
    risk.set_alias(MODEL, "champion", 1)
    assert (fraud.version(MODEL, 1), fraud.model(MODEL)) == before
    assert (risk.version(MODEL, 1).stage, risk.model(MODEL).aliases) == ("Production", {"champion": 1})
    listed = [each for page in risk.versions() for each in page]
    assert sorted((each.model, each.number, each.description) for each in listed) == [
        (MODEL, 1, "Of risk, approved."), (MODEL, 2, "Of risk."),
    ]  # fmt: skip
    assert [each.name for page in risk.models() for each in page] == [MODEL]
    assert [each.number for each in risk.versions_in_stage(MODEL, "Production")] == [1]
    assert fraud.versions_in_stage(MODEL, "Production") == []
    risk.delete_tag(MODEL, 1, "countersign.request")
    risk.delete_alias(MODEL, "champion")
    risk.set_stage(MODEL, 1, "None", archive_existing=False)


def test_runs_and_files_are_those_of_the_workspace(at: World) -> None:
    risk, fraud = at("risk"), at("fraud")
    versions = [risk.version(MODEL, number) for number in (1, 2)]
    found = risk.runs([each.run_id for each in versions])
    assert [facts.metrics for facts in found.values()] == [{"auc": 0.9}] * 2
    root = risk.version_root(MODEL, 1)
    assert {each.path for each in risk.artifacts(root)} == set(MODEL_FILES)
    assert b"".join(risk.read_artifact(root, "MLmodel")) == MODEL_FILES["MLmodel"]
    assert fraud.runs([each.run_id for each in versions]) == {}


def test_each_workspace_has_an_identity_of_its_own(at: World) -> None:
    risk, fraud = at("risk"), at("fraud")
    assert risk.address.endswith(" (workspace risk)")
    assert not at("default").address.endswith(")"), "as before it was named"
    risk.keep_identity("a" * 32)
    fraud.keep_identity("b" * 32)
    assert (risk.identity().key, fraud.identity().key) == ("a" * 32, "b" * 32)


def test_another_workspace_is_refused_by_the_identity_until_it_is_accepted(at: World) -> None:
    risk, fraud = at("risk"), at("fraud")
    sync.sweep(risk)
    before = list(RegisteredModel.objects.values())
    assert sync.pull(fraud).error == (
        "This is not the registry that Countersign mirrors. What is mirrored is the workspace risk, and "
        "COUNTERSIGN_MLFLOW_WORKSPACE names fraud."
    )
    with pytest.raises(identity.AnotherRegistry):
        sync.sweep(fraud)
    assert MirrorState.objects.current().is_refusing
    assert list(RegisteredModel.objects.values()) == before
    identity.accept(MirrorState.objects.current().refused)
    sync.sweep(fraud)
    assert MirrorState.objects.current().registry["workspace"] == "fraud"
    with pytest.raises(identity.AnotherRegistry):
        sync.sweep(risk)


def test_the_default_workspace_may_be_named_afterwards(at: World) -> None:
    """An installation of before, whose MLflow had workspaces, mirrored this one without naming it."""
    default = at("default")
    sync.sweep(default)
    for workspace in ("", None):
        known = MirrorState.objects.current().registry
        MirrorState.objects.record(registry={**known, "workspace": workspace} if workspace == "" else {
            key: value for key, value in known.items() if key != "workspace"
        })  # fmt: skip
        sync.sweep(at("default"))
        assert MirrorState.objects.current().registry["workspace"] == "default"


def nothing_came_of(registry: Registry, words: str) -> None:
    error = sync.pull(registry).error
    assert error.startswith(WRONG_WORKSPACE)
    assert words in error
    with pytest.raises(Unreachable, match=WRONG_WORKSPACE):
        sync.sweep(registry)
    assert not RegisteredModel.objects.exists()
    assert MirrorState.objects.current().registry == {}
    assert next(each.word for each in system.parts() if each.name == "MLflow") == "Which workspace?"


def test_where_there_are_workspaces_one_is_named(at: World) -> None:
    registry = at("default")
    registry.workspace = ""
    nothing_came_of(registry, "has workspaces; set COUNTERSIGN_MLFLOW_WORKSPACE to one of them.")


@pytest.mark.server
@pytest.mark.nodb
def test_a_workspace_that_there_is_not_is_no_missing_model(real: World) -> None:
    """MLflow answers as if the model were gone, and a delivery would fail for good."""
    with pytest.raises(Unreachable, match="no workspace nowhere, which COUNTERSIGN_MLFLOW_WORKSPACE names"):
        real("nowhere").version(MODEL, 1)
    nothing_came_of(real("nowhere"), "no workspace nowhere")


@pytest.mark.server
@pytest.mark.nodb
def test_mlflows_roles_are_made_in_the_workspace(
    real: World, process: SignedMlflow, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MLFLOW_TRACKING_URI, settings.MLFLOW_WORKSPACE = process.url, "risk"
    for name, value in {
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_TRACKING_USERNAME": "countersign",
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }.items():
        monkeypatch.setenv(name, value)
    call_command("mlflow_roles", stdout=(out := StringIO()))  # which tries what they hold
    assert "role countersign-engineers: added workspace USE." in out.getvalue()
    sync.sweep(real("risk"))
    assert [row for row in Trial(real("risk")).run() if row.level == Level.BAD] == []
    with pytest.raises(RegistryError):
        real("fraud").version(MODEL, 1)
    settings.MLFLOW_WORKSPACE = ""
    with pytest.raises(CommandError, match="COUNTERSIGN_MLFLOW_WORKSPACE is not set, and MLflow has workspaces"):
        call_command("mlflow_roles", stdout=out)


@pytest.mark.parametrize("kind", ["fake", pytest.param("mlflow", marks=[pytest.mark.server, pytest.mark.nodb])])
def test_where_there_are_none_none_is_named(kind: str, request: pytest.FixtureRequest) -> None:
    registry: Any = FakeRegistry()
    if kind == "mlflow":
        registry = MlflowRegistry(request.getfixturevalue("mlflow_server").url, timeout_seconds=30)
    registry.workspace = "risk"
    nothing_came_of(registry, "no workspaces, and COUNTERSIGN_MLFLOW_WORKSPACE names risk.")


def test_it_is_asked_on_the_first_contact_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    registry = FakeRegistry()
    monkeypatch.setattr(registry, "has_workspaces", lambda: bool(asked.append(True)))
    for _ in range(3):
        sync.sweep(registry)
    assert len(asked) == 1


def test_an_identity_says_the_workspace() -> None:
    fake = fakes()("risk")
    assert fake.identity() == Identity(fake.key, fake.born_at, fake.address, "risk")


def test_a_trial_names_the_workspace() -> None:
    row = next(row for row in Trial(fakes()("risk")).run() if row.what == "Workspace")
    assert (row.level, row.words) == (Level.GOOD, "COUNTERSIGN_MLFLOW_WORKSPACE names risk.")
