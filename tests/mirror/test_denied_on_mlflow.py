"""The whole room. What MLflow's own basic-auth answers to an account that may not read everything."""

import html
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.test import Client

from accounts.models import User
from approvals.models import Status, Target
from mirror import sync
from mirror.mlflow.client import FEW, MlflowRegistry
from mirror.models import MirrorState, ModelVersion, RegisteredModel
from mirror.port import REFUSED_SIGN_IN, Denied, Unsigned
from registry_ui import system
from tests.support.factories import make_policy
from tests.support.signed import ADMIN, PASSWORD, SignedMlflow
from tests.support.world import approved, deliver

pytestmark = [pytest.mark.django_db, pytest.mark.server, pytest.mark.nodb]  # this MLflow is on SQLite in any case


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedMlflow]:
    with SignedMlflow(tmp_path_factory.mktemp("mlflow-signed")) as server:
        yield server


@pytest.fixture
def registry(signed: SignedMlflow, monkeypatch: pytest.MonkeyPatch) -> MlflowRegistry:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "countersign")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return MlflowRegistry(signed.url, timeout_seconds=30)


def run_of(signed: SignedMlflow, experiment: str) -> str:
    return str(signed.call("runs/create", experiment_id=experiment, start_time=1)["run"]["info"]["run_id"])


def no_more(signed: SignedMlflow, kind: str, one: str) -> None:
    signed.call(
        "users/permissions/grant", api="3.0",
        username="countersign", resource_type=kind, resource_id=one, permission="DENY",
    )  # fmt: skip


def test_what_may_not_be_read_is_noted_and_everything_else_is_mirrored(
    signed: SignedMlflow, registry: MlflowRegistry
) -> None:
    signed.person("countersign")
    secret = str(signed.call("experiments/create", name="secret")["experiment_id"])
    runs = [run_of(signed, "0") for _ in range(FEW)]
    hidden = [run_of(signed, secret) for _ in range(2)]
    for name in ("open", "closed"):
        signed.call("registered-models/create", name=name)
    for run_id in (*runs, *hidden):
        signed.call("model-versions/create", name="open", source="s3://nothing/here", run_id=run_id)
    signed.call("model-versions/create", name="closed", source="s3://nothing/here")
    sync.sweep(registry)
    assert ModelVersion.objects.count() == 6

    no_more(signed, "experiment", secret)
    no_more(signed, "registered_model", "closed")

    for asked in ([hidden[0]], [*runs, *hidden]):
        found = registry.runs(asked)
        assert {run_id for run_id, facts in found.items() if isinstance(facts, Denied)} == set(asked) & set(hidden)
    assert isinstance(registry.runs(["f" * 32])["f" * 32], Denied), "nor does it tell such a run from one that is gone"
    report = sync.sweep(registry)
    assert report.deleted == 0
    assert [note.startswith("MLflow does not let Countersign read the model closed.") for note in report.notes] == [
        True
    ]
    assert RegisteredModel.objects.get(name="closed").unreadable_at is not None
    unreadable = ModelVersion.objects.filter(run__is_unreadable=True).values_list("run_id", flat=True)
    assert set(unreadable) == set(hidden)
    assert sync.pull(registry).error == ""
    assert MirrorState.objects.current().sweep_error == ""

    requests.delete(
        f"{signed.url}/api/2.0/mlflow/registered-models/delete", json={"name": "open"}, auth=ADMIN, timeout=60
    ).raise_for_status()
    assert sync.sweep(registry).deleted == 5


def test_a_delivery_waits_for_a_password_that_was_changed_and_needs_no_restart(
    signed: SignedMlflow,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    client: Client,
    rita: User,
    remy: User,
    production: Target,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", signed.person("worker"))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "password"))
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    signed.grant("worker", signed.model("churn_predictor"), "MANAGE")
    registry = MlflowRegistry(signed.url, timeout_seconds=30)
    sync.sweep(registry)
    make_policy("*", production, (1, None), files_limit_mb=0)
    request = approved(registry, 1, production, by=rita, approvers=(remy,))
    requests.patch(
        f"{signed.url}/api/2.0/mlflow/users/update-password",
        json={"username": "worker", "password": "only-for-tests-exchanged"}, auth=ADMIN, timeout=60,
    ).raise_for_status()  # fmt: skip

    for _ in range(3):
        assert deliver(request, registry) == "waiting"
    assert request.status == Status.APPROVED
    assert request.outbox_entries.get().last_error.startswith(REFUSED_SIGN_IN)
    assert sync.pull(registry).error.startswith(REFUSED_SIGN_IN)
    client.force_login(remy)
    assert "MLflow has refused Countersign's sign-in since" in html.unescape(client.get("/").content.decode())
    assert next(each.word for each in system.parts() if each.name == "MLflow") == "Sign-in refused"

    (tmp_path / "password").write_text("only-for-tests-exchanged\n")
    assert deliver(request, registry) == "applied"
    assert registry.version("churn_predictor", 1).stage == "Production"
    assert sync.pull(registry).error == ""


def test_wrong_credentials_are_told_from_a_missing_right(signed: SignedMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-the-password")
    registry = MlflowRegistry(signed.url, timeout_seconds=30)
    with pytest.raises(Unsigned):
        list(registry.versions())
    with pytest.raises(Unsigned):
        registry.runs(["f" * 32])
    assert requests.get(f"{signed.url}/health", timeout=10).status_code == 200
