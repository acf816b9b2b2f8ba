"""Undoing a verdict while a worker, a second click or the requester is at the same: real threads, real commits."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import ledger, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, PromotionRequest, Review, Status, Target
from approvals.workflow import Conflict
from tests.support.factories import approve, make_person, make_policy, make_request, make_version
from tests.support.threads import at_once


def last_of(request: PromotionRequest) -> int:
    return request.reviews.latest("pk").pk


@pytest.fixture
def approved(committed: None, settings: Any) -> tuple[PromotionRequest, User]:
    settings.UNDO_SECONDS = 10
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer")
    production = Target.objects.get(name="Production")
    make_policy("*", production, (1, None))
    return approve(make_request(make_version(), production, by=rita), remy), remy


@pytest.mark.each_database
@pytest.mark.parametrize("round_", range(8))
def test_a_worker_and_who_undoes_at_once_have_one_outcome(approved: tuple[PromotionRequest, User], round_: int) -> None:
    """The row is due already although the verdict can be undone: what no clock leads to."""
    request, remy = approved
    OutboxEntry.objects.update(available_at=timezone.now())
    entry, given = OutboxEntry.objects.get(), last_of(request)
    claimed, undone = at_once(
        lambda: OutboxEntry.objects.claim(entry.pk, by="worker", lease=timedelta(minutes=1)),
        lambda: workflow.undo_review(request, by=remy, review=given),
    )
    request.refresh_from_db()
    if isinstance(undone, Review):
        assert claimed is None
        assert request.status == Status.PENDING
        assert not OutboxEntry.objects.open().exists()
    else:
        assert isinstance(undone, Conflict)
        assert isinstance(claimed, OutboxEntry)
        assert request.status == Status.APPROVED
    assert ledger.verify(with_references=True).is_intact


def test_a_double_click_undoes_once(approved: tuple[PromotionRequest, User]) -> None:
    request, remy = approved
    given = last_of(request)
    results = at_once(*[lambda: workflow.undo_review(request, by=remy, review=given)] * 4)
    assert sum(isinstance(each, Review) for each in results) == 1
    assert sum(isinstance(each, Conflict) for each in results) == 3
    assert AuditEvent.objects.filter(action=Action.REVIEW_UNDONE).count() == 1


def test_undoing_and_another_verdict_at_once_leave_it_pending_or_decided(
    approved: tuple[PromotionRequest, User],
) -> None:
    request, remy = approved
    given = last_of(request)
    results = at_once(
        lambda: workflow.undo_review(request, by=remy, review=given),
        lambda: workflow.withdraw(request, by=request.requester),
    )
    request.refresh_from_db()
    # Whichever is first: taken back by its requester it stays, undone or not.
    assert request.status == Status.WITHDRAWN
    assert isinstance(results[0], Review | Conflict)
    assert not OutboxEntry.objects.open().exists()
    assert ledger.verify(with_references=True).is_intact
