"""How a probation stands, as the request's page says it: colour, icon, and the sentence of its end."""

import pytest
from django.utils import timezone

from approvals import policy
from approvals.models import Probation, PromotionRequest, Status
from approvals.selectors.follow_up import ProbationState

pytestmark = pytest.mark.nodb


def ended(outcome: str, rollback: PromotionRequest | None = None) -> ProbationState:
    row = Probation(outcome=outcome, rollback=rollback, closed_at=timezone.now() if outcome else None)
    return ProbationState(row, policy.YES, [], 0, 0)


@pytest.mark.parametrize(
    ("state", "colour", "icon"),
    [
        (ended(""), "amber", "hourglass"),
        (ended("confirmed"), "green", "circle-check"),
        (ended("rolled_back"), "red", "arrow-back-up"),
        (ended("stayed"), "red", "alert-triangle"),
        (ended("superseded"), "", "alert-triangle"),
    ],
)
def test_each_outcome_has_its_colour_and_icon(state: ProbationState, colour: str, icon: str) -> None:
    assert (state.colour, state.icon) == (colour, icon)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (
            ended("rolled_back", PromotionRequest(pk=1, status=Status.APPLIED)),
            "Did not pass its probation: rolled back.",
        ),
        (
            ended("rolled_back", PromotionRequest(pk=1, status=Status.APPROVED)),
            "Did not pass its probation: it is being rolled back.",
        ),
        (
            ended("rolled_back", PromotionRequest(pk=1, status=Status.FAILED)),
            "Did not pass its probation: the rollback did not happen.",
        ),
        (ended("rolled_back"), "Did not pass its probation: the rollback did not happen."),
        (ended("stayed"), "Did not pass its probation, and stays: no earlier version to roll back to."),
        (ended("superseded"), "Replaced before its probation ended."),
    ],
)
def test_what_was_not_confirmed_says_how_it_ended(state: ProbationState, sentence: str) -> None:
    assert state.ending == sentence
