"""The whole room. Somebody changes a place between the look and the move: a gate in the registry holds the move to what
was looked at, so that nobody's change is overwritten unseen."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from accounts.models import User
from approvals import ledger, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, PromotionRequest, Status, Target
from mirror.port import Denied, Grounds, Outdated, Refused, Unreachable
from tests.support.factories import approve
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, ask, deliver, make_registry

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry() -> FakeRegistry:
    return make_registry(versions=8, production=6, staging=7)


@pytest.fixture
def approved(registry: FakeRegistry, rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    return approve(ask(registry, 7, production, by=rita), remy, rosa)


@pytest.fixture
def meanwhile(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Makes something happen right before the first call of a method, or after it where `is_after`."""

    def arrange(method: str, happens: Callable[[], object], *, is_after: bool = False, times: int = 1) -> None:
        call, left = getattr(registry, method), [times]

        def interrupted(*values: Any, **named: Any) -> Any:
            is_now, left[0] = left[0] > 0, left[0] - 1
            if is_now and not is_after:
                happens()
            answer = call(*values, **named)
            if is_now and is_after:
                happens()
            return answer

        monkeypatch.setattr(registry, method, interrupted)

    return arrange


def test_each_change_says_for_which_request_and_on_what_it_is_made(
    registry: FakeRegistry, approved: PromotionRequest
) -> None:
    registry.grounds.clear()
    assert deliver(approved, registry) == "applied"
    assert {grounds.request for _, grounds in registry.grounds} == {approved.pk}
    places = {method: grounds.holders for method, grounds in registry.grounds if grounds.holders}
    assert places == {"set_stage": {"Production": [6]}, "set_alias": {"@champion": [6]}}


def test_another_champion_at_the_last_moment_sends_it_back_to_review(
    registry: FakeRegistry, approved: PromotionRequest, meanwhile: Callable[..., None]
) -> None:
    meanwhile("set_stage", lambda: registry.change_version(MODEL, 8, stage="Production"))
    assert deliver(approved, registry) == "reopened"
    assert registry.version(MODEL, 7).stage == "Staging"
    assert registry.version(MODEL, 8).stage == "Production"
    assert "countersign.request" not in registry.version(MODEL, 7).tags
    assert (
        "Reviewers compared with version 6, but version 8 holds Production now"
        in (AuditEvent.objects.filter(action=Action.REQUEST_REOPENED).latest("sequence").data["reason"])
    )
    assert ledger.verify().is_intact


def test_a_holder_that_reviewers_did_not_compare_with_is_looked_at_and_named(
    registry: FakeRegistry, approved: PromotionRequest, meanwhile: Callable[..., None]
) -> None:
    """An older version beside the champion: the approval stands, and the books say that it was archived too."""
    meanwhile("set_stage", lambda: registry.change_version(MODEL, 5, stage="Production"))
    assert deliver(approved, registry) == "applied"
    replaced = AuditEvent.objects.filter(action=Action.VERSION_REPLACED).values_list("version_number", flat=True)
    assert sorted(replaced) == [5, 6]
    assert registry.version(MODEL, 5).stage == "Archived"


def test_a_version_that_was_made_anew_is_not_promoted(
    registry: FakeRegistry, approved: PromotionRequest, meanwhile: Callable[..., None]
) -> None:
    """Its model was deleted, and made anew with other files: the number is the same."""

    def made_anew() -> None:
        old = registry._versions[MODEL, 7]
        new = replace(old, source="s3://elsewhere/model", description="", tags={}, created_at=old.created_at + 60_000)
        registry._versions[MODEL, 7] = new

    meanwhile("set_stage", made_anew)
    assert deliver(approved, registry) == "reopened"
    assert registry._versions[MODEL, 7].stage == "Staging"
    assert registry._versions[MODEL, 6].stage == "Production"


def test_what_is_begun_is_finished_on_what_is_there(
    registry: FakeRegistry, approved: PromotionRequest, meanwhile: Callable[..., None]
) -> None:
    def moves_the_alias() -> None:
        registry.set_alias(MODEL, "champion", 8)

    meanwhile("set_stage", moves_the_alias, is_after=True)
    assert deliver(approved, registry) == "applied"
    assert registry.model(MODEL).aliases == {"champion": 7}
    replaced = AuditEvent.objects.filter(action=Action.VERSION_REPLACED)
    assert [(event.version_number, event.data["how"]) for event in replaced] == [(6, "archived")]


def test_a_move_whose_answer_was_lost_is_known_for_its_own(
    registry: FakeRegistry, approved: PromotionRequest, meanwhile: Callable[..., None]
) -> None:
    """MLflow made it, the answer was lost, and the connection sent the same grant again."""

    def says_no() -> None:
        raise Outdated("the grant expects version 6 in Production, MLflow has version 7")

    meanwhile("set_stage", says_no, is_after=True)
    assert deliver(approved, registry) == "applied"
    assert AuditEvent.objects.get(action=Action.VERSION_REPLACED).version_number == 6
    assert AuditEvent.objects.get(action=Action.VERSION_PROMOTED).data["replaced"] == 6


def test_a_place_that_does_not_come_to_rest_is_waited_for(
    registry: FakeRegistry, approved: PromotionRequest, meanwhile: Callable[..., None]
) -> None:
    others = iter([4, 5] * 10)

    def goes_on() -> None:
        number = next(others)
        for each in (4, 5):
            registry.change_version(MODEL, each, stage="Production" if each == number else "None")

    meanwhile("set_stage", goes_on, times=100)
    assert deliver(approved, registry) == "waiting"
    entry = approved.outbox_entries.get()
    assert "the grant expects" in entry.last_error
    assert approved.status == Status.APPROVED
    assert registry.version(MODEL, 7).stage == "Staging"


def test_a_half_is_put_back_on_what_is_there(
    registry: FakeRegistry, approved: PromotionRequest, remy: User, ada: User
) -> None:
    registry.fail_next("set_alias", Refused("No aliases today."))
    assert deliver(approved, registry) == "waiting"
    assert OutboxEntry.objects.get().half
    registry.grounds.clear()
    workflow.end_half(approved, by=ada, how="revert", reason="Not this one.")
    assert deliver(approved, registry) == "failed"
    stages = [grounds.holders for method, grounds in registry.grounds if method == "set_stage"]
    assert stages == [{"Production": [7]}, {"Production": [6, 7]}]
    assert (registry.version(MODEL, 6).stage, registry.version(MODEL, 7).stage) == ("Production", "Staging")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (
            Refused("churn_predictor version 7 cannot be moved to Production here: the grant is for another change."),
            "failed",
        ),
        (Denied("MLflow's gate does not accept the worker's grant: the grant has expired."), "waiting"),
        (Unreachable("MLflow answered 503."), "waiting"),
    ],
)
def test_what_a_gate_says_ends_the_attempt_as_it_should(
    registry: FakeRegistry, approved: PromotionRequest, error: Exception, outcome: str
) -> None:
    registry.fail_next("set_stage", error)  # type: ignore[arg-type]
    assert deliver(approved, registry) == outcome
    said = approved.status_reason if outcome == "failed" else approved.outbox_entries.get().last_error
    assert str(error) in said
    assert registry.version(MODEL, 7).stage == "Staging"


def test_without_a_gate_a_place_is_changed_whoever_is_there(registry: FakeRegistry) -> None:
    registry.is_gated = False
    registry.set_alias(MODEL, "champion", 8, grounds=Grounds(holders={"@champion": [1]}))
    assert registry.model(MODEL).aliases == {"champion": 8}
    registry.is_gated = True
    with pytest.raises(Outdated):
        registry.set_alias(MODEL, "champion", 7, grounds=Grounds(holders={"@champion": []}))


def test_who_has_another_address_by_the_end_is_in_the_ledger_by_that_and_never_in_clear(
    registry: FakeRegistry, approved: PromotionRequest, remy: User, meanwhile: Callable[..., None]
) -> None:
    """No one could erase the former one any more: events are hashed as they are."""

    def move() -> None:
        remy.email = "ortiz@example.com"
        remy.save()

    meanwhile("set_stage", move)
    assert deliver(approved, registry) == "applied"
    promoted = AuditEvent.objects.filter(action=Action.VERSION_PROMOTED).latest("sequence")
    assert "Remy Ortiz <ortiz@example.com>" in promoted.allowed_by
    stored = AuditEvent.objects.values_list("stored_actor", "stored_allowed_by", "payload")
    assert not [told for told in stored if "remy@example.com" in "".join(told)]
