"""The sentences of a request's page that depend on its kind, its status and what it replaces."""

import pytest
from django.utils import timezone

from accounts.models import User
from approvals.models import PromotionRequest, RequestKind, Status, Target
from approvals.selectors.approval_effect import Effect
from approvals.views import progress
from mirror.models import ModelVersion, RegisteredModel

pytestmark = pytest.mark.nodb


def asked(
    kind: RequestKind = RequestKind.PROMOTION, status: Status = Status.PENDING, **fields: object
) -> PromotionRequest:
    """Version 2 for Production, which version 1 held; nothing is saved."""
    model = RegisteredModel(name="churn_predictor")
    target = Target(name="Production", stage="Production", alias="champion", archives_existing=True)
    given = {
        "version": ModelVersion(pk=2, model=model, number=2),
        "champion": ModelVersion(pk=1, model=model, number=1),
        "target": target,
        "requester": User(name="Rita Sanz"),
    }
    return PromotionRequest(kind=kind, status=status, **(given | fields))


@pytest.mark.parametrize(
    ("request_", "title", "by"),
    [
        (asked(), "Promote churn_predictor v2 to Production (replaces v1)", "Requested by"),
        (asked(champion=None), "Promote churn_predictor v2 to Production", "Requested by"),
        (asked(champion=ModelVersion(pk=2, number=2)), "Promote churn_predictor v2 to Production", "Requested by"),
        (
            asked(status=Status.APPLIED),
            "Promote churn_predictor v2 to Production (replaces v1)",
            "Requested by",
        ),
        (
            asked(RequestKind.BREAK_GLASS),
            "Emergency promotion: churn_predictor v2 to Production (replaces v1)",
            "Promoted without approval by",
        ),
        (
            asked(RequestKind.ROLLBACK),
            "Roll back Production to churn_predictor v2 (replaces v1)",
            "Requested by",
        ),
        (asked(RequestKind.ROLLBACK, champion=None), "Roll back Production to churn_predictor v2", "Requested by"),
        (
            asked(RequestKind.ROLLBACK, Status.APPROVED, decided_at=timezone.now()),
            "Roll back Production to churn_predictor v2 (replaces v1)",
            "Rolled back by",
        ),
    ],
)
def test_the_headline_says_what_is_asked_by_kind(request_: PromotionRequest, title: str, by: str) -> None:
    told = progress.headline(request_)
    assert (told.title, told.by) == (title, by)
    assert told.version == "churn_predictor v2"


@pytest.mark.parametrize(
    ("does", "target", "sentence"),
    [
        (Effect.DELIVERS, {}, "Yours is the last approval: {gets} at once, and version 1 is archived."),
        (
            Effect.WAITS,
            {"archives_existing": False},
            "Yours is the last approval: {gets} when the freeze ends, and version 1 keeps its stage.",
        ),
        (
            Effect.COUNTS,
            {"archives_existing": False, "stage": ""},
            "Once all approvals are given, {gets}, and version 1 loses the alias.",
        ),
    ],
)
def test_the_effect_of_an_approval_is_told(does: Effect, target: dict[str, object], sentence: str) -> None:
    request = asked()
    for name, value in target.items():
        setattr(request.target, name, value)
    told = progress.effect(request, does)
    assert told == sentence.format(gets=f"version 2 gets {request.target.meaning} in MLflow")
    assert progress.effect(asked(champion=None), Effect.COUNTS).endswith(" in MLflow.")
