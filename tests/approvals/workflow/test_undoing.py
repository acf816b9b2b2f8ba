"""Taking back a verdict that was just given: what it led to is gone, and until it is settled nothing reaches MLflow."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import delivery, ledger, notifications, watch, workflow
from approvals.audit import certificates
from approvals.ledger.sentences import sentence
from approvals.models import (
    Action,
    AuditEvent,
    Incident,
    Notification,
    OutboxEntry,
    PromotionRequest,
    Review,
    Status,
    Target,
)
from approvals.workflow import Conflict, Invalid, NotAllowed, outbox
from mirror import clock
from tests.support import world
from tests.support.factories import approve, make_policy
from tests.support.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _ten_seconds(settings: Any) -> None:
    settings.UNDO_SECONDS = 10


@pytest.fixture
def asked(  # the people before the first event, which seals them
    registry: FakeRegistry, ada: User, remy: User, rosa: User, rita: User, production: Target
) -> PromotionRequest:
    """Version 2 for Production, which needs two approvals."""
    make_policy("*", production, (2, None))
    return world.ask(registry, 2, production, by=rita)


def last_of(request: PromotionRequest) -> int:
    return request.reviews.latest("pk").pk


def undo(request: PromotionRequest, person: User) -> PromotionRequest:
    workflow.undo_review(request, by=person, review=last_of(request))
    request.refresh_from_db()
    return request


def age(seconds: float) -> None:
    """So much time goes by, for what is in the database."""
    since = timedelta(seconds=seconds)
    for review in Review.objects.all():
        Review.objects.filter(pk=review.pk).update(created_at=review.created_at - since)
    for entry in OutboxEntry.objects.open():
        OutboxEntry.objects.filter(pk=entry.pk).update(available_at=entry.available_at - since)


# --- What is undone ---------------------------------------------------------------------------------------------------


def test_the_last_approval_is_undone_and_nothing_was_delivered(
    asked: PromotionRequest, registry: FakeRegistry, remy: User, rosa: User
) -> None:
    approve(asked, remy, rosa)
    entry = OutboxEntry.objects.get()
    assert asked.status == Status.APPROVED
    assert timedelta(seconds=8) < entry.available_at - clock.now() <= timedelta(seconds=10)
    assert delivery.drain(registry, first=entry.pk) == 0
    assert world.in_production(registry) == []
    undo(asked, rosa)
    assert (asked.status, asked.decided_at, asked.waits_for) == (Status.PENDING, None, "|*|")
    entry.refresh_from_db()
    assert (entry.outcome, OutboxEntry.objects.open().count()) == ("undone", 0)
    event = AuditEvent.objects.get(action=Action.REVIEW_UNDONE)
    told = AuditEvent.objects.filter(sequence__in=event.data["undoes"]).order_by("sequence")
    assert [each.action for each in told] == [Action.REVIEW_APPROVED, Action.REQUEST_APPROVED]
    assert {each.actor for each in told} == {rosa}
    assert sentence(event).startswith("undid their approval of churn_predictor version 2 for Production; it was")
    assert ledger.verify(with_references=True).is_intact
    age(60)
    assert delivery.drain(registry, first=entry.pk) == 0
    assert world.in_production(registry) == []


def test_who_undid_may_decide_anew_and_it_is_delivered_then(
    asked: PromotionRequest, registry: FakeRegistry, remy: User, rosa: User
) -> None:
    approve(asked, remy, rosa)
    undo(asked, rosa)
    approve(asked, rosa)
    assert asked.status == Status.APPROVED
    assert world.deliver(asked, registry) == "applied"
    assert world.in_production(registry) == [2]
    assert ledger.verify(with_references=True).is_intact


def test_an_approval_that_was_not_the_last_is_undone(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, remy)
    undo(asked, remy)
    assert asked.status == Status.PENDING
    approve(asked, rosa)
    assert asked.status == Status.PENDING
    assert ledger.verify(with_references=True).is_intact


def test_the_first_of_two_approvals_takes_the_delivery_with_it(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, remy)
    given = last_of(asked)
    approve(asked, rosa)
    workflow.undo_review(asked, by=remy, review=given)
    asked.refresh_from_db()
    assert asked.status == Status.PENDING
    assert list(asked.reviews.live().values_list("reviewer__name", flat=True)) == ["Rosa Lind"]
    assert not OutboxEntry.objects.open().exists()
    assert ledger.verify(with_references=True).is_intact


@pytest.mark.parametrize("verdict", ["reject", "request_changes"])
def test_what_ended_it_or_sent_it_back_is_undone(asked: PromotionRequest, remy: User, rosa: User, verdict: str) -> None:
    approve(asked, rosa)
    workflow.review(asked, by=remy, verdict=verdict, comment="No.")
    undo(asked, remy)
    assert (asked.status, asked.status_reason, asked.closed_at, asked.decided_at) == (Status.PENDING, "", None, None)
    assert ledger.verify(with_references=True).is_intact
    approve(asked, remy)
    assert asked.status == Status.APPROVED


def test_an_approval_is_undone_under_a_rejection_that_stands(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, rosa)
    given = last_of(asked)
    workflow.review(asked, by=remy, verdict="reject", comment="No.")
    workflow.undo_review(asked, by=rosa, review=given)
    asked.refresh_from_db()
    assert asked.status == Status.REJECTED
    assert ledger.verify(with_references=True).is_intact


# --- What is refused --------------------------------------------------------------------------------------------------


def test_it_is_undone_once(asked: PromotionRequest, remy: User) -> None:
    approve(asked, remy)
    undo(asked, remy)
    with pytest.raises(Conflict, match="does not count any more"):
        undo(asked, remy)
    assert AuditEvent.objects.filter(action=Action.REVIEW_UNDONE).count() == 1


def test_nobody_undoes_the_verdict_of_another(asked: PromotionRequest, remy: User, rosa: User, ada: User) -> None:
    approve(asked, remy)
    for person in (rosa, ada, asked.requester):
        with pytest.raises(NotAllowed, match=r"^Only Remy Ortiz can undo this decision\.$"):
            undo(asked, person)


def test_after_ten_seconds_it_stands(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, remy, rosa)
    age(10)
    with pytest.raises(Conflict, match=r"within 10 seconds, and they are over\.$"):
        undo(asked, rosa)
    assert asked.status == Status.APPROVED


def test_a_review_of_another_request_is_none(
    asked: PromotionRequest, registry: FakeRegistry, rita: User, remy: User, staging: Target
) -> None:
    other = approve(world.ask(registry, 3, staging, by=rita), remy)
    with pytest.raises(Invalid, match="no such decision on this request"):
        workflow.undo_review(asked, by=remy, review=last_of(other))


def test_switched_off_it_is_due_at_once(asked: PromotionRequest, remy: User, rosa: User, settings: Any) -> None:
    settings.UNDO_SECONDS = 0
    approve(asked, remy, rosa)
    assert OutboxEntry.objects.get().available_at <= clock.now()
    with pytest.raises(Conflict, match="cannot be undone in this installation"):
        undo(asked, rosa)


def test_a_rejection_stays_when_the_same_is_asked_anew(asked: PromotionRequest, remy: User) -> None:
    workflow.review(asked, by=remy, verdict="reject", comment="No.")
    again = workflow.request_promotion(asked.version, asked.target, by=asked.requester, justification="Please.")
    with pytest.raises(Conflict, match=f"Request #{again.pk} asks for the same by now"):
        undo(asked, remy)
    asked.refresh_from_db()
    assert asked.status == Status.REJECTED


def test_wishes_that_were_answered_stay(asked: PromotionRequest, remy: User) -> None:
    workflow.review(asked, by=remy, verdict="request_changes", comment="More.")
    workflow.resubmit(asked, by=asked.requester, justification="Done.")
    with pytest.raises(Conflict, match="does not count any more"):
        undo(asked, remy)


def test_what_was_withdrawn_is_over(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, remy, rosa)
    workflow.withdraw(asked, by=asked.requester)
    with pytest.raises(Conflict, match="too late to undo this decision: withdrawn"):
        undo(asked, rosa)


def test_what_a_worker_has_taken_is_not_undone(asked: PromotionRequest, remy: User, rosa: User) -> None:
    """The worker's clock and ours are one; where somebody hastens it all the same, the row says who was first."""
    approve(asked, remy, rosa)
    OutboxEntry.objects.update(available_at=timezone.now())
    assert OutboxEntry.objects.claim(OutboxEntry.objects.get().pk, by="worker", lease=timedelta(minutes=1))
    with pytest.raises(Conflict, match="being delivered right now, so it is too late"):
        undo(asked, rosa)
    asked.refresh_from_db()
    assert (asked.status, asked.reviews.live().count()) == (Status.APPROVED, 2)


# --- What does not wait -----------------------------------------------------------------------------------------------


def test_what_is_urgent_does_not_wait_and_overtakes_what_does(
    registry: FakeRegistry, rita: User, remy: User, otto: User, production: Target
) -> None:
    make_policy("*", production, (1, None))
    settled = approve(world.ask(registry, 2, production, by=rita), remy)
    broken = world.break_glass(3, production, by=otto)
    assert broken.outbox_entries.get().available_at <= clock.now()
    assert delivery.drain(registry) == 1
    assert world.in_production(registry) == [3]
    settled.refresh_from_db()
    assert settled.status == Status.APPROVED


def test_a_rollback_does_not_wait_and_its_last_approval_stands(
    registry: FakeRegistry, rita: User, remy: User, production: Target, settings: Any
) -> None:
    make_policy("*", production, (1, None))
    settings.UNDO_SECONDS = 0
    for number in (1, 2):
        world.promote(registry, number, production, by=rita, approvers=(remy,))
    settings.UNDO_SECONDS = 10
    alone = workflow.roll_back(world.model(), production, by=remy, reason="Worse.")
    assert alone.outbox_entries.get().available_at <= clock.now()
    assert world.deliver(alone, registry) == "applied"
    back = workflow.roll_back(world.model(), production, by=rita, reason="Better after all.", to=2)
    world.World.work(type("Worker", (), {"registry": registry})())  # type: ignore[arg-type]
    back.refresh_from_db()
    workflow.review(back, by=remy, verdict="approve")
    assert back.outbox_entries.get().available_at <= clock.now()
    with pytest.raises(Conflict, match="A rollback is delivered as soon as it is approved"):
        undo(back, remy)


def test_the_hint_comes_when_it_is_due(
    asked: PromotionRequest,
    remy: User,
    rosa: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    sent: list[tuple[str, float | None]] = []

    def send(task: str, *, args: list[int], countdown: float | None) -> None:
        sent.append((task, countdown))

    monkeypatch.setattr(outbox.current_app, "send_task", send)
    with django_capture_on_commit_callbacks(execute=True):
        approve(asked, remy, rosa)
    [(task, seconds)] = sent
    assert task == "approvals.deliver"
    assert seconds
    assert 8 < seconds <= 10


# --- What follows from a verdict waits as well ------------------------------------------------------------------------


def test_nobody_is_told_of_what_is_undone(asked: PromotionRequest, remy: User, rosa: User, settings: Any) -> None:
    notifications.collect()
    workflow.review(asked, by=remy, verdict="reject", comment="No.")
    notifications.collect()
    assert not Notification.objects.filter(kind="decided").exists()
    undo(asked, remy)
    settings.UNDO_SECONDS = 0  # as if it were over
    notifications.collect()
    assert not Notification.objects.filter(kind="decided").exists()
    workflow.review(asked, by=rosa, verdict="reject", comment="No.")
    notifications.collect()
    assert Notification.objects.filter(kind="decided", recipient=asked.requester).count() == 1


def test_a_rejection_puts_back_only_when_it_stands(rita: User, remy: User, production: Target, settings: Any) -> None:
    settings.UNDO_SECONDS = 0
    registry = world.make_registry()
    world.answered_by("review", production, (1, None))
    world.observe(registry)
    world.promote(registry, 1, production, by=rita, approvers=(remy,))
    registry.set_stage(world.MODEL, 2, "Production", archive_existing=True)
    settings.UNDO_SECONDS = 10
    world.observe(registry)
    request = PromotionRequest.objects.get(kind="retroactive")
    world.World.work(type("Worker", (), {"registry": registry})())  # type: ignore[arg-type]
    workflow.review(request, by=remy, verdict="reject", comment="No.")
    watch.follow()
    assert not Incident.objects.filter(is_owed=True).exists()
    age(60)
    watch.follow()
    assert Incident.objects.filter(is_owed=True).exists()


def test_the_certificate_tells_an_approval_that_was_undone_as_such(
    asked: PromotionRequest, remy: User, rosa: User
) -> None:
    undo(approve(asked, remy), remy)
    approve(asked, remy, rosa)
    found = certificates.of(asked)
    assert found
    assert [review.reviewer for review in found.signatures] == [remy, rosa]
    assert [event.action for event in found.events if event.action.startswith("review.")] == [
        Action.REVIEW_APPROVED,
        Action.REVIEW_UNDONE,
        Action.REVIEW_APPROVED,
        Action.REVIEW_APPROVED,
    ]
