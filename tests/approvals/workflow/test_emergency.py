"""Break-glass on the real delivery code: who may, what it asks, what stays open, and who says what of it afterwards."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from approvals import delivery, ledger, notifications, workflow
from approvals.evidence import approval_note
from approvals.models import (
    Action,
    AuditEvent,
    CheckResult,
    Kind,
    Notification,
    OutboxEntry,
    PromotionRequest,
    Status,
    Target,
)
from approvals.policy import BreakGlassRule, CheckRule, SignatureRule
from approvals.selectors import note_claims, request_state, rollback_candidates
from tests.support.factories import approve, make_person, make_policy
from tests.support.fakes import FakeRegistry
from tests.support.world import (
    MODEL,
    REASON,
    ask,
    break_glass,
    deliver,
    freeze,
    in_production,
    model,
    promote,
    proof,
    version,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def broken(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, otto: User, production: Target
) -> PromotionRequest:
    """Version 1 was promoted as usual, version 2 by breaking the glass; delivered."""
    promote(registry, 1, production, by=rita, approvers=(remy, rosa))
    request = break_glass(2, production, by=otto)
    assert deliver(request, registry) == "applied"
    return request


def told(*kinds: Kind) -> set[tuple[str, str]]:
    notifications.collect()
    found = Notification.objects.filter(kind__in=kinds, recipient__isnull=False)
    return {(str(row.recipient).partition(" <")[0], row.title) for row in found}


def test_it_goes_ahead_without_approvals_and_says_so_everywhere(
    registry: FakeRegistry, broken: PromotionRequest, production: Target
) -> None:
    assert in_production(registry) == [2]
    assert (broken.kind, broken.status, broken.owes_review) == ("break_glass", Status.APPLIED, True)
    assert broken.afterwards_due_at is not None
    assert timedelta(hours=23) < broken.afterwards_due_at - timezone.now() <= timedelta(hours=24)
    actions = list(broken.events.order_by("sequence").values_list("action", flat=True))
    assert actions == [Action.REQUEST_CREATED, Action.GLASS_BROKEN, Action.VERSION_PROMOTED, Action.VERSION_REPLACED]
    glass = broken.events.get(action=Action.GLASS_BROKEN)
    assert (glass.data["reason"], glass.data["signed_with"]) == (REASON, "password")
    assert glass.data["instead_of"] == "2 approvals from any reviewer"
    promoted = broken.events.get(action=Action.VERSION_PROMOTED)
    assert (promoted.allowed_by, promoted.data["kind"]) == ("", "break_glass")
    assert workflow.approver_labels(broken) == []
    assert ledger.verify().is_intact


def test_the_note_in_mlflow_says_that_nobody_approved_it(registry: FakeRegistry, broken: PromotionRequest) -> None:
    found = registry.version(MODEL, 2)
    (line,) = approval_note.notes(found.description)
    assert line.startswith("Promoted to Production without approval (break-glass) by Otto Reyes <otto@example.com> · ")
    assert line.endswith(f"request #{broken.pk}")
    assert "Approved" not in line
    assert found.tags["countersign.approved_by"] == ""
    (checked,) = note_claims.check(version(2))
    assert (checked.doubt, checked.request) == ("", broken)
    forged = line.replace("Promoted to Production without approval (break-glass)", "Approved for Production")
    row = version(2)
    row.description = row.description.replace(line, forged)
    assert note_claims.check(row)[0].doubt.startswith("Countersign wrote: Promoted to Production without approval")
    assert approval_note.without_note(found.description, broken.pk) == "Trained for the 2th time."


def test_only_with_the_permission(registry: FakeRegistry, rita: User, remy: User, ada: User, vera: User,
                                  production: Target) -> None:  # fmt: skip
    for person in (rita, remy, ada, vera, make_person("Bot One", "responder", is_service_account=True)):
        with pytest.raises(workflow.NotAllowed, match="requires the responder role"):
            break_glass(2, production, by=person)
    assert not PromotionRequest.objects.exists()


def test_only_where_the_policy_allows_it(registry: FakeRegistry, otto: User, production: Target) -> None:
    make_policy("*", production, (2, None), break_glass=BreakGlassRule(is_allowed=False))
    with pytest.raises(workflow.NotAllowed, match="does not allow emergency promotions"):
        break_glass(2, production, by=otto)


@pytest.mark.parametrize("reason", ["", "urgent", " " * 30 + "too short"])
def test_only_with_a_reason_that_says_something(
    registry: FakeRegistry, otto: User, production: Target, reason: str
) -> None:
    with pytest.raises(workflow.Invalid, match="at least 20 characters"):
        workflow.break_glass(version(2), production, by=otto, reason=reason, proof=proof())


def test_only_with_a_fresh_proof_even_where_signing_asks_for_none(
    registry: FakeRegistry, otto: User, production: Target
) -> None:
    make_policy("*", production, (2, None), signature=SignatureRule(reauthenticate=False, within_minutes=3))
    for old in (None, proof(minutes=3.1)):
        with pytest.raises(workflow.NeedsReauthentication, match="last 3 minutes"):
            workflow.break_glass(version(2), production, by=otto, reason=REASON, proof=old)
    assert workflow.break_glass(version(2), production, by=otto, reason=REASON, proof=proof(minutes=2.9)).pk


def test_no_freeze_and_no_failed_check_stops_it(registry: FakeRegistry, otto: User, production: Target) -> None:
    failing = CheckRule("metric_threshold", settings={"metric": "auc_roc", "at_least": 0.99})
    make_policy("*", production, (2, None), checks=(failing,))
    freeze()
    request = break_glass(2, production, by=otto)
    (result,) = CheckResult.objects.filter(request=request)
    assert (result.outcome, result.effect) == ("warn", "warn")
    assert request.events.get(action=Action.GLASS_BROKEN).data["failed"] == [result.title]
    delivery.drain(registry)
    assert in_production(registry) == [2]


def test_an_open_request_for_the_same_makes_way(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, otto: User, production: Target
) -> None:
    waiting = approve(ask(registry, 2, production, by=rita), remy)
    request = break_glass(2, production, by=otto)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.status_reason) == (
        Status.WITHDRAWN,
        "The same was promoted in an emergency, without approval.",
    )
    assert deliver(request, registry) == "applied"


def test_one_that_a_freeze_holds_makes_way_and_one_that_is_being_delivered_does_not(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, otto: User, production: Target
) -> None:
    held = approve(ask(registry, 2, production, by=rita), remy, rosa)
    freeze()
    assert deliver(held, registry) == "held"
    OutboxEntry.objects.update(lease_expires_at=timezone.now() + timedelta(minutes=1))
    with pytest.raises(workflow.Conflict, match="being delivered right now"):
        break_glass(2, production, by=otto)
    OutboxEntry.objects.update(lease_expires_at=None)
    request = break_glass(2, production, by=otto)
    held.refresh_from_db()
    assert (held.status, held.outbox_entries.get().outcome) == (Status.WITHDRAWN, "failed")
    delivery.drain(registry)
    request.refresh_from_db()
    assert request.status == Status.APPLIED


def test_a_second_click_is_told_of_the_first(registry: FakeRegistry, otto: User, production: Target) -> None:
    first = break_glass(2, production, by=otto)
    with pytest.raises(workflow.Conflict) as caught:
        break_glass(2, production, by=otto)
    assert caught.value.request == first


def test_another_champion_than_its_author_saw_stops_it(registry: FakeRegistry, otto: User, production: Target) -> None:
    request = break_glass(2, production, by=otto)
    registry.set_stage(MODEL, 3, "Production", archive_existing=False)
    assert deliver(request, registry) == "failed"
    assert "version 3 holds Production now" in request.status_reason
    assert in_production(registry) == [3]


# --- Afterwards -------------------------------------------------------------------------------------------------------


def test_a_reviewer_reviews_it_afterwards_once(broken: PromotionRequest, remy: User, rosa: User) -> None:
    workflow.review_afterwards(broken, by=remy, verdict="justified", comment="The numbers were right.")
    broken.refresh_from_db()
    assert (broken.afterwards_verdict, broken.afterwards_by, broken.owes_review) == ("justified", remy, False)
    event = broken.events.get(action=Action.REVIEWED_AFTERWARDS)
    assert event.data == {"verdict": "justified", "comment": "The numbers were right."}
    with pytest.raises(workflow.NotAllowed, match="already reviewed"):
        workflow.review_afterwards(broken, by=rosa, verdict="not_justified", comment="No.")
    assert workflow.approver_labels(broken) == []  # a review afterwards is no approval


def test_who_broke_the_glass_and_who_may_not_review_cannot(broken: PromotionRequest, otto: User, rita: User) -> None:
    otto.groups.add(*User.objects.get(email="remy@example.com").groups.all())
    otto = User.objects.get(pk=otto.pk)
    with pytest.raises(workflow.NotAllowed, match="You promoted it"):
        workflow.review_afterwards(broken, by=otto, verdict="justified", comment="Trust me.")
    with pytest.raises(workflow.NotAllowed, match="Only reviewers"):
        workflow.review_afterwards(broken, by=rita, verdict="justified", comment="Fine.")
    with transaction.atomic(), pytest.raises(IntegrityError):
        PromotionRequest.objects.filter(pk=broken.pk).update(afterwards_by=otto)


def test_contributors_do_not_review_where_the_rule_excludes_them(
    registry: FakeRegistry, remy: User, rosa: User, otto: User, production: Target
) -> None:
    make_policy("*", production, (1, None), excludes_contributors=True, contributor_tags=("owner",))
    row = version(2)
    row.tags = {"owner": "remy@example.com"}
    row.save(update_fields=["tags"])
    request = break_glass(2, production, by=otto)
    with pytest.raises(workflow.NotAllowed, match="contributed to this version"):
        workflow.review_afterwards(request, by=remy, verdict="justified", comment="Mine.")
    workflow.review_afterwards(request, by=rosa, verdict="justified", comment="Not mine.")


def test_a_comment_is_asked_for(broken: PromotionRequest, remy: User) -> None:
    with pytest.raises(workflow.Invalid, match="Enter"):
        workflow.review_afterwards(broken, by=remy, verdict="justified", comment=" ")
    with pytest.raises(workflow.Invalid, match="it was justified"):
        workflow.review_afterwards(broken, by=remy, verdict="fine", comment="Yes.")


def test_only_a_break_glass_promotion_is_reviewed_afterwards(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, production: Target
) -> None:
    usual = promote(registry, 1, production, by=rita, approvers=(remy, rosa))
    with pytest.raises(workflow.NotAllowed, match="Only an emergency promotion"):
        workflow.review_afterwards(usual, by=remy, verdict="justified", comment="Fine.")


def test_an_overdue_one_is_called_out_once(broken: PromotionRequest, remy: User) -> None:
    assert workflow.call_out_overdue() == 0
    PromotionRequest.objects.filter(pk=broken.pk).update(afterwards_due_at=timezone.now() - timedelta(minutes=1))
    assert [workflow.call_out_overdue() for _ in range(3)] == [1, 0, 0]
    broken.refresh_from_db()
    assert broken.is_review_overdue
    assert AuditEvent.objects.filter(action=Action.AFTERWARDS_OVERDUE, request=broken).count() == 1
    workflow.review_afterwards(broken, by=remy, verdict="justified", comment="Late, but so it was.")
    broken.refresh_from_db()
    assert not broken.is_review_overdue


def test_reviewed_in_time_is_never_called_out(broken: PromotionRequest, remy: User) -> None:
    workflow.review_afterwards(broken, by=remy, verdict="not_justified", comment="It could have waited.")
    PromotionRequest.objects.filter(pk=broken.pk).update(afterwards_due_at=timezone.now() - timedelta(minutes=1))
    assert workflow.call_out_overdue() == 0


def test_a_version_that_nobody_approved_is_no_place_to_go_back_to_until_it_is_found_justified(
    registry: FakeRegistry, broken: PromotionRequest, rita: User, remy: User, rosa: User, production: Target
) -> None:
    promote(registry, 3, production, by=rita, approvers=(remy, rosa))
    assert [each.number for each in rollback_candidates.earlier(model(), production)] == [1]
    workflow.review_afterwards(broken, by=remy, verdict="justified", comment="The numbers were right.")
    assert [each.number for each in rollback_candidates.earlier(model(), production)] == [2, 1]


def test_a_failed_delivery_is_not_submitted_again(registry: FakeRegistry, otto: User, production: Target) -> None:
    request = break_glass(2, production, by=otto)
    registry.delete_version(MODEL, 2)
    assert deliver(request, registry) == "failed"
    assert "start a new one" in request_state.of(request, otto).actions["resubmit"].reason


# --- Who is told ------------------------------------------------------------------------------------------------------


def test_everybody_who_could_have_approved_and_the_administrators_are_told_at_once(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, ada: User, vera: User, otto: User, production: Target
) -> None:
    make_policy("*", production, (1, "risk"))
    break_glass(2, production, by=otto)
    assert {name for name, _ in told(Kind.BREAK_GLASS)} == {"Ada Brandt"}  # nobody is in the group
    Notification.objects.all().delete()
    make_policy("*", production, (1, None))
    break_glass(3, production, by=otto)
    found = told(Kind.BREAK_GLASS)
    title = f"Emergency promotion: {MODEL} v3 to Production goes ahead without approval"
    assert found == {(name, title) for name in ("Ada Brandt", "Remy Ortiz", "Rosa Lind")}
    row = Notification.objects.filter(kind=Kind.BREAK_GLASS).first()
    assert row is not None
    assert row.said == REASON
    assert "Not approved." in row.text


def test_they_are_told_when_its_review_is_overdue(broken: PromotionRequest, ada: User) -> None:
    PromotionRequest.objects.filter(pk=broken.pk).update(afterwards_due_at=timezone.now() - timedelta(minutes=1))
    told(Kind.BREAK_GLASS)
    Notification.objects.all().delete()
    workflow.call_out_overdue()
    names = {name for name, title in told(Kind.BREAK_GLASS) if title.startswith("Overdue")}
    assert names == {"Ada Brandt", "Remy Ortiz", "Rosa Lind", "Otto Reyes"}


def test_who_broke_the_glass_is_told_what_came_of_it(broken: PromotionRequest, remy: User) -> None:
    told(Kind.BREAK_GLASS)
    Notification.objects.all().delete()
    workflow.review_afterwards(broken, by=remy, verdict="justified", comment="The numbers were right.")
    assert told(Kind.BREAK_GLASS) == {
        ("Otto Reyes", f"The emergency promotion {MODEL} v2 to Production was found justified")
    }
