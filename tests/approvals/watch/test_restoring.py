"""Putting back: what is written to MLflow and to our books, killed after every call, and when it must not be done."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import ledger, watch
from approvals.models import Action, AuditEvent, Incident, Target, Tenure
from approvals.watch import restoring
from mirror import sync
from mirror.models import Alias
from mirror.port import Refused
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, answered_by, approved, deliver, ended, observe, only_incident, running, version

pytestmark = pytest.mark.django_db
FOUND, RESTORED, DELIVERY = Tenure.Origin.FOUND, Tenure.Origin.RESTORED, Tenure.Origin.DELIVERY


@pytest.fixture(autouse=True)
def put_back(registry: FakeRegistry, production: Target, staging: Target) -> None:
    answered_by("put_back", production, (2, None))
    answered_by("put_back", staging)


def restore(registry: Any) -> list[str]:
    Incident.objects.filter(is_owed=True).update(available_at=timezone.now(), lease_expires_at=None)
    owed = (
        Incident.objects.filter(is_owed=True, resolved_at=None)
        .order_by("-target__position", "pk")
        .values_list("pk", flat=True)
    )
    return [restoring.restore(pk, registry) for pk in list(owed)]


def stages(registry: FakeRegistry) -> dict[int, str]:
    return {number: registry._version(MODEL, number).stage for number in (5, 6, 7, 8)}


def test_the_approved_holder_is_put_back_and_the_intruder_archived(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approved(registry, 5, production, by=rita, approvers=(remy, rosa))
    deliver(request, registry)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    assert only_incident().is_owed
    assert restore(registry) == ["put back"]
    assert stages(registry) == {5: "Production", 6: "Archived", 7: "Staging", 8: "Archived"}
    found = only_incident()
    assert (found.resolution, found.is_owed) == ("put_back", False)
    back = Tenure.objects.open().get(place="Production")
    assert (back.version_number, back.origin, back.request_id) == (5, RESTORED, request.pk)
    assert ended("Production")[-2:] == [(5, "outside"), (8, "restored")]
    assert (version(5).stage, version(8).stage) == ("Production", "Archived")
    event = AuditEvent.objects.get(action=Action.VERSION_RESTORED)
    assert (event.version_number, event.data) == (5, {"place": "Production", "incident": found.pk, "replaced": [8]})
    assert back.start_sequence == event.sequence
    assert observe(registry) == 0
    assert Incident.objects.count() == 1
    assert ledger.verify().is_intact


def test_an_intruder_goes_back_to_the_stage_that_it_was_taken_from(registry: FakeRegistry) -> None:
    registry.set_stage(MODEL, 7, "Production", archive_existing=True)  # it had Staging
    assert observe(registry) == 2
    assert restore(registry) == ["put back", "put back"]
    assert observe(registry) == 0
    assert (stages(registry)[6], stages(registry)[7]) == ("Production", "Staging")
    assert running("Production") == {6: RESTORED}
    assert set(running("Staging")) == {7}
    assert Incident.objects.filter(resolved_at=None).count() == 0


def test_an_intruder_beside_the_approved_holder_leaves(registry: FakeRegistry) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=False)
    assert observe(registry) == 1
    assert restore(registry) == ["put back"]
    assert (stages(registry)[6], stages(registry)[8]) == ("Production", "Archived")
    assert running("Production") == {6: FOUND}
    assert observe(registry) == 0


@pytest.mark.parametrize("change", ["moved", "deleted"])
def test_an_alias_is_put_back(registry: FakeRegistry, change: str) -> None:
    if change == "moved":
        registry.set_alias(MODEL, "champion", 8)
    else:
        registry.delete_alias(MODEL, "champion")
    assert observe(registry) == 1
    assert restore(registry) == ["put back"]
    assert registry.model(MODEL).aliases == {"champion": 6}
    assert Alias.objects.get(name="champion").number == 6
    assert running("@champion") == {6: RESTORED}
    assert observe(registry) == 0


def test_where_nothing_was_approved_the_place_is_emptied(registry: FakeRegistry) -> None:
    registry.create_version("fraud")
    registry.set_stage("fraud", 1, "Production", archive_existing=False)
    registry.set_alias("fraud", "champion", 1)
    assert observe(registry) == 2
    assert restore(registry) == ["put back", "put back"]
    assert registry.version("fraud", 1).stage == "Archived"
    assert registry.model("fraud").aliases == {}
    assert running("Production", "fraud") == running("@champion", "fraud") == {}
    assert observe(registry) == 0
    events = AuditEvent.objects.filter(action=Action.VERSION_RESTORED)
    assert [event.version_number for event in events] == [None, None]


def test_mlflow_away_is_waited_for_with_a_pause_that_grows(registry: FakeRegistry) -> None:
    registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 1
    registry.is_down = True
    assert restore(registry) == ["waiting"]
    first = only_incident()
    assert restore(registry) == ["waiting"]
    assert only_incident().available_at - timezone.now() > first.available_at - timezone.now()
    assert "cannot be reached" in only_incident().last_error
    registry.is_down = False
    assert restore(registry) == ["put back"]


def test_what_changed_again_is_looked_at_anew(registry: FakeRegistry) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    registry.set_stage(MODEL, 5, "Production", archive_existing=True)
    assert restore(registry) == ["changed"]
    assert stages(registry)[5] == "Production"
    assert observe(registry) == 1
    assert restore(registry) == ["put back"]
    assert stages(registry)[6] == "Production"
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"put_back"}


def test_a_refusal_is_said_and_not_tried_again(registry: FakeRegistry) -> None:
    registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 1
    registry.fail_next("set_alias", Refused("Not you."))
    assert restore(registry) == ["refused"]
    assert (only_incident().is_owed, only_incident().last_error) == (False, "MLflow refused to revert it: Not you.")
    assert restore(registry) == []


def test_an_approved_version_that_is_gone_cannot_be_put_back(registry: FakeRegistry) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    registry.delete_version(MODEL, 6)
    assert restore(registry) == ["refused"]
    assert "no longer exists" in only_incident().last_error


def test_it_does_not_fight(registry: FakeRegistry) -> None:
    for _ in range(3):
        registry.set_alias(MODEL, "champion", 8)
        assert observe(registry) == 1
        assert restore(registry) == ["put back"]
    registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 1
    assert restore(registry) == []
    last = Incident.objects.latest("pk")
    assert not last.is_owed
    assert "has stopped reverting" in last.details["not_put_back"]
    assert registry.model(MODEL).aliases == {"champion": 8}


@pytest.mark.parametrize("kind", ["deleted", "renamed"])
def test_what_cannot_be_put_back_is_reported_and_says_so(registry: FakeRegistry, kind: str) -> None:
    if kind == "deleted":
        registry.delete_version(MODEL, 6)
    else:
        registry.rename_model(MODEL, "churn_two")
    assert observe(registry) >= 1
    for incident in Incident.objects.all():
        assert (incident.kind, incident.is_owed) == (kind, False)
        assert incident.details["not_put_back"]
    assert restore(registry) == []


def test_run_looks_follows_and_puts_back_and_gives_way_to_another(registry: FakeRegistry) -> None:
    registry.set_alias(MODEL, "champion", 8)
    sync.sweep(registry)
    assert watch.run(registry) == 1
    assert registry.model(MODEL).aliases == {"champion": 6}
    assert only_incident().resolution == "put_back"


def test_a_delivery_at_the_model_goes_first(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approved(registry, 5, production, by=rita, approvers=(remy, rosa))
    registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 1
    request.outbox_entries.update(plan={"champion": 6, "in_stage": [6], "alias_holder": 8})
    assert restore(registry) == ["skipped"]
    assert deliver(request, registry) == "applied"
    assert observe(registry) == 0
    assert running("@champion") == {5: DELIVERY}
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"superseded"}
