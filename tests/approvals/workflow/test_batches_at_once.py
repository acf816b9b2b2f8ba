"""Batches of several people at the same moment, in different orders: real threads, real commits."""

import pytest

from accounts.models import User
from approvals import ledger, workflow
from approvals.models import OutboxEntry, PromotionRequest, Review, Status, Target
from approvals.workflow import BatchRefused, Picked
from tests.support.factories import make_person, make_policy, make_request, make_version
from tests.support.threads import at_once

MODELS = ("churn", "fraud", "pricing", "support")


@pytest.fixture
def asked(committed: None) -> tuple[list[PromotionRequest], list[User]]:
    """Four requests that need two approvals, and three reviewers."""
    rita = make_person("Rita Sanz", "requester")
    people = [make_person(name, "reviewer") for name in ("Remy Ortiz", "Rosa Lind", "Ruth Brandt")]
    production = Target.objects.get(name="Production")
    make_policy("*", production, (2, None), batch_approval=True)
    return [make_request(make_version(model), production, by=rita) for model in MODELS], people


def picked(requests: list[PromotionRequest]) -> list[Picked]:
    return [Picked(each, each.fingerprint) for each in requests]


def test_two_batches_in_opposite_orders_both_go_through(
    asked: tuple[list[PromotionRequest], list[User]],
) -> None:
    requests, (remy, rosa, _) = asked
    results = at_once(
        lambda: workflow.approve_together(picked(requests), by=remy),
        lambda: workflow.approve_together(picked(requests[::-1]), by=rosa),
    )
    assert [isinstance(each, list) for each in results] == [True, True], results
    assert set(PromotionRequest.objects.values_list("status", flat=True)) == {Status.APPROVED}
    assert OutboxEntry.objects.open().count() == len(requests)
    assert ledger.verify(with_references=True).is_intact


def test_three_batches_over_places_for_two_leave_none_in_part(
    asked: tuple[list[PromotionRequest], list[User]],
) -> None:
    requests, people = asked
    results = at_once(
        lambda: workflow.approve_together(picked(requests), by=people[0]),
        lambda: workflow.approve_together(picked(requests[1:]), by=people[1]),
        lambda: workflow.approve_together(picked(requests[:3][::-1]), by=people[2]),
    )
    for person, result, count in zip(people, results, (4, 3, 3), strict=True):
        given = Review.objects.filter(reviewer=person).count()
        assert given == (count if isinstance(result, list) else 0)
        assert isinstance(result, list | BatchRefused)
    assert ledger.verify(with_references=True).is_intact


def test_a_batch_and_an_approval_by_itself_at_once(asked: tuple[list[PromotionRequest], list[User]]) -> None:
    requests, (remy, rosa, _) = asked
    results = at_once(
        lambda: workflow.approve_together(picked(requests), by=remy),
        lambda: workflow.review(requests[2], by=rosa, verdict="approve"),
        lambda: workflow.withdraw(requests[0], by=requests[0].requester),
    )
    # The batch was first, or what was withdrawn refuses all of it.
    assert isinstance(results[0], list | BatchRefused)
    assert Review.objects.filter(reviewer=remy).count() == (4 if isinstance(results[0], list) else 0)
    assert isinstance(results[1], Review)
    assert ledger.verify(with_references=True).is_intact
