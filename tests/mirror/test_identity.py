"""Countersign knows the registry that it mirrors, and leaves every other one alone until a person accepts it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from approvals import administration, watch
from approvals.models import Action, AuditEvent, Incident, Target
from approvals.workflow import Conflict, Invalid, NotAllowed
from mirror import identity, sync
from mirror.models import MirrorState, ModelVersion, RegisteredModel
from mirror.port import Identity, Refused, Registry
from tests.support.backstage import Backstage
from tests.support.fakes import FakeRegistry
from tests.support.mlflow_server import MlflowServer
from tests.support.monitor import readyz
from tests.support.world import approved, deliver

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry() -> FakeRegistry:
    fake = FakeRegistry()
    for number in range(1, 4):
        fake.create_version("churn_predictor", run_id=fake.log_run({"auc_roc": 0.9}), description=f"Number {number}.")
    fake.set_stage("churn_predictor", 2, "Production", archive_existing=False)
    sync.sweep(fake)
    watch.look(fake)
    return fake


def impostor(registry: FakeRegistry, **fields: Any) -> FakeRegistry:
    """Something else that answers at the same address."""
    other = FakeRegistry()
    other.address, other.born_at = registry.address, registry.born_at + 1000
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def rows() -> list[Any]:
    versions = ModelVersion.objects.order_by("pk").values_list("model__name", "number", "stage", "deleted_at")
    return [*versions, *RegisteredModel.objects.values_list("name", "deleted_at")]


def known() -> dict[str, Any]:
    return dict(MirrorState.objects.current().registry)


def test_the_first_contact_leaves_an_identity_in_both(registry: FakeRegistry) -> None:
    assert registry.key
    assert known() == {
        "key": registry.key,
        "born_at": registry.born_at,
        "addresses": [registry.address],
        "workspace": "",
    }


@pytest.mark.parametrize("key", ["", "f" * 32])
def test_another_server_is_neither_read_nor_written(
    registry: FakeRegistry, key: str, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approved(registry, 3, production, by=rita, approvers=(remy, rosa))
    before, other = rows(), impostor(registry, key=key)
    other.create_version("something_else")
    assert sync.pull(other).error.startswith(identity.NOT_THIS)
    with pytest.raises(identity.AnotherRegistry):
        sync.sweep(other)
    for call in (
        lambda: sync.refresh_model(other, "churn_predictor"),
        lambda: sync.refresh_version(other, "churn_predictor", 2),
    ):
        with pytest.raises(identity.AnotherRegistry):
            call()
    assert watch.run(other) == 0
    assert deliver(request, other) == "waiting"
    assert identity.NOT_THIS in request.outbox_entries.get().last_error
    assert rows() == before
    assert other.count("set_stage", "set_alias", "set_tag", "set_description", "keep_identity") == 0
    assert Incident.objects.count() == 0
    assert deliver(request, registry) == "applied"


def test_an_empty_server_marks_nothing_deleted(registry: FakeRegistry) -> None:
    before = rows()
    with pytest.raises(identity.AnotherRegistry, match="carries no identity"):
        sync.sweep(impostor(registry))
    assert rows() == before


def test_the_right_registry_ends_the_refusal_by_itself(registry: FakeRegistry) -> None:
    sync.pull(impostor(registry))
    assert MirrorState.objects.current().is_refusing
    sync.sweep(registry)
    sync.pull(registry)
    state = MirrorState.objects.current()
    assert (state.is_refusing, state.refused, state.error) == (False, {}, "")


def test_a_copy_at_another_address_is_refused_until_it_is_accepted(registry: FakeRegistry, ada: User) -> None:
    copy = impostor(registry, key=registry.key, born_at=registry.born_at, address="http://staging:5000")
    with pytest.raises(identity.AnotherRegistry, match="it has moved, or it is a copy"):
        sync.sweep(copy)
    administration.end_standstill(administration.REGISTRY, by=ada, reason="The host was renamed.")
    copy._models, copy._versions = registry._models, registry._versions
    sync.sweep(copy)
    sync.sweep(registry)
    assert known()["addresses"] == [registry.address, "http://staging:5000"]


def test_a_tag_that_was_lost_is_written_again(registry: FakeRegistry) -> None:
    """MLflow was restored from a backup of before the identity."""
    key, registry.key = registry.key, ""
    sync.sweep(registry)
    assert registry.key == key


def test_an_upgraded_installation_knows_its_registry_by_its_models(registry: FakeRegistry) -> None:
    MirrorState.objects.update(registry={})
    registry.key = ""
    sync.sweep(registry)
    assert known()["key"] == registry.key != ""


def test_an_upgraded_installation_refuses_a_registry_that_knows_none_of_its_models(registry: FakeRegistry) -> None:
    MirrorState.objects.update(registry={})
    other = impostor(registry)
    other.create_version("something_else")
    with pytest.raises(identity.AnotherRegistry, match="knows none of these models"):
        sync.sweep(other)
    assert (known(), other.key) == ({}, "")


class Mute(FakeRegistry):
    """MLflow shows this account no experiment."""

    def identity(self) -> Identity:
        return Identity("", None, self.address)

    def keep_identity(self, key: str) -> None:
        raise Refused("Permission denied")


def test_where_no_identity_can_be_kept_the_models_tell(db: None) -> None:
    mute = Mute()
    mute.create_version("churn_predictor")
    sync.sweep(mute)
    assert (known()["key"], known()["not_kept"]) == ("", "Permission denied")
    sync.sweep(mute)
    other = Mute()
    other.address = mute.address
    with pytest.raises(identity.AnotherRegistry, match="knows none of these models"):
        sync.sweep(other)


def test_a_dry_run_tells_neither_side() -> None:
    fake = FakeRegistry()
    fake.create_version("churn_predictor")
    sync.sweep(fake, dry_run=True)
    assert (fake.key, known()) == ("", {})


def test_accepting_stands_in_the_ledger_and_needs_an_administrator_and_a_reason(
    registry: FakeRegistry, ada: User, rita: User
) -> None:
    other = impostor(registry, address="http://new:5000", key="e" * 32)
    with pytest.raises(Conflict):
        administration.end_standstill(administration.REGISTRY, by=ada, reason="To be sure.")
    sync.pull(other)
    with pytest.raises(NotAllowed):
        administration.end_standstill(administration.REGISTRY, by=rita, reason="I say so.")
    with pytest.raises(Invalid):
        administration.end_standstill(administration.REGISTRY, by=ada, reason=" ")
    administration.end_standstill(administration.REGISTRY, by=ada, reason="We moved to a new MLflow.")
    event = AuditEvent.objects.get(action=Action.REGISTRY_ACCEPTED)
    assert (event.actor, event.data["reason"]) == (ada, "We moved to a new MLflow.")
    assert event.data["before"]["key"] == registry.key
    assert event.data["after"] == {"key": "e" * 32, "born_at": other.born_at, "address": "http://new:5000"}
    assert sync.pull(other).error == ""
    assert sync.pull(FakeRegistryAt(registry)).error.startswith(identity.NOT_THIS), "the former one is another now"


def FakeRegistryAt(registry: FakeRegistry) -> FakeRegistry:  # noqa: N802  reads as a kind of registry
    return impostor(registry, key=registry.key, born_at=registry.born_at)


def test_every_page_says_so_and_the_system_page_accepts(registry: FakeRegistry, ada: User, client: Any) -> None:
    sync.pull(impostor(registry, key="e" * 32))
    client.force_login(ada)
    page = client.get("/models/").content.decode()
    assert "Another registry answers than the one that is mirrored." in page
    assert "carries another identity (eeeeeeee…)" in page
    assert client.get("/readyz?strict=1").status_code == 503
    assert "Another registry answers." in readyz(client).json()["checks"]["registry"]["detail"]
    assert "Mirror this registry" in client.get("/system/").content.decode()
    client.post("/standstill/registry/", {"reason": "New MLflow."})
    assert known()["key"] == "e" * 32
    assert "Another registry" not in client.get("/models/").content.decode()


# --- On a real MLflow


@pytest.fixture
def real(mlflow_server: MlflowServer) -> Any:
    from mirror.mlflow.client import MlflowRegistry

    return MlflowRegistry(mlflow_server.url, timeout_seconds=15)


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path / "other") as server:
        yield server


@pytest.mark.server
@pytest.mark.nodb
def test_a_real_mlflow_keeps_the_identity_out_of_the_way(real: Registry, mlflow_server: MlflowServer) -> None:
    models = [each.name for page in real.models() for each in page]
    born = real.identity().born_at
    assert born is not None
    assert abs(real.clock_skew() or 99) < 5
    real.keep_identity("k" * 32)
    assert real.identity() == Identity("k" * 32, born, mlflow_server.url)
    assert [each.name for page in real.models() for each in page] == models


@pytest.mark.server
@pytest.mark.nodb
def test_a_real_mlflow_whose_default_experiment_is_deleted_keeps_it_in_another(
    other_server: MlflowServer,
) -> None:
    from mirror.mlflow.client import MlflowRegistry

    registry = MlflowRegistry(other_server.url, timeout_seconds=15)
    Backstage(other_server.url).call("POST", "experiments/delete", experiment_id="0")
    registry.keep_identity("k" * 32)
    assert registry.identity().key == "k" * 32


@pytest.mark.server
@pytest.mark.nodb
def test_another_real_server_for_one_sweep_changes_nothing(
    real: Registry, mlflow_server: MlflowServer, other_server: MlflowServer
) -> None:
    from mirror.mlflow.client import MlflowRegistry

    Backstage(mlflow_server.url).create_version("kept_in_mind")
    sync.sweep(real)
    before = rows()
    other = MlflowRegistry(other_server.url, timeout_seconds=15)
    with pytest.raises(identity.AnotherRegistry):
        sync.sweep(other)
    assert rows() == before
    assert other.identity().key == ""
    sync.sweep(real)
    assert rows() == before
