"""Until when a verdict can be undone, by the database's clock; nothing that follows from it reaches MLflow before."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, QuerySet

from accounts.models import User
from approvals import policy
from approvals.models import PromotionRequest, Review, Verdict
from approvals.selectors.request_state import RequestState
from mirror import clock

MARGIN = timedelta(seconds=5)
"""What is not one UPDATE with the undoing waits so much longer, so that none is under way any more."""


def window() -> timedelta:
    """How long after it was given a verdict can be undone; zero: not at all."""
    return timedelta(seconds=settings.UNDO_SECONDS)


def is_offered(request: PromotionRequest) -> bool:
    """Whether an approval of this request can be undone for a while, also its last one. What is urgent does not wait:
    it puts something right that is wrong now."""
    return bool(window()) and not request.is_urgent


def settles_at(request: PromotionRequest) -> datetime | None:
    """When no approval of the request can be undone any more; None when that is so already."""
    if not is_offered(request):
        return None
    live = request.reviews.live().filter(verdict=Verdict.APPROVE)
    newest: datetime | None = live.aggregate(newest=Max("created_at"))["newest"]
    return newest + window() if newest else None


def may_change(request: PromotionRequest) -> bool:
    """Whether a person may still undo a verdict on it; for what does not come after it in one order."""
    return bool(window()) and request.reviews.live().filter(created_at__gt=clock.now() - window() - MARGIN).exists()


def answer(review: Review, request: PromotionRequest, by: User) -> policy.Answer:
    """Whether this person may undo this verdict now."""
    return policy.may_undo(
        by.pk,
        policy.VerdictFacts(
            reviewer=review.reviewer_id,
            reviewer_name=review.reviewer.name,
            verdict=review.verdict,
            stands=review.voided_at is None,
            seconds=settings.UNDO_SECONDS,
            is_in_time=clock.now() < review.created_at + window(),
            status=request.status,
            status_label=request.get_status_display(),
            is_urgent=request.is_urgent,
        ),
    )


@dataclass(frozen=True, slots=True)
class Undoable:
    """A verdict that its reviewer can undo until then."""

    review: Review
    request: PromotionRequest
    until: datetime
    together: int = 1
    """How many were given with it in one batch, itself included."""


def of_standing(now: RequestState, by: User) -> Undoable | None:
    """The verdict on this request that the person can undo now. No query, unless they gave one."""
    own = [each for each in now.reviews if each.reviewer_id == by.pk and each.voided_at is None] if window() else []
    for review in own:
        if answer(review, now.request, by):
            return Undoable(review, now.request, review.created_at + window())
    return None


def newest_of(by: User) -> Undoable | None:
    """The newest verdict, on whatever request, that the person can undo now: for the page that comes after it. One
    query, three where there is one; none while verdicts cannot be undone."""
    if not window():
        return None
    given = Review.objects.live().filter(reviewer=by, created_at__gt=clock.now() - window())
    for review in given.select_related("reviewer", "request__version__model", "request__target").order_by("-pk")[:1]:
        if answer(review, review.request, by):
            together = 1 + given_with(review).count()
            return Undoable(review, review.request, review.created_at + window(), together)
    return None


def given_with(review: Review) -> QuerySet[Review]:
    """The others of its batch that stand: they have the same reviewer and moment, by the database's clock."""
    given = Review.objects.live().filter(reviewer=review.reviewer_id, created_at=review.created_at)
    related = ("reviewer", "request__version__model", "request__target")
    return given.exclude(pk=review.pk).select_related(*related).order_by("pk")
