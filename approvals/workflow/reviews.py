"""What people decide: reviews, the discussion, and trying a failed delivery again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.db.models import F
from django.utils import timezone

from accounts.models import User
from approvals import ledger, policy
from approvals.models import Action, Comment, OutboxEntry, PromotionRequest, Review, Status, Verdict
from approvals.selectors import approval_effect, mentions, request_state, undoing
from approvals.selectors.approval_effect import Effect
from approvals.workflow import approvals_count, locks, opening, outbox
from approvals.workflow import findings as follow_up
from approvals.workflow.findings import FindingInput
from approvals.workflow.reopening import reopen
from approvals.workflow.shared import Conflict, Invalid, NeedsReauthentication, NoMeaning, move, require
from approvals.workflow.verbs import verb
from mirror import clock

CHANGED = "evidence_changed"
"""Code of what is refused because another evidence was on the screen."""

ACTION_OF = {
    Verdict.APPROVE: Action.REVIEW_APPROVED,
    Verdict.REJECT: Action.REVIEW_REJECTED,
    Verdict.REQUEST_CHANGES: Action.REVIEW_CHANGES_REQUESTED,
}


def review(
    request: PromotionRequest,
    *,
    by: User,
    verdict: str,
    comment: str = "",
    fingerprint: str | None = None,
    meaning: str = "",
    proof: policy.Proof | None = None,
    findings: Sequence[FindingInput] = (),
    effect: str = "",
) -> Review:
    """Signs one person's verdict over the evidence. The last missing approval approves the request and hands it to
    delivery; one rejection rejects it; requested changes send it back to the requester.

    `fingerprint` is that of the evidence on the reviewer's screen, `proof` how and when they last showed who they are,
    `effect` what their page said that an approval does, an `approval_effect.Effect` ("": nothing was said). Where it
    does another thing by now, it is given all the same if it can be undone, and the caller says what happened; else
    the person is asked again.
    Raises NotAllowed, Invalid (a comment or a meaning is missing), NeedsReauthentication, or Conflict (the request
    changed meanwhile, or the approval would do another thing than the page said and could not be undone; one whose
    content changed in MLflow goes back to review first).
    """
    # Do not move this into the verb below: it raises, and would take the way back to review back with its transaction.
    if verdict == Verdict.APPROVE and reopen(request):
        raise Conflict("The request changed in MLflow since you opened it. Review it again.", request, code=CHANGED)
    return sign(request, by, Verdict(verdict), comment.strip(), fingerprint, meaning, proof, findings, effect)


@verb()
def sign(
    request: PromotionRequest,
    by: User,
    verdict: Verdict,
    comment: str,
    fingerprint: str | None,
    meaning: str,
    proof: policy.Proof | None,
    findings: Sequence[FindingInput],
    effect: str,
    *,
    batch: int = 0,
    at: datetime | None = None,
) -> Review:
    """One verdict: what `review`, or a `batch` of so many (`batches.approve_together`), does in one transaction. Raises
    NotAllowed, Invalid, NeedsReauthentication or Conflict, as they say. `at` is the same for all of a batch."""
    # Computed once, under the locks; everything below is judged by it.
    now = request_state.of(request, by)
    require(now.actions[verdict.value])
    # A signature is bound to what was on the screen, and does what the page said that it would.
    if fingerprint is not None and fingerprint != request.fingerprint:
        raise Conflict("The evidence has changed since you opened it. Review it again.", request, code=CHANGED)
    if verdict == Verdict.APPROVE and effect and not undoing.is_offered(request):
        does = approval_effect.read(now)
        if effect != does:
            raise Conflict(_what_it_would_do(now, does), request, code="other_effect")
    # What the policy asks of a signature. The proof comes last: no one shows who they are without success.
    if not comment and verdict != Verdict.APPROVE:
        raise Invalid("Enter a reason; the requester and auditors read it.", code="reason_required")
    if not comment and now.rule.requires_reason:
        raise Invalid("The policy requires a comment with every approval.", code="comment_required")
    _check_signature(now.rule.signature, verdict, meaning, proof)
    # The requester is kept beside the reviewer, so that the database itself refuses a review by who asked.
    signed = Review.objects.create(
        request=request,
        reviewer=by,
        requester_id=request.requester_id,
        verdict=verdict,
        comment=comment,
        fingerprint=request.fingerprint,
        parts=request.parts,
        meaning=meaning,
        signed_name=by.label,
        signed_with=proof.method if proof else "",
        proof_at=proof.at if proof else None,
        created_at=at or clock.now(),  # the clock by which it can be undone and its delivery is due
    )
    # Before the event, which records them and seals them.
    raised = follow_up.raise_findings(signed, now.rule, findings)
    # One rejection ends it, and one wish for changes sends it back, whatever others said.
    if verdict == Verdict.REJECT:
        move(request, Status.REJECTED, status_reason=comment)
    elif verdict == Verdict.REQUEST_CHANGES:
        move(request, Status.CHANGES_REQUESTED, status_reason=comment)
    ledger.record(
        ACTION_OF[verdict],
        actor=by,
        request=request,
        data={
            "comment": comment,
            "fingerprint": request.fingerprint,
            "meaning": meaning,
            "signed_name": by.label,
            "signed_with": signed.signed_with,
            "proof_at": proof.at.isoformat() if proof else "",
            **opening.time_on_page(request, by),
            **({"batch": batch} if batch else {}),
            "findings": [
                {"finding": each.pk, "text": each.text, "owner": each.owner.label, "due_on": each.due_on.isoformat()}
                for each in raised
            ],
        },
        rows=[signed, *raised],
    )
    # After the event of the review, so that the ledger has the approval before what follows from it.
    if verdict == Verdict.APPROVE:
        approvals_count.count_approvals(request, by=by, before=now)
    return signed


def _what_it_would_do(now: request_state.RequestState, does: Effect) -> str:
    """The page said another thing: a person approved meanwhile, an approval no longer counts, or a freeze began or
    ended."""
    request = now.request
    counted = [review.reviewer.name for review in now.reviews if review.reviewer_id in now.counted]
    given = f"{' and '.join(counted)} approved meanwhile" if counted else "An approval no longer counts"
    match does:
        case Effect.COUNTS:
            return f"{given}: yours would not be the last one. Approve again if that is right."
        case Effect.WAITS:
            return "Yours would be the last approval, and a freeze holds the delivery. Approve again if you want that."
        case Effect.DELIVERS:
            return (
                f"{given if counted else 'No freeze is on'}: yours would be the last approval, and version "
                f"{request.version.number} would get {request.target.meaning} in MLflow at once. Approve again if you "
                "want that."
            )


def _check_signature(rule: policy.SignatureRule, verdict: Verdict, meaning: str, proof: policy.Proof | None) -> None:
    if rule.asks_meaning and verdict == Verdict.APPROVE and not meaning:
        raise NoMeaning("Choose what your signature means: reviewed, approved or responsible.")
    if meaning and meaning not in list(policy.Meaning):
        raise Invalid("A signature means reviewed, approved or responsible.", code="unknown_meaning")
    if not rule.reauthenticate:
        return
    oldest = timezone.now() - timedelta(minutes=rule.within_minutes)
    if proof is None or proof.at < oldest:
        raise NeedsReauthentication(
            f"The policy requires a proof of identity from the last {rule.within_minutes} minutes before you sign."
        )


@verb()
def comment(request: PromotionRequest, *, by: User, body: str) -> Comment:
    """Adds to the discussion, open or closed; whom it mentions is kept with it. Raises NotAllowed or Invalid (nothing
    was said)."""
    require(request_state.of(request, by).actions["comment"])
    if not body.strip():
        raise Invalid("Write something first.", code="comment_required")
    said = Comment.objects.create(request=request, author=by, body=body.strip())
    told: dict[str, Any] = {"comment": said.body}
    if mentioned := [person.label for person in mentions.people_in(said.body) if person != by]:
        told["mentioned"] = mentioned
    ledger.record(Action.REQUEST_COMMENTED, actor=by, request=request, data=told, rows=[said])
    return said


@verb()
def retry(request: PromotionRequest, *, by: User) -> OutboxEntry:
    """Hands a failed request to delivery again, under the approvals it has; one that waits is due at once. Raises
    NotAllowed, or Conflict (a worker is delivering it in this moment)."""
    require(request_state.of(request, by).actions["retry"])
    if request.status == Status.FAILED:
        move(request, Status.APPROVED, status_reason="", decided_at=F("decided_at"))
        entry = outbox.enqueue(request)
    else:
        entry = outbox.hasten(request) or _is_delivered(request)
    approvers = approvals_count.approver_labels(request)
    ledger.record(Action.DELIVERY_RETRIED, actor=by, request=request, allowed_by=approvers, rows=[entry])
    return entry


@verb()
def end_half(request: PromotionRequest, *, by: User, how: str, reason: str) -> None:
    """Says how a partial delivery ends that is not to be tried again: `revert` has what MLflow did put back, `accept`
    keeps it as it is. The worker carries it out. Raises NotAllowed, Invalid (no reason, or no such end) or Conflict."""
    require(request_state.of(request, by).actions["end_half"])
    if how not in OutboxEntry.Ending.values:
        raise Invalid("Choose whether to undo or accept the partial delivery.")
    if not reason.strip():
        raise Invalid("Enter a reason; the requester and auditors read it.", code="reason_required")
    entry = outbox.hasten(request, ending=how) or _is_delivered(request)
    told = {"how": how, "reason": reason.strip()}
    ledger.record(Action.DELIVERY_ENDED, actor=by, request=request, data=told, rows=[entry])


def _is_delivered(request: PromotionRequest) -> NoReturn:
    raise Conflict("It is being delivered right now. Try again in a moment.", request, code="being_delivered")


def reconsider(request: PromotionRequest, *, by: User | None) -> None:
    """Looks at a pending request again after a reviewer's roles or names have changed: approvals that count again may
    complete it, and others may have to fill a slot that is open again. `by` made the change. In the caller's
    transaction, which has locked the request before it recorded anything."""
    request = locks.lock_request(request)
    if request.status == Status.PENDING:
        approvals_count.count_approvals(request, by=by)
