"""MLflow does a part of a delivery and refuses the rest, lacks a right, or takes what it does not keep."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from approvals import delivery, ledger, watch, workflow
from approvals.evidence import approval_note
from approvals.models import Action, AuditEvent, Incident, OutboxEntry, PromotionRequest, Status, Target, Tenure
from approvals.selectors import inbox
from mirror import sync
from mirror.port import Denied, Refused, RegistryError, Unreachable
from registry_ui import system
from tests.support import world
from tests.support.factories import make_person, make_policy
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL

pytestmark = pytest.mark.django_db
REFUSED = "No aliases today."


@pytest.fixture(scope="module")
def kept_registry(kept: None) -> FakeRegistry:
    fake, production = world.make_registry(), Target.objects.get(name="Production")
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer")
    make_policy("*", production, (1, None))
    world.promote(fake, 1, production, by=rita, approvers=(remy,))
    sync.sweep(fake)
    assert watch.look(fake).found == 0
    world.approved(fake, 2, production, by=rita, approvers=(remy,))
    return fake


@pytest.fixture
def approved(db: None, kept_registry: FakeRegistry) -> PromotionRequest:
    """Version 1 holds Production; version 2 is approved for it."""
    return PromotionRequest.objects.get(version__number=2)


def half(registry: FakeRegistry, request: PromotionRequest, error: RegistryError | None = None) -> OutboxEntry:
    registry.fail_next("set_alias", error or Refused(REFUSED))
    assert world.deliver(request, registry) == "waiting"
    return request.outbox_entries.get()


def running(place: str) -> dict[int, int | None]:
    held = Tenure.objects.open().filter(model_name=MODEL, place=place)
    return dict(held.values_list("version_number", "request_id"))


def look(registry: FakeRegistry) -> int:
    sync.sweep(registry)
    found = watch.look(registry)
    watch.follow()
    assert found.passed == ()
    return found.found


def page(client: Client, person: User, request: PromotionRequest) -> str:
    client.force_login(person)
    return client.get(request.get_absolute_url()).content.decode()


# --- A half -----------------------------------------------------------------------------------------------------------


def test_a_half_is_told_as_what_it_is(
    registry: FakeRegistry, approved: PromotionRequest, remy: User, client: Client
) -> None:
    entry = half(registry, approved)
    assert (entry.reached, entry.missing) == (["Production"], ["the alias @champion"])
    assert approved.status == Status.APPROVED
    event = AuditEvent.objects.get(action=Action.DELIVERY_HALFWAY)
    assert event.data == {
        "reached": ["Production"],
        "missing": ["the alias @champion"],
        "reason": f"MLflow refused: {REFUSED}",
    }
    shown = page(client, remy, approved)
    assert "Partly delivered since" in shown
    assert "Stage Production: yes, version 2 has it." in shown
    assert "The alias @champion: no." in shown
    assert REFUSED in shown
    assert "next try at" in shown
    assert "Undo the partial delivery" in shown
    assert (
        f"Version 2 is partly delivered to {approved.target.name}"
        in client.get(approved.version.model.get_absolute_url()).content.decode()
    )
    deliveries = next(part for part in system.parts() if part.name == "Deliveries")
    assert (deliveries.word, deliveries.state) == ("Partly delivered", "bad")
    assert approved in inbox.tab("waiting", remy)
    assert ledger.verify(with_references=True).is_intact


def test_tenures_and_watch_follow_what_mlflow_has(registry: FakeRegistry, approved: PromotionRequest) -> None:
    half(registry, approved)
    assert running("Production") == {2: approved.pk}
    assert list(running("@champion")) == [1]
    assert look(registry) == 0
    assert not Incident.objects.exists()
    registry.set_alias(MODEL, "champion", 3)  # somebody goes past the gate while it waits
    assert look(registry) == 1
    assert Incident.objects.get().place == "@champion"


def test_it_is_tried_again_until_it_is_whole(registry: FakeRegistry, approved: PromotionRequest) -> None:
    half(registry, approved)
    half(registry, approved)
    half(registry, approved, Unreachable("MLflow answered 503."))
    assert AuditEvent.objects.filter(action=Action.DELIVERY_HALFWAY).count() == 1
    assert look(registry) == 0
    assert world.deliver(approved, registry) == "applied"
    assert running("Production") == running("@champion") == {2: approved.pk}
    assert look(registry) == 0
    assert not Incident.objects.exists()
    promoted = AuditEvent.objects.get(action=Action.VERSION_PROMOTED, request=approved)
    assert promoted.data["replaced"] == 1
    assert ledger.verify(with_references=True).is_intact


def test_a_retry_that_is_killed_between_write_and_settling_is_no_bypass(
    registry: FakeRegistry, approved: PromotionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    half(registry, approved)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("approvals.delivery.attempt.settle", die)
        with pytest.raises(KeyboardInterrupt):
            world.deliver(approved, registry)
    sync.sweep(registry)
    assert watch.look(registry).found == 0
    assert world.deliver(approved, registry) == "applied"
    assert look(registry) == 0
    assert not Incident.objects.exists()


def test_a_person_has_the_half_put_back(registry: FakeRegistry, approved: PromotionRequest, remy: User) -> None:
    half(registry, approved)
    workflow.end_half(approved, by=remy, how="revert", reason="Nobody may set aliases this week.")
    assert world.deliver(approved, registry) == "failed"
    assert (registry.version(MODEL, 1).stage, registry.version(MODEL, 2).stage) == ("Production", "None")
    assert registry.model(MODEL).aliases == {"champion": 1}
    assert not approval_note.has_note(registry.version(MODEL, 2).description, approved.pk)
    assert approved.status == Status.FAILED
    assert approved.status_reason == "Partly delivered, and undone: Nobody may set aliases this week."
    assert list(running("Production")) == list(running("@champion")) == [1]
    assert look(registry) == 0
    assert not Incident.objects.exists()
    assert ledger.verify(with_references=True).is_intact


def test_a_person_accepts_the_half(
    registry: FakeRegistry, approved: PromotionRequest, remy: User, client: Client
) -> None:
    half(registry, approved)
    workflow.end_half(approved, by=remy, how="accept", reason="The stage is all that serving reads.")
    assert world.deliver(approved, registry) == "applied"
    told = "Accepted without the alias @champion: The stage is all that serving reads."
    assert approved.status_reason == told
    assert told in page(client, remy, approved)
    event = AuditEvent.objects.get(action=Action.VERSION_PROMOTED, request=approved)
    assert (event.data["stage"], event.data["alias"], event.data["accepted"]) == ("Production", "", told)
    assert running("Production") == {2: approved.pk}
    assert list(running("@champion")) == [1]
    assert look(registry) == 0
    assert not Incident.objects.exists()
    assert ledger.verify(with_references=True).is_intact


def test_what_mlflow_does_not_put_back_is_tried_again_or_accepted(
    registry: FakeRegistry, approved: PromotionRequest, remy: User
) -> None:
    half(registry, approved)
    workflow.end_half(approved, by=remy, how="revert", reason="Back.")
    registry.fail_next("set_stage", Refused("No stages today."))
    assert world.deliver(approved, registry) == "waiting"
    assert approved.outbox_entries.get().last_error == "MLflow refused: No stages today."
    assert look(registry) == 0
    workflow.end_half(approved, by=remy, how="accept", reason="Then it stays.")
    assert world.deliver(approved, registry) == "applied"


def test_who_may_end_a_half(registry: FakeRegistry, approved: PromotionRequest, rita: User, remy: User) -> None:
    half(registry, approved)
    for refused in (
        lambda: workflow.end_half(approved, by=rita, how="accept", reason="Mine."),
        lambda: workflow.withdraw(approved, by=rita),
        lambda: workflow.end(approved, by=remy, reason="Away with it."),
    ):
        with pytest.raises(workflow.NotAllowed):
            refused()
    with pytest.raises(workflow.Invalid, match="Enter"):
        workflow.end_half(approved, by=remy, how="accept", reason=" ")
    workflow.retry(approved, by=remy)
    assert delivery.drain(registry) == 1
    approved.refresh_from_db()
    assert approved.status == Status.APPLIED


def test_a_roll_back_does_not_wait_for_a_half_and_ends_it(
    registry: FakeRegistry, approved: PromotionRequest, remy: User, production: Target
) -> None:
    half(registry, approved)
    back = workflow.roll_back(world.model(), production, by=remy, reason="Broken.", to=1)
    assert world.deliver(approved, registry) == "skipped"
    assert world.deliver(back, registry) == "applied"
    approved.refresh_from_db()
    assert approved.status == Status.FAILED
    assert f"Request #{back.pk} was delivered to Production before this one was complete." == approved.status_reason
    assert delivery.drain(registry) == 0
    assert (registry.version(MODEL, 1).stage, registry.model(MODEL).aliases) == ("Production", {"champion": 1})
    assert look(registry) == 0
    assert not Incident.objects.exists()


def test_what_an_earlier_version_called_failed_half_way_is_tried_again(
    registry: FakeRegistry, approved: PromotionRequest
) -> None:
    half(registry, approved)
    with_plan = approved.outbox_entries.get().plan
    PromotionRequest.objects.filter(pk=approved.pk).move(Status.FAILED, status_reason="MLflow refused: No.")
    OutboxEntry.objects.filter(request=approved).update(
        closed_at=approved.created_at, outcome="failed", half=None, is_at_rest=False, plan=with_plan
    )
    delivery.drain(registry)
    approved.refresh_from_db()
    assert approved.status == Status.APPLIED


# --- Credentials and rights -------------------------------------------------------------------------------------------

NO_RIGHT = "MLflow does not let Countersign's account set an alias (403): it needs EDIT on the registered model."


@pytest.mark.parametrize(
    "method", ["version", "versions_in_stage", "model", "set_description", "set_tag", "set_stage", "set_alias"]
)
def test_a_right_that_is_missing_is_waited_for(
    registry: FakeRegistry, approved: PromotionRequest, remy: User, client: Client, method: str
) -> None:
    registry.fail_next(method, Denied(NO_RIGHT))
    assert world.deliver(approved, registry) == "waiting"
    assert approved.status == Status.APPROVED
    assert "MLflow does not let Countersign" in page(client, remy, approved)
    workflow.retry(approved, by=remy)
    assert world.deliver(approved, registry) == "applied"


def test_a_put_back_waits_for_a_right_as_well(
    registry: FakeRegistry, approved: PromotionRequest, production: Target
) -> None:
    make_policy("*", production, (1, None), on_bypass="put_back")
    world.deliver(approved, registry)
    registry.set_alias(MODEL, "champion", 3)
    assert look(registry) == 1
    registry.fail_next("set_alias", Denied(NO_RIGHT))
    incident = Incident.objects.get()
    assert watch.restore(incident.pk, registry) == "waiting"
    incident.refresh_from_db()
    assert (incident.is_owed, incident.last_error) == (True, NO_RIGHT)
    Incident.objects.update(available_at=incident.seen_at)
    assert watch.restore(incident.pk, registry) == "put back"


# --- Taken without effect ---------------------------------------------------------------------------------------------


def tags(registry: FakeRegistry) -> dict[str, str]:
    return {key: value for key, value in registry.version(MODEL, 2).tags.items() if key.startswith("countersign.")}


@pytest.mark.parametrize("method", ["set_description", "set_tag"])
def test_what_mlflow_took_without_effect_is_written_again(
    registry: FakeRegistry, approved: PromotionRequest, method: str
) -> None:
    registry.ignore_next(method)
    assert world.deliver(approved, registry) == "applied"
    assert approval_note.has_note(registry.version(MODEL, 2).description, approved.pk)
    assert len(tags(registry)) >= 8


def test_a_note_that_is_overwritten_before_settling_is_written_again(
    registry: FakeRegistry, approved: PromotionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_alias = registry.set_alias

    def overwritten(*values: Any, **named: Any) -> None:
        set_alias(*values, **named)
        registry.set_description(MODEL, 2, "Saved from a page that was open.")

    monkeypatch.setattr(registry, "set_alias", overwritten)
    assert world.deliver(approved, registry) == "applied"
    description = registry.version(MODEL, 2).description
    assert description.startswith("Saved from a page that was open.")
    assert approval_note.has_note(description, approved.pk)


def test_what_mlflow_never_keeps_is_waited_for_with_a_reason(
    registry: FakeRegistry, approved: PromotionRequest, remy: User, client: Client
) -> None:
    registry.ignore_next("set_description", times=3)
    assert world.deliver(approved, registry) == "waiting"
    entry = approved.outbox_entries.get()
    assert entry.missing == ["the approval note"]
    assert entry.last_error == "MLflow took the approval note 3 times and does not show it."
    assert "The approval note: no." in page(client, remy, approved)
    assert look(registry) == 0
    assert world.deliver(approved, registry) == "applied"
