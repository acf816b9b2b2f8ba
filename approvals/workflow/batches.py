"""Approving several requests at once: one click, and of each its own review over its own evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts.models import User
from approvals import policy
from approvals.models import PromotionRequest, Review, Verdict
from approvals.selectors import batches, request_state, undoing
from approvals.workflow import reviews, verbs
from approvals.workflow.reopening import reopen
from approvals.workflow.shared import Conflict, Invalid, WorkflowError
from approvals.workflow.undoing import undo_review
from mirror import clock


@dataclass(frozen=True, slots=True)
class Picked:
    """One request of a batch, as the person saw it."""

    request: PromotionRequest
    fingerprint: str
    """Of the evidence on their screen."""

    effect: str = ""
    """What their page said that the approval does: see `approval_effect.Effect`."""


class BatchRefused(Conflict):
    """Nothing was approved; `refusals` says why: request → sentence."""

    def __init__(self, refusals: dict[int, str], count: int) -> None:
        super().__init__(f"Nothing was approved: {len(refusals)} of the {count} requests cannot be approved together.")
        self.refusals = refusals


def approve_together(picked: Sequence[Picked], *, by: User, proof: policy.Proof | None = None) -> list[Review]:
    """Approves two or more requests for one target, all of them or none: what was confirmed as a whole is not done in
    parts, and an event that says "in a batch of 5" is always one of five. Each gets its own review and its own event,
    and each can be undone by itself. Returns the reviews in the order of `picked`.

    Raises Invalid (too few or too many), or BatchRefused with a sentence for each request that cannot be approved with
    the others: it is for another target, its policy does not allow it or asks for a comment or a signature, a check has
    not passed, a metric is worse beyond tolerance, its evidence is no longer what was shown, an approval would do
    another thing than the page said and could not be undone, or this person cannot approve it.
    """
    if not batches.FEWEST <= len({each.request.pk for each in picked}) <= batches.MOST:
        raise Invalid(f"Choose {batches.FEWEST} to {batches.MOST} requests.")
    # Outside the transaction below, which may be refused: what has changed in MLflow goes back to review all the same.
    reopened = {each.request.pk for each in picked if reopen(each.request)}
    if reopened:
        raise BatchRefused(dict.fromkeys(reopened, "The request changed in MLflow. See what changed."), len(picked))
    return _sign_all(picked, by=by, proof=proof)


@transaction.atomic
def _sign_all(picked: Sequence[Picked], *, by: User, proof: policy.Proof | None) -> list[Review]:
    # All that is locked is locked at the start and in the order of every verb; signing each finds its locks held.
    now: dict[str, Any] = {
        str(each.request.pk): each.request for each in sorted(picked, key=lambda each: each.request.pk)
    }
    now["by"] = by
    verbs.read_again(now)
    by = now["by"]
    requests: list[PromotionRequest] = [now[str(each.request.pk)] for each in picked]
    refused = batches.refusals([request_state.of(request, by) for request in requests])
    for each, request in zip(picked, requests, strict=True):
        if each.fingerprint != request.fingerprint:
            refused.setdefault(request.pk, "The evidence is no longer what you were reading.")
    if refused:
        raise BatchRefused(refused, len(picked))
    signed, at = [], clock.now()
    for each, request in zip(picked, requests, strict=True):
        try:
            said = (Verdict.APPROVE, "", each.fingerprint, "", proof, (), each.effect)
            signed.append(reviews.sign(request, by, *said, batch=len(picked), at=at))
        except Conflict as error:  # its effect is another one
            raise BatchRefused({request.pk: error.message}, len(picked)) from error
    return signed


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of undoing a batch."""

    reviews: list[Review]
    refusals: list[str]
    """Of those that stay, each a sentence with its model and version."""


def undo_together(request: PromotionRequest, *, by: User, review: int) -> Undone:
    """Takes back this review and all that were given with it in one batch, each by itself: what cannot be undone stays,
    and holds up none of the others. Raises as `undo_review` does where that is so of this one."""
    undone, refused = [undo_review(request, by=by, review=review)], []
    for other in undoing.given_with(undone[0]):
        try:
            undone.append(undo_review(other.request, by=by, review=other.pk))
        except WorkflowError as error:
            version = other.request.version
            refused.append(f"{version.model.name} v{version.number}: {error.message}")
    return Undone(undone, refused)
