"""The whole room. Delivery through a real MLflow with the gate inside, killed after every call, and what is refused to
everybody else."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import requests
from pytest_django import Settings

from accounts.models import User
from approvals import ledger, workflow
from approvals.enforcement import probe
from approvals.evidence import approval_note
from approvals.models import Action, AuditEvent, Incident, PromotionRequest, Status, Target
from approvals.watch import restoring
from mirror import rights, sync
from mirror.mlflow.client import MlflowRegistry
from mirror.port import Outdated
from tests.approvals.delivery.test_attempt import Dying, Killed
from tests.support.backstage import Backstage
from tests.support.factories import approve
from tests.support.gate import OTHER_KEY
from tests.support.gated import GatedMlflow
from tests.support.mlflow_server import MlflowServer
from tests.support.world import answered_by, ask, deliver, observe, promote

pytestmark = [pytest.mark.server, pytest.mark.django_db, pytest.mark.nodb]  # this MLflow is on SQLite in any case
_numbers = count(1)


@pytest.fixture
def registry(gated_server: GatedMlflow) -> Iterator[MlflowRegistry]:
    yield MlflowRegistry(gated_server.url, timeout_seconds=20)
    with gated_server.opened():
        Backstage(gated_server.url).delete_all_models()


@pytest.fixture
def model(registry: MlflowRegistry, gated_server: GatedMlflow) -> str:
    """A model of its own with three versions, mirrored; nothing holds a target."""
    name, engineer = f"gated_{next(_numbers)}", Backstage(gated_server.url)
    for number in (1, 2, 3):
        run_id = engineer.log_run({"auc_roc": 0.9 + number / 100})
        engineer.create_version(name, run_id=run_id, description=f"Trained for the {number}th time.")
    sync.sweep(registry)
    return name


@pytest.fixture
def champion(
    registry: MlflowRegistry, model: str, rita: User, remy: User, rosa: User, production: Target
) -> PromotionRequest:
    """Version 1, delivered."""
    return promote(registry, 1, production, by=rita, approvers=(remy, rosa), model=model)


@pytest.fixture
def approved(
    registry: MlflowRegistry, champion: PromotionRequest, rita: User, remy: User, rosa: User, production: Target
) -> PromotionRequest:
    """Version 2, to replace version 1."""
    return approve(ask(registry, 2, production, by=rita, model=champion.version.model.name), remy, rosa)


def stages(registry: MlflowRegistry, model: str) -> list[str]:
    return [registry.version(model, number).stage for number in (1, 2, 3)]


def assert_promoted(registry: MlflowRegistry, request: PromotionRequest) -> None:
    name = request.version.model.name
    assert stages(registry, name) == ["Archived", "Production", "None"]
    assert registry.model(name).aliases == {"champion": 2}
    found = registry.version(name, 2)
    assert approval_note.has_note(found.description, request.pk)
    assert found.tags["countersign.request"] == str(request.pk)
    told = AuditEvent.objects.filter(request=request, action=Action.VERSION_REPLACED)
    assert [event.version_number for event in told] == [1]
    assert request.status == Status.APPLIED
    assert ledger.verify().is_intact


def transition(server: GatedMlflow, model: str, number: int, stage: str = "Production") -> requests.Response:
    body = {"name": model, "version": str(number), "stage": stage, "archive_existing_versions": False}
    return requests.post(f"{server.url}/api/2.0/mlflow/model-versions/transition-stage", json=body, timeout=20)


def test_what_is_approved_is_delivered_and_the_same_by_hand_is_refused(
    registry: MlflowRegistry, approved: PromotionRequest, gated_server: GatedMlflow
) -> None:
    name = approved.version.model.name
    answer = transition(gated_server, name, 2)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert f"http://countersign.invalid/p/{name}/2" in answer.json()["message"]
    assert deliver(approved, registry) == "applied"
    assert_promoted(registry, approved)


CALLS = 30
"""More than a delivery makes: beyond its last one nobody is killed, and it is whole at once."""


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, CALLS, 3))
def test_a_delivery_that_is_killed_is_resumed_to_the_same_end(
    registry: MlflowRegistry, approved: PromotionRequest, at: int, is_after: bool
) -> None:
    dying: Any = Dying(registry, at, is_after=is_after)  # type: ignore[arg-type]
    try:
        deliver(approved, dying)
    except Killed:
        approved.refresh_from_db()
        assert deliver(approved, registry) == "applied"
    assert_promoted(registry, approved)


@pytest.mark.parametrize("last", ["set_description", "set_tag", "set_stage", "set_alias"])
def test_a_delivery_that_is_killed_after_a_change_is_resumed_to_the_same_end(
    registry: MlflowRegistry, approved: PromotionRequest, last: str
) -> None:
    dying: Any = Dying(registry, 1000, is_after=True, last=last)  # type: ignore[arg-type]
    with pytest.raises(Killed):
        deliver(approved, dying)
    assert deliver(approved, registry) == "applied"
    assert_promoted(registry, approved)


def test_a_note_is_taken_back_when_the_champion_is_another(
    registry: MlflowRegistry, approved: PromotionRequest, gated_server: GatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody moves it at the last moment, while the operator has the gate open: the move is held to what was read."""
    name, set_stage = approved.version.model.name, MlflowRegistry.set_stage

    def late(self: MlflowRegistry, *values: Any, **named: Any) -> None:
        monkeypatch.undo()
        with gated_server.opened():
            assert transition(gated_server, name, 3).status_code == 200
        set_stage(self, *values, **named)

    monkeypatch.setattr(MlflowRegistry, "set_stage", late)
    assert deliver(approved, registry) == "reopened"
    assert stages(registry, name) == ["Production", "None", "Production"]
    found = registry.version(name, 2)
    assert found.description == "Trained for the 2th time."
    assert not any(key.startswith("countersign.") for key in found.tags)


def test_holders_that_are_not_expected_are_named(registry: MlflowRegistry, champion: PromotionRequest) -> None:
    from mirror.port import Grounds

    name = champion.version.model.name
    with pytest.raises(Outdated, match=r"the grant expects version 3 in Production, MLflow has version 1"):
        registry.set_stage(name, 2, "Production", archive_existing=True, grounds=Grounds(holders={"Production": [3]}))
    with pytest.raises(Outdated, match=r"the grant expects no version as @champion, MLflow has version 1"):
        registry.set_alias(name, "champion", 2, grounds=Grounds(holders={"@champion": []}))
    assert registry.model(name).aliases == {"champion": 1}


# --- What is wrong with the worker's grants


def foreign(settings: Settings) -> None:
    settings.GATE_KEY = OTHER_KEY.private_bytes_raw()


def keyless(settings: Settings) -> None:
    settings.GATE_KEY = b""


def elsewhere(settings: Settings) -> None:
    settings.GATE_AUDIENCE = "another"


@pytest.mark.parametrize(
    ("amiss", "told"),
    [
        (foreign, "to MLflow's COUNTERSIGN_GATE_KEYS"),
        (keyless, "this worker has no key: set COUNTERSIGN_GATE_KEY"),
        (elsewhere, "Set COUNTERSIGN_GATE_AUDIENCE alike"),
    ],
)
def test_what_is_wrong_with_the_key_is_waited_for_and_said(
    registry: MlflowRegistry,
    approved: PromotionRequest,
    settings: Settings,
    amiss: Callable[[Settings], None],
    told: str,
) -> None:
    right = settings.GATE_KEY, settings.GATE_AUDIENCE
    amiss(settings)
    assert deliver(approved, registry) == "waiting"
    assert told in approved.outbox_entries.get().last_error
    settings.GATE_KEY, settings.GATE_AUDIENCE = right
    assert deliver(approved, registry) == "applied"
    assert_promoted(registry, approved)


@pytest.mark.parametrize("seconds", [-90, 90], ids=["behind", "ahead"])
def test_clocks_that_differ_are_waited_for_and_said(
    registry: MlflowRegistry, approved: PromotionRequest, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    from mlflow_gate import grants

    sign = grants.sign
    import time

    def skewed(*values: Any, **named: Any) -> str:
        return sign(*values, **named, now=time.time() + seconds)

    with monkeypatch.context() as patch:
        patch.setattr(grants, "sign", skewed)
        assert deliver(approved, registry) == "waiting"
    assert "Synchronize the clocks" in approved.outbox_entries.get().last_error
    assert deliver(approved, registry) == "applied"


def test_what_the_gate_refuses_for_good_ends_the_request_as_failed(
    registry: MlflowRegistry, approved: PromotionRequest, monkeypatch: pytest.MonkeyPatch, remy: User
) -> None:
    from mlflow_gate import grants

    sign = grants.sign

    def for_another(key: Any, operation: str, arguments: Any, **named: Any) -> str:
        return sign(key, operation, {**arguments, "name": "another"}, **named)

    with monkeypatch.context() as patch:
        patch.setattr(grants, "sign", for_another)
        assert deliver(approved, registry) == "failed"
    assert "the grant is for another change" in approved.status_reason
    assert "[gate" not in approved.status_reason
    workflow.retry(approved, by=remy)
    assert deliver(approved, registry) == "applied"
    assert_promoted(registry, approved)


# --- The watch, and the account


@pytest.mark.parametrize("kill", [None, "set_stage", "set_alias"])
def test_what_was_changed_while_the_gate_was_open_is_put_back_through_it(
    registry: MlflowRegistry,
    champion: PromotionRequest,
    gated_server: GatedMlflow,
    production: Target,
    kill: str | None,
) -> None:
    name = champion.version.model.name
    answered_by("put_back", production, (2, None))
    assert observe(registry) == 0
    with gated_server.opened():
        assert transition(gated_server, name, 1, "Archived").status_code == 200
        assert transition(gated_server, name, 3).status_code == 200
        Backstage(gated_server.url).call(
            "POST", "registered-models/alias", name=name, alias="champion", version="3"
        )  # fmt: skip
    assert observe(registry) == 2
    if kill:
        dying: Any = Dying(registry, 1000, is_after=True, last=kill)  # type: ignore[arg-type]
        with pytest.raises(Killed):
            put_back(dying)
    put_back(registry)
    assert stages(registry, name) == ["Production", "None", "Archived"]
    assert registry.model(name).aliases == {"champion": 1}
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"put_back"}
    assert observe(registry) == 0
    assert ledger.verify().is_intact


def put_back(registry: Any) -> None:
    from django.utils import timezone

    Incident.objects.filter(is_owed=True).update(available_at=timezone.now(), lease_expires_at=None)
    for pk in list(Incident.objects.filter(is_owed=True).values_list("pk", flat=True)):
        assert restoring.restore(pk, registry) == "put back"


def test_what_the_account_may_do_is_tried_through_the_gate(registry: MlflowRegistry) -> None:
    trial = rights.Trial(registry)
    assert [row for row in trial.run() if row.level == rights.Level.BAD] == []


def test_without_a_key_the_account_is_told_what_it_lacks(registry: MlflowRegistry, settings: Settings) -> None:
    settings.GATE_KEY = b""
    bad = {row.what: row.words for row in rights.Trial(registry).run() if row.level == rights.Level.BAD}
    assert "Set a stage" in bad
    assert all("set COUNTERSIGN_GATE_KEY" in words for words in bad.values())


def test_the_gate_says_that_it_stands_and_when_it_is_open(
    registry: MlflowRegistry, gated_server: GatedMlflow, production: Target
) -> None:
    found = registry.gate()
    assert found is not None
    assert (found.serial, found.mode) == (12, "enforce")
    with gated_server.opened():
        assert [each.mode for each in probe.ask(registry).gates] == ["observe"] * probe.CONNECTIONS
    assert probe.ask(registry).state == "stands"


def test_a_server_without_it_has_none(mlflow_process: MlflowServer) -> None:
    assert MlflowRegistry(mlflow_process.url, timeout_seconds=20).gate() is None
