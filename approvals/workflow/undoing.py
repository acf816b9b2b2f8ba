"""Taking back a verdict that was just given, while nothing has followed from it."""

from django.db import IntegrityError, transaction

from accounts.models import User
from approvals import ledger
from approvals.models import Action, OutboxEntry, PromotionRequest, Review, Status, Verdict
from approvals.selectors import eligibility, undoing
from approvals.workflow import approvals_count, outbox
from approvals.workflow.reviews import ACTION_OF
from approvals.workflow.shared import Conflict, Invalid, NotAllowed, move
from approvals.workflow.verbs import verb
from mirror import clock

UNDONE = "Undone by the reviewer."


@verb()
def undo_review(request: PromotionRequest, *, by: User, review: int) -> Review:
    """Takes back the review with this number, within COUNTERSIGN_UNDO_SECONDS after it was given: it does not count any
    more, and the person may decide anew. A request that was approved, rejected or sent back by it is pending again, and
    its delivery is not owed any more.

    Raises Invalid (the request has no such review), NotAllowed (another person's) or Conflict (undone already, too
    late, a worker is delivering it in this moment, or the same is asked for by another request by now).
    """
    given = request.reviews.select_related("reviewer").filter(pk=review).first()
    if given is None:
        raise Invalid("There is no such decision on this request.")
    answer = undoing.answer(given, request, by)
    if not answer:
        raise (
            NotAllowed(answer.reason, code=answer.code)
            if given.reviewer_id != by.pk
            else Conflict(answer.reason, request, code=answer.code)
        )
    stopped = _take_back(request, Verdict(given.verdict))
    Review.objects.filter(pk=given.pk).update(voided_at=clock.now(), void_reason=UNDONE)
    told = {
        "verdict": given.verdict,
        "status": request.status,
        "stopped": stopped is not None,
        "undoes": _events(given, has_approved=stopped is not None),
    }
    rows = [given, stopped] if stopped else [given]
    ledger.record(Action.REVIEW_UNDONE, actor=by, request=request, data=told, rows=rows)
    # What is missing is another now; approvals that suffice without this one stand.
    if request.status == Status.PENDING:
        approvals_count.count_approvals(request, by=None)
    given.refresh_from_db()
    return given


def _take_back(request: PromotionRequest, verdict: Verdict) -> OutboxEntry | None:
    """Back to review, where the verdict led away from it; the delivery that was stopped, if one was owed."""
    if verdict == Verdict.APPROVE and request.status != Status.APPROVED:
        return None
    stopped = None
    if request.status == Status.APPROVED:
        stopped = outbox.cancel(request, reason=UNDONE)
        if stopped is None:
            raise Conflict(
                "It is being delivered right now, so it is too late to undo the approval.",
                request,
                code="being_delivered",
            )
    try:
        with transaction.atomic():
            move(request, Status.PENDING, status_reason="", sources=(request.status,))
    except IntegrityError as error:  # it was closed, and a person has asked anew
        existing = eligibility.open_request(request.version, request.target)
        if existing is None:
            raise
        raise Conflict(
            f"Request #{existing.pk} asks for the same by now: this one stays closed.", existing, code="already_open"
        ) from error
    return stopped


def _events(given: Review, *, has_approved: bool) -> list[int]:
    """The numbers of the events that do not count any more: of the verdict, and of what it completed."""
    of_request = given.request.events.order_by("-sequence")
    signed = of_request.filter(actor=given.reviewer, action=ACTION_OF[Verdict(given.verdict)])
    approved = of_request.filter(action=Action.REQUEST_APPROVED)
    return [
        number
        for events in (signed, approved)[: 1 + has_approved]
        for number in events.values_list("sequence", flat=True)[:1]
    ]
