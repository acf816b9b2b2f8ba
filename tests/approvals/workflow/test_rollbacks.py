"""Roll back on the real delivery code: who may, to what, in spite of freezes, held to the bytes that were approved."""

import pytest

from accounts.models import User
from approvals import assessment, delivery, ledger, tenures, workflow
from approvals.evidence import approval_note
from approvals.models import (
    Action,
    AuditEvent,
    OutboxEntry,
    PromotionRequest,
    RequestKind,
    Status,
    Target,
    Tenure,
)
from approvals.policy import RollbackRule
from approvals.selectors import champions, note_claims, request_state, rollback_candidates
from mirror import sync
from mirror.port import Unreachable
from tests.support.factories import approve, make_policy
from tests.support.fakes import FakeRegistry
from tests.support.world import (
    MODEL,
    REASON,
    ask,
    deliver,
    freeze,
    in_production,
    model,
    promote,
    promoted_twice,
    version,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def kept_registry(kept: None) -> FakeRegistry:
    return promoted_twice()


@pytest.fixture
def second(db: None, kept_registry: FakeRegistry) -> PromotionRequest:
    """Versions 1 and 2 were promoted one after the other; 2 holds Production."""
    return PromotionRequest.objects.get(version__number=2)


# --- Going back -------------------------------------------------------------------------------------------------------


def test_a_responder_rolls_back_alone_and_the_worker_does_it(
    registry: FakeRegistry, second: PromotionRequest, otto: User, production: Target
) -> None:
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    assert (request.version.number, request.kind, request.status, request.waits_for) == (1, "rollback", "approved", "")
    assert request.champion is not None
    assert request.champion.number == 2
    assert deliver(request, registry) == "applied"
    assert in_production(registry) == [1]
    assert registry.version(MODEL, 2).stage == "Archived"
    assert registry.model(MODEL).aliases == {"champion": 1}
    created, approved = AuditEvent.objects.filter(request=request).order_by("sequence")[:2]
    assert (created.action, created.data["kind"], created.data["justification"]) == (
        Action.REQUEST_CREATED,
        "rollback",
        REASON,
    )
    assert (approved.action, approved.allowed_by) == (Action.REQUEST_APPROVED, "Otto Reyes <otto@example.com>")
    done = AuditEvent.objects.get(request=request, action=Action.VERSION_PROMOTED)
    assert (done.allowed_by, done.data["kind"], done.data["replaced"]) == (
        "Otto Reyes <otto@example.com>",
        "rollback",
        2,
    )
    assert tenures.holders(MODEL, production, "Production") == [1]
    assert ledger.verify().is_intact


def test_the_note_in_mlflow_names_who_rolled_back_and_our_records_agree(
    registry: FakeRegistry, second: PromotionRequest, otto: User, production: Target
) -> None:
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    deliver(request, registry)
    lines = approval_note.notes(registry.version(MODEL, 1).description)
    assert lines[0].startswith("Approved for Production by Remy Ortiz")
    assert lines[1].startswith("Rolled back into Production by Otto Reyes <otto@example.com> · ")
    assert lines[1].endswith(f"request #{request.pk}")
    assert [each.doubt for each in note_claims.check(version(1))] == ["", ""]
    assert registry.version(MODEL, 1).tags["countersign.approved_by"] == "Otto Reyes <otto@example.com>"


def test_a_requester_asks_and_a_reviewer_approves_under_the_rule_for_roll_backs(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, production: Target
) -> None:
    request = workflow.roll_back(model(), production, by=rita, reason=REASON)
    assert request.status == Status.CHECKING
    assert assessment.assess(request.pk, registry) == "concluded"
    request.refresh_from_db()
    assert request.status == Status.PENDING
    with pytest.raises(workflow.NotAllowed):
        workflow.review(request, by=rita, verdict="approve")
    approve(request, remy)  # one approval, although Production asks for two
    assert request.status == Status.APPROVED
    assert deliver(request, registry) == "applied"
    assert in_production(registry) == [1]
    line = approval_note.notes(registry.version(MODEL, 1).description)[-1]
    assert line.startswith("Approved for Production by Remy Ortiz <remy@example.com> · ")


def test_a_policy_can_ask_for_an_approval_of_every_roll_back(
    registry: FakeRegistry, second: PromotionRequest, otto: User, remy: User, rosa: User, production: Target
) -> None:
    make_policy("*", production, (2, None), rollback=RollbackRule(2, "risk", permission_suffices=False))
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    assert (request.status, request.waits_for) == (Status.CHECKING, "|risk|")


def test_whoever_may_neither_ask_nor_roll_back_is_refused(
    second: PromotionRequest, vera: User, ada: User, production: Target
) -> None:
    for person in (vera, ada):
        with pytest.raises(workflow.NotAllowed, match="Requesters can request a rollback"):
            workflow.roll_back(model(), production, by=person, reason=REASON)
    assert not PromotionRequest.objects.filter(kind=RequestKind.ROLLBACK).exists()


def test_a_reason_is_asked_for(second: PromotionRequest, otto: User, production: Target) -> None:
    with pytest.raises(workflow.Invalid, match="Enter"):
        workflow.roll_back(model(), production, by=otto, reason="  ")


# --- To what ----------------------------------------------------------------------------------------------------------


def test_a_version_that_was_rolled_back_from_is_no_default_but_can_be_chosen(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, rosa: User, otto: User, production: Target
) -> None:
    promote(registry, 3, production, by=rita, approvers=(remy, rosa))
    deliver(workflow.roll_back(model(), production, by=otto, reason=REASON), registry)
    assert in_production(registry) == [2]
    found = rollback_candidates.earlier(model(), production)
    assert [(each.number, each.was_left) for each in found] == [(1, False), (3, True)]
    back = workflow.roll_back(model(), production, by=otto, reason="It was the data, not the model.", to=3)
    assert deliver(back, registry) == "applied"
    assert in_production(registry) == [3]


def test_versions_that_are_gone_or_not_ready_are_passed_over(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, rosa: User, otto: User, production: Target
) -> None:
    promote(registry, 3, production, by=rita, approvers=(remy, rosa))
    registry.delete_version(MODEL, 2)
    sync.sweep(registry)
    found = rollback_candidates.earlier(model(), production)
    assert [(each.number, each.problem) for each in found] == [
        (2, "Version 2 no longer exists in MLflow."),
        (1, ""),
    ]
    with pytest.raises(workflow.Invalid, match="no longer exists"):
        workflow.roll_back(model(), production, by=otto, reason=REASON, to=2)
    assert workflow.roll_back(model(), production, by=otto, reason=REASON).version.number == 1


def test_a_version_that_never_held_the_target_cannot_be_gone_back_to(
    second: PromotionRequest, otto: User, production: Target
) -> None:
    with pytest.raises(workflow.Invalid, match="did not hold Production"):
        workflow.roll_back(model(), production, by=otto, reason=REASON, to=4)


def test_without_an_earlier_holder_there_is_nothing_to_go_back_to(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, otto: User, production: Target
) -> None:
    promote(registry, 1, production, by=rita, approvers=(remy, rosa))
    with pytest.raises(workflow.Invalid, match="no earlier approved version"):
        workflow.roll_back(model(), production, by=otto, reason=REASON)


def test_a_holder_from_before_the_gate_needs_an_approval(
    registry: FakeRegistry, second: PromotionRequest, otto: User, production: Target
) -> None:
    Tenure.objects.filter(version_number=1).update(origin=Tenure.Origin.FOUND, request=None)
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    assert (request.version.number, request.status, request.waits_for) == (1, Status.CHECKING, "|*|")


def test_the_version_comes_back_from_staging(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, otto: User, production: Target
) -> None:
    staging = Target.objects.get(name="Staging")
    promote(registry, 1, staging, by=rita, approvers=(remy,))
    assert registry.version(MODEL, 1).stage == "Staging"
    assert deliver(workflow.roll_back(model(), production, by=otto, reason=REASON), registry) == "applied"
    assert in_production(registry) == [1]


def test_staging_is_not_rolled_back_to_what_holds_production(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, otto: User, production: Target, staging: Target
) -> None:
    Target.objects.filter(pk=staging.pk).update(archives_existing=True)
    staging.refresh_from_db()
    promote(registry, 1, staging, by=rita, approvers=(remy,))
    promote(registry, 1, production, by=rita, approvers=(remy, rosa))
    promote(registry, 2, staging, by=rita, approvers=(remy,))
    with pytest.raises(workflow.Invalid, match="no earlier approved version"):
        workflow.roll_back(model(), staging, by=otto, reason=REASON)
    with pytest.raises(workflow.Invalid, match="it would leave Production"):
        workflow.roll_back(model(), staging, by=otto, reason=REASON, to=1)


def test_a_target_that_is_an_alias_alone_goes_back(registry: FakeRegistry, rita: User, remy: User, otto: User) -> None:
    canary = Target.objects.create(name="Canary", alias="canary", position=9)
    make_policy("*", canary, (1, None))
    for number in (1, 2):
        promote(registry, number, canary, by=rita, approvers=(remy,))
    assert deliver(workflow.roll_back(model(), canary, by=otto, reason=REASON), registry) == "applied"
    assert registry.model(MODEL).aliases == {"canary": 1}


def test_a_stage_that_versions_share_goes_back_to_the_one_below_and_keeps_nothing_beside_it(
    registry: FakeRegistry, rita: User, remy: User, otto: User, staging: Target
) -> None:
    for number in (1, 2, 3):
        promote(registry, number, staging, by=rita, approvers=(remy,))
    assert {each.number for each in registry.versions_in_stage(MODEL, "Staging")} == {1, 2, 3}
    back = workflow.roll_back(model(), staging, by=otto, reason=REASON)
    assert back.version.number == 2
    assert deliver(back, registry) == "applied"
    assert [each.number for each in registry.versions_in_stage(MODEL, "Staging")] == [2]
    assert registry.version(MODEL, 3).stage == registry.version(MODEL, 1).stage == "Archived"
    assert tenures.holders(MODEL, staging, "Staging") == [2]
    assert [version.number for version in champions.holders(model(), staging)] == [2]
    again = workflow.roll_back(model(), staging, by=otto, reason=REASON)
    assert again.version.number == 1
    assert deliver(again, registry) == "applied"
    assert tenures.holders(MODEL, staging, "Staging") == [1]
    assert ledger.verify().problem == ""


def test_going_back_in_a_shared_stage_is_finished_after_a_killed_worker(
    registry: FakeRegistry, rita: User, remy: User, otto: User, staging: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        promote(registry, number, staging, by=rita, approvers=(remy,))
    back = workflow.roll_back(model(), staging, by=otto, reason=REASON)
    with monkeypatch.context() as patched:
        patched.setattr(delivery.attempt.Attempt, "read_back", lambda *_: (_ for _ in ()).throw(Unreachable("Gone.")))
        assert deliver(back, registry) == "waiting"
    assert deliver(back, registry) == "applied"
    assert tenures.holders(MODEL, staging, "Staging") == [1]
    assert AuditEvent.objects.filter(request=back, action=Action.VERSION_REPLACED).get().version_number == 2


# --- Freezes ----------------------------------------------------------------------------------------------------------


def test_no_freeze_holds_it_and_it_overtakes_what_one_holds(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, rosa: User, otto: User, production: Target
) -> None:
    held = approve(ask(registry, 3, production, by=rita), remy, rosa)
    freeze()
    assert deliver(held, registry) == "held"
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    entry = request.outbox_entries.get()
    assert entry.is_urgent
    assert entry.pk > held.outbox_entries.get().pk
    assert list(OutboxEntry.objects.owed(entry.available_at)) == [entry]
    assert delivery.drain(registry) == 1
    request.refresh_from_db()
    held.refresh_from_db()
    assert (request.status, held.status) == (Status.APPLIED, Status.APPROVED)
    assert in_production(registry) == [1]


def test_an_older_delivery_that_no_freeze_holds_goes_first_and_the_roll_back_says_what_it_found(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, rosa: User, otto: User, production: Target
) -> None:
    approve(ask(registry, 3, production, by=rita), remy, rosa)
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    delivery.drain(registry)
    request.refresh_from_db()
    assert in_production(registry) == [3]
    assert request.status == Status.FAILED
    assert (
        request.status_reason == "It was to replace version 2, but version 3 holds Production now. Nothing was changed."
    )


# --- Bytes ------------------------------------------------------------------------------------------------------------


def test_other_bytes_than_the_approved_ones_stop_it(
    registry: FakeRegistry, second: PromotionRequest, otto: User, production: Target
) -> None:
    registry.change_file(MODEL, 1, "model.skops", b"another model")
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    assert deliver(request, registry) == "failed"
    assert "not what was approved before" in request.status_reason
    assert in_production(registry) == [2]
    assert len(approval_note.notes(registry.version(MODEL, 1).description)) == 1


def test_other_bytes_stop_it_even_when_the_mirror_has_read_them_meanwhile(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, otto: User, production: Target
) -> None:
    registry.change_file(MODEL, 1, "model.skops", b"another model")
    asked = workflow.roll_back(model(), production, by=rita, reason=REASON)
    assessment.assess(asked.pk, registry)
    asked.refresh_from_db()
    assert asked.status == Status.CHECKING
    assert "differ from the approved ones" in asked.status_reason
    alone = workflow.roll_back(model(), production, by=otto, reason=REASON)  # takes its place
    asked.refresh_from_db()
    assert asked.status == Status.WITHDRAWN
    assert deliver(alone, registry) == "failed"
    assert in_production(registry) == [2]


def test_a_tag_that_changed_since_stops_nothing(
    registry: FakeRegistry, second: PromotionRequest, otto: User, production: Target
) -> None:
    registry.set_tag(MODEL, 1, "owner", "somebody else")
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    assert deliver(request, registry) == "applied"


# --- Twice ------------------------------------------------------------------------------------------------------------


def test_a_second_click_is_told_of_the_first(
    registry: FakeRegistry, second: PromotionRequest, otto: User, remy: User, production: Target
) -> None:
    first = workflow.roll_back(model(), production, by=otto, reason=REASON, to=1, leaving=2)
    with pytest.raises(workflow.Conflict) as caught:
        workflow.roll_back(model(), production, by=remy, reason=REASON, to=1, leaving=2)
    assert caught.value.request == first
    deliver(first, registry)
    with pytest.raises(workflow.Conflict, match="Version 1 holds Production now, not version 2"):
        workflow.roll_back(model(), production, by=remy, reason=REASON, to=2, leaving=2)
    assert PromotionRequest.objects.filter(kind=RequestKind.ROLLBACK).count() == 1


def test_mlflow_being_down_delays_it(
    registry: FakeRegistry, second: PromotionRequest, otto: User, production: Target
) -> None:
    request = workflow.roll_back(model(), production, by=otto, reason=REASON)
    registry.fail_next("set_stage", Unreachable("MLflow cannot be reached."))
    assert deliver(request, registry) == "waiting"
    assert deliver(request, registry) == "applied"
    assert in_production(registry) == [1]


def test_a_failed_roll_back_can_be_done_again(
    registry: FakeRegistry, second: PromotionRequest, otto: User, production: Target
) -> None:
    original = registry.files_of(f"fake:/{MODEL}/1")["model.skops"]
    registry.change_file(MODEL, 1, "model.skops", b"another model")
    failed = workflow.roll_back(model(), production, by=otto, reason=REASON)
    assert deliver(failed, registry) == "failed"
    registry.change_file(MODEL, 1, "model.skops", original)
    again = workflow.roll_back(model(), production, by=otto, reason=REASON)
    failed.refresh_from_db()
    assert failed.status == Status.WITHDRAWN
    assert deliver(again, registry) == "applied"


def test_submitting_it_again_keeps_the_rule_for_roll_backs(
    registry: FakeRegistry, second: PromotionRequest, rita: User, remy: User, production: Target
) -> None:
    request = workflow.roll_back(model(), production, by=rita, reason=REASON)
    assessment.assess(request.pk, registry)
    workflow.review(request, by=remy, verdict="request_changes", comment="Why not wait?")
    workflow.resubmit(request, by=rita, justification="It costs money by the minute.")
    request.refresh_from_db()
    assert request_state.of(request).rule.approvals == 1
