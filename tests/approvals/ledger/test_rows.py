"""Rows beside the ledger that somebody with the database's password altered, added or deleted: each is named."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import ledger, workflow
from approvals.models import CheckResult, Comment, Finding, OutboxEntry, PromotionRequest, Review, Target
from approvals.workflow.findings import FindingInput
from tests.support.factories import make_policy
from tests.support.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def world(kept: None) -> World:
    """One promotion with a comment and a finding, and one break-glass promotion that nobody has reviewed yet. The tests
    change rows alone, which the next one finds as they were."""
    production = Target.objects.get(name="Production")
    make_policy("*", production, (2, None), checks=())
    world = World("churn_predictor")
    world.observe()
    request = world.ask("churn_predictor", 1, production)
    workflow.comment(request, by=world.remy, body="Ask rosa@example.com about the ⟨person 1:x⟩ first.")
    finding = FindingInput("Write the model card.", world.rita, timezone.now().date())
    workflow.review(request, by=world.remy, verdict="approve", comment="Ask rita@example.com.", findings=[finding])
    workflow.review(request, by=world.rosa, verdict="approve")
    world.work()
    world.break_glass("churn_predictor", 2, production)
    world.observe()
    assert prove() == ""
    return world


def prove() -> str:
    return ledger.verify(with_references=True).problem


def test_a_break_glass_review_that_never_was_is_found(world: World) -> None:
    owed = PromotionRequest.objects.owing_review().get()
    PromotionRequest.objects.filter(pk=owed.pk).update(
        afterwards_at=timezone.now(), afterwards_by=world.remy, afterwards_verdict="justified", afterwards_comment="Ok."
    )
    problem = "was never reviewed afterwards: it is marked so, but no event records it."
    assert prove() == f"Request #{owed.pk} {problem}"


def test_a_break_glass_review_is_held_against_its_event(world: World) -> None:
    owed = PromotionRequest.objects.owing_review().get()
    workflow.review_afterwards(owed, by=world.remy, verdict="not_justified", comment="Nothing was on fire.")
    assert prove() == ""
    row = PromotionRequest.objects.filter(pk=owed.pk)
    for column, forged, words in (
        ("afterwards_verdict", "justified", "has another afterwards verdict than event"),
        ("afterwards_comment", "Everything was on fire.", "has another afterwards comment than event"),
        ("afterwards_by", world.rosa.pk, "was reviewed afterwards by another person"),
        ("afterwards_at", timezone.now(), "its afterwards at is not what event"),
        ("afterwards_due_at", timezone.now(), "its afterwards due at is not what event"),
    ):
        before = row.values(column)[0]
        row.update(**{column: forged})
        assert words in prove()
        row.update(**before)
    assert prove() == ""


def _first(model: Any) -> Any:
    return model.objects.filter(pk=model.objects.order_by("pk").first().pk)


FORGED: dict[str, tuple[Callable[[], Any], str]] = {
    "a justification": (
        lambda: _first(PromotionRequest).update(justification="Because."),
        " has another justification than event",
    ),
    "a rule": (lambda: _first(PromotionRequest).update(rule={}), "its rule is not what event"),
    "a target": (
        lambda: _first(PromotionRequest).update(target=Target.objects.get(name="Staging")),
        "its target is not what event",
    ),
    "a status reason": (lambda: _first(PromotionRequest).update(status_reason="x"), "its status reason is not what"),
    "a time": (lambda: _first(PromotionRequest).update(decided_at=timezone.now()), "its decided at is not what event"),
    "a comment altered": (lambda: _first(Comment).update(body="Fine."), "its body is not what event"),
    "a comment deleted": (lambda: _first(Comment).delete(), "is not there any more: event"),
    "a comment added": (
        lambda: Comment.objects.create(
            request=PromotionRequest.objects.earliest("pk"), author=User.objects.get(name="Remy Ortiz"), body="Fine."
        ),
        "is in no event: it was not made by Countersign.",
    ),
    "a check that passed": (lambda: _first(CheckResult).update(outcome="warn"), "its outcome is not what event"),
    "an override": (
        lambda: _first(CheckResult).update(
            overridden_by=User.objects.get(name="Remy Ortiz"), overridden_at=timezone.now(), override_reason="Fine."
        ),
        "its overridden at is not what event",
    ),
    "a finding closed": (
        lambda: _first(Finding).update(
            closed_by=User.objects.get(name="Remy Ortiz"), closed_at=timezone.now(), closing_note="Done."
        ),
        "its closed at is not what event",
    ),
    "a finding deleted": (lambda: _first(Finding).delete(), "is not there any more: event"),
    "a delivery": (lambda: _first(OutboxEntry).update(outcome="failed"), "its outcome is not what event"),
    "a signed name": (
        lambda: _first(Review).update(signed_name="Eve <eve@example.com>"),
        "its signed name is not what event",
    ),
    "a proof of identity": (lambda: _first(Review).update(proof_at=timezone.now()), "another time of the proof"),
    "a void approval": (lambda: _first(Review).update(voided_at=timezone.now()), "its voided at is not what event"),
}


@pytest.mark.each_database
@pytest.mark.parametrize("what", FORGED)
def test_a_forged_row_is_named(world: World, what: str) -> None:
    forge, words = FORGED[what]
    forge()
    assert words in prove()
