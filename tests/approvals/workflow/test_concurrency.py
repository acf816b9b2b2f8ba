"""The whole room. Two people, two clicks, two workers at once: real threads on a database with real commits."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import ledger, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, Probation, PromotionRequest, Review, Status, Target
from approvals.policy import ProbationRule
from approvals.workflow import WorkflowError
from tests.support import world
from tests.support.factories import approve, make_person, make_policy, make_request, make_version
from tests.support.fakes import FakeRegistry
from tests.support.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")


def people() -> tuple[User, User, User]:
    return (
        make_person("Rita Sanz", "requester"),
        make_person("Remy Ortiz", "reviewer"),
        make_person("Rosa Lind", "reviewer"),
    )


def test_an_event_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="needs the transaction"):
        ledger.record(Action.GROUP_CREATED, actor=None, correlation_id=uuid.uuid4())


def test_two_reviewers_at_once_approve_exactly_once() -> None:
    rita, remy, rosa = people()
    request = make_request(make_version(), Target.objects.get(name="Production"), by=rita)
    results = at_once(
        lambda: workflow.review(request, by=remy, verdict="approve"),
        lambda: workflow.review(request, by=rosa, verdict="approve"),
    )
    assert all(isinstance(result, Review) for result in results)
    request.refresh_from_db()
    assert request.status == Status.APPROVED
    assert OutboxEntry.objects.count() == 1
    assert AuditEvent.objects.filter(action=Action.REQUEST_APPROVED).count() == 1
    assert ledger.verify() == ledger.Verdict(events=5)


def test_a_double_click_approves_once() -> None:
    rita, remy, _ = people()
    request = make_request(make_version(), Target.objects.get(name="Production"), by=rita)
    results = at_once(*[lambda: workflow.review(request, by=remy, verdict="approve")] * 4)
    assert sum(isinstance(result, Review) for result in results) == 1
    refused = {str(result) for result in results if isinstance(result, WorkflowError)}
    assert refused == {"You have already decided: approved."}


def test_approve_and_reject_at_once_have_one_outcome() -> None:
    rita, remy, rosa = people()
    request = make_request(make_version(), Target.objects.get(name="Staging"), by=rita)
    results = at_once(
        lambda: workflow.review(request, by=remy, verdict="approve"),
        lambda: workflow.review(request, by=rosa, verdict="reject", comment="No."),
    )
    assert sum(isinstance(result, Review) for result in results) == 1
    request.refresh_from_db()
    assert request.status in (Status.APPROVED, Status.REJECTED)
    assert OutboxEntry.objects.count() == (request.status == Status.APPROVED)


def test_withdraw_and_approve_at_once_have_one_outcome() -> None:
    rita, remy, _ = people()
    request = make_request(make_version(), Target.objects.get(name="Staging"), by=rita)
    at_once(
        lambda: workflow.review(request, by=remy, verdict="approve"),
        lambda: workflow.withdraw(request, by=rita),
    )
    request.refresh_from_db()
    assert request.status in (Status.APPROVED, Status.WITHDRAWN)
    assert OutboxEntry.objects.open().count() == (request.status == Status.APPROVED)


def test_the_same_request_made_twice_at_once_is_one() -> None:
    rita, *_ = people()
    version, target = make_version(), Target.objects.get(name="Production")
    results = at_once(*[lambda: make_request(version, target, by=rita)] * 3)
    assert sum(isinstance(result, PromotionRequest) for result in results) == 1
    assert PromotionRequest.objects.count() == 1


def test_one_claim_wins() -> None:
    rita, remy, _ = people()
    approve(make_request(make_version(), Target.objects.get(name="Staging"), by=rita), remy)
    entry = OutboxEntry.objects.get()
    results = at_once(
        *[lambda: OutboxEntry.objects.claim(entry.pk, by=uuid.uuid4().hex, lease=timedelta(minutes=1))] * 6
    )
    assert sum(result is not None for result in results) == 1


def test_the_chain_has_no_fork_when_many_write_at_once() -> None:
    rita, *_ = people()
    target = Target.objects.get(name="Staging")
    versions = [make_version() for _ in range(8)]
    at_once(*[lambda version=version: make_request(version, target, by=rita) for version in versions])
    assert ledger.verify() == ledger.Verdict(events=16)


def _on_probation() -> tuple[PromotionRequest, FakeRegistry, Target, User]:
    """Version 1, then version 2 on probation."""
    rita, remy, _ = people()
    production, registry = Target.objects.get(name="Production"), world.make_registry()
    make_policy("*", production, (1, None))
    world.promote(registry, 1, production, by=rita, approvers=(remy,))
    make_policy("*", production, (1, None), probation=ProbationRule(24))
    return world.promote(registry, 2, production, by=rita, approvers=(remy,)), registry, production, remy


def test_two_people_who_roll_back_at_once_do_it_once() -> None:
    _, registry, production, remy = _on_probation()
    otto = make_person("Otto Reyes", "responder")

    def back(person: User) -> PromotionRequest:
        return workflow.roll_back(world.model(), production, by=person, reason="Broken.", to=1, leaving=2)

    results = at_once(lambda: back(remy), lambda: back(otto))
    assert sorted(isinstance(each, workflow.Conflict) for each in results) == [False, True]
    made = PromotionRequest.objects.get(kind="rollback")
    assert OutboxEntry.objects.filter(request=made).count() == 1
    assert world.deliver(made, registry) == "applied"


def test_two_workers_and_two_bad_reports_at_once_roll_back_once() -> None:
    request, _, _, remy = _on_probation()
    probation = Probation.objects.get(request=request)
    Probation.objects.update(ends_at=timezone.now() - timedelta(seconds=1))

    def report(message_id: str) -> object:
        return workflow.report_health(
            probation, is_healthy=False, reason="Slow.", reported_by="Grafana", message_id=message_id
        )

    at_once(
        workflow.end_due_probations,
        workflow.end_due_probations,
        lambda: report("a"),
        lambda: report("b"),
        lambda: workflow.confirm_probation(request, by=remy, comment="Fine."),
    )
    probation.refresh_from_db()
    assert probation.outcome == "rolled_back"
    assert PromotionRequest.objects.filter(kind="rollback").count() == 1
    assert AuditEvent.objects.filter(action=Action.PROBATION_ENDED).count() == 1
    assert User.objects.filter(email="countersign@countersign.invalid").count() == 1
    assert ledger.verify().is_intact


def test_two_reviewers_afterwards_at_once_are_one() -> None:
    _, _, production, remy = _on_probation()
    rosa, otto = User.objects.get(email="rosa@example.com"), make_person("Otto Reyes", "responder")
    request = world.break_glass(3, production, by=otto)
    results = at_once(
        lambda: workflow.review_afterwards(request, by=remy, verdict="justified", comment="Yes."),
        lambda: workflow.review_afterwards(request, by=rosa, verdict="not_justified", comment="No."),
    )
    assert sorted(isinstance(each, workflow.NotAllowed) for each in results) == [False, True]
    assert AuditEvent.objects.filter(action=Action.REVIEWED_AFTERWARDS).count() == 1
