"""Whether the approvals suffice, and which of them outlive a change of the content. For the other verbs, inside their
transactions and with the request locked."""

from typing import Any

from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from approvals import evidence, ledger, policy
from approvals.models import Action, PromotionRequest, RequestKind, Review, Status, Verdict
from approvals.selectors import request_state
from approvals.workflow import outbox, rollbacks
from approvals.workflow.shared import move
from mirror import composed


def count_approvals(
    request: PromotionRequest, *, by: User | None, before: request_state.RequestState | None = None
) -> None:
    """Approves a pending request if every slot is filled by people who may fill it now; else notes which groups are
    missing. `by` None: no person did, kept approvals complete it. `before`
    is how it stood earlier in this transaction. For the other verbs; raises
    Conflict for one that has not locked the request and was too slow."""
    now = request_state.of(request, before=before)
    # Kept on the row, so that an inbox finds what waits for its group with one query.
    PromotionRequest.objects.filter(pk=request.pk).update(waits_for=policy.waits_for(now.states))
    if not policy.is_met(now.states) or now.stale or now.unanswered:
        return
    move(request, Status.APPROVED, status_reason="")
    labels = approver_labels(request)
    # The delivery is owed from here on, in the same transaction as the decision.
    entry = outbox.enqueue(request)
    ledger.record(
        Action.REQUEST_APPROVED,
        actor=by,
        request=request,
        allowed_by=labels,
        data={"fingerprint": request.fingerprint},
        rows=[entry],
    )


def void_what_changed(request: PromotionRequest) -> tuple[list[Review], list[str]]:
    """Voids the approvals that no slot can use any more because what it looks at has changed; the others are kept.
    Returns those that became void, for the event that the caller owes, and the labels of those whose approval stays."""
    rule = policy.Rule.from_json(request.rule)
    voided: list[Review] = []
    kept: list[str] = []
    for review in composed.objects(_approvals, request.pk):
        changed = evidence.changed_parts(review.parts, request.parts)
        groups = frozenset(composed.objects(_groups, review.reviewer_id))
        person = policy.Reviewer(review.reviewer_id, review.reviewer.label, groups, changed=changed)
        if not changed or policy.still_counts(rule, person):
            kept.append(review.reviewer.label)
            continue
        named = [policy.PARTS.get(part, "What is asked") for part in (*policy.PARTS, "request") if part in changed]
        reason = f"Changed after it was given: {', '.join(named).lower()}."
        Review.objects.filter(pk=review.pk).update(voided_at=timezone.now(), void_reason=reason)
        voided.append(review)
    return voided, kept


def _approvals(request: int) -> QuerySet[Review]:
    """Those that stand, in the order in which they were given."""
    found: QuerySet[Review] = Review.objects.live().filter(request=request, verdict=Verdict.APPROVE)
    return found.select_related("reviewer").order_by("created_at", "pk")


def _groups(person: int) -> QuerySet[Group, Any]:
    return Group.objects.filter(user=person).values_list("name", flat=True)


def approver_labels(request: PromotionRequest) -> list[str]:
    """`Name <e-mail>` of everyone whose approval stands, in the order in which they approved. Of a rollback that
    needed no approval, who or what allowed it. An emergency promotion has none: no one approved it."""
    labels = [review.reviewer.label for review in composed.objects(_approvals, request.pk)]
    if not labels and request.kind == RequestKind.ROLLBACK and request.decided_at:
        return rollbacks.allowed_alone(request)
    return labels
