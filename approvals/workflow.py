"""The verbs of the gate. Each is atomic and goes: policy → state → outbox → ledger → hint to the broker after
the commit.

Views, the demo and (later) the API call these; nothing else changes a request.
"""

import contextlib
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from approvals import asking, evidence, ledger, outbox, policy, standing
from approvals.models import Action, Comment, OutboxEntry, PromotionRequest, Review, Status, Target, Verdict
from registry_ui.accounts.models import User
from registry_ui.mirror.models import ModelVersion


class WorkflowError(Exception):
    """A verb was refused; `message` is a sentence for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotAllowed(WorkflowError):
    """This person may not do this (now)."""


class Invalid(WorkflowError):
    """Something is missing in what was said, such as a required comment."""


class Conflict(WorkflowError):
    """Somebody else was faster, or the page was old. `request` is the one to look at, where there is one."""

    def __init__(self, message: str, request: PromotionRequest | None = None) -> None:
        super().__init__(message)
        self.request = request


@transaction.atomic
def request_promotion(version: ModelVersion, target: Target, *, by: User, justification: str) -> PromotionRequest:
    """Asks for `version` to reach `target`: finds the rule, freezes the evidence, inserts a pending request.

    Raises NotAllowed, Invalid (no justification, version not ready or gone, target retired, already there) or Conflict
    (there is an open request for this version and target; it is attached).
    """
    _require(policy.may_request(standing.actor_of(by)))
    justification = justification.strip()
    _check_can_be_asked(version, target)
    if not justification:
        raise Invalid("Say why this version should be promoted.")
    champion = standing.champion_of(version.model, target)
    rule = standing.rule_for(version.model.name, target)
    frozen = evidence.freeze(version=version, champion=champion, target=target, rule=rule)
    try:
        with transaction.atomic():
            request = PromotionRequest.objects.create(
                version=version,
                target=target,
                requester=by,
                justification=justification,
                rule=rule.as_json(),
                evidence=frozen,
                fingerprint=evidence.fingerprint(frozen),
                champion=champion,
                waits_for=_waits_for(rule),
                correlation_id=uuid.uuid4(),
                expires_at=timezone.now() + timedelta(days=rule.open_for_days),
            )
    except IntegrityError as error:
        existing = asking.open_request(version, target)
        if existing is None:
            raise
        raise Conflict(f"Request #{existing.pk} already asks for this.", existing) from error
    ledger.record(
        Action.REQUEST_CREATED,
        actor=by,
        request=request,
        data={
            "justification": justification,
            "fingerprint": request.fingerprint,
            "champion": champion.number if champion else None,
            "rule": rule.as_json(),
        },
    )
    return request


@transaction.atomic
def review(
    request: PromotionRequest, *, by: User, verdict: str, comment: str = "", fingerprint: str | None = None
) -> Review:
    """Records one person's verdict. The last missing approval approves the request and hands it to delivery; one
    rejection rejects it; requested changes send it back to the requester.

    `fingerprint` is that of the evidence on the reviewer's screen. Raises NotAllowed, Invalid (a comment is required)
    or Conflict (the request changed meanwhile).
    """
    request = standing.lock(request)
    now = standing.of(request, by)
    comment = comment.strip()
    chosen = Verdict(verdict)
    _require(now.actions[chosen.value])
    if fingerprint is not None and fingerprint != request.fingerprint:
        raise Conflict("The request was submitted again while you were reading. Look at what is asked now.", request)
    if not comment and chosen != Verdict.APPROVE:
        raise Invalid("Say why: the requester and the auditors will read it.")
    if not comment and now.rule.requires_reason:
        raise Invalid("The policy asks for a comment with every approval.")
    signed = Review.objects.create(
        request=request,
        reviewer=by,
        requester_id=request.requester_id,
        verdict=chosen,
        comment=comment,
        fingerprint=request.fingerprint,
    )
    ledger.record(
        _ACTION_OF[chosen],
        actor=by,
        request=request,
        data={"comment": comment, "fingerprint": request.fingerprint},
    )
    if chosen == Verdict.REJECT:
        _move(request, Status.REJECTED, status_reason=comment)
    elif chosen == Verdict.REQUEST_CHANGES:
        _move(request, Status.CHANGES_REQUESTED, status_reason=comment)
    else:
        _count_approvals(request, by=by, eligible=now.eligible)
    return signed


def _count_approvals(request: PromotionRequest, *, by: User, eligible: Sequence[policy.Reviewer] | None = None) -> None:
    """Approves the request if every slot is filled by people who may fill it now; else notes which groups are
    missing."""
    now = standing.of(request, eligible=eligible)
    PromotionRequest.objects.filter(pk=request.pk).update(waits_for=policy.waits_for(now.states))
    if not policy.is_met(now.states) or now.stale:
        return
    _move(request, Status.APPROVED, status_reason="")
    outbox.enqueue(request)
    ledger.record(
        Action.REQUEST_APPROVED,
        actor=by,
        request=request,
        allowed_by=approver_labels(request),
        data={"fingerprint": request.fingerprint},
    )


_ACTION_OF = {
    Verdict.APPROVE: Action.REVIEW_APPROVED,
    Verdict.REJECT: Action.REVIEW_REJECTED,
    Verdict.REQUEST_CHANGES: Action.REVIEW_CHANGES_REQUESTED,
}


@transaction.atomic
def comment(request: PromotionRequest, *, by: User, body: str) -> Comment:
    """Adds to the discussion, open or closed. Raises NotAllowed or Invalid (nothing was said)."""
    request = standing.lock(request)
    _require(standing.of(request, by).actions["comment"])
    if not body.strip():
        raise Invalid("Write something first.")
    said = Comment.objects.create(request=request, author=by, body=body.strip())
    ledger.record(
        Action.REQUEST_COMMENTED,
        actor=by,
        request=request,
        data={"comment": said.body},
    )
    return said


@transaction.atomic
def withdraw(request: PromotionRequest, *, by: User, reason: str = "") -> None:
    """The requester takes the request back. Raises NotAllowed."""
    request = standing.lock(request)
    _require(standing.of(request, by).actions["withdraw"])
    _move(request, Status.WITHDRAWN, status_reason=reason.strip())
    ledger.record(
        Action.REQUEST_WITHDRAWN,
        actor=by,
        request=request,
        data={"reason": reason.strip()},
    )


@transaction.atomic
def resubmit(request: PromotionRequest, *, by: User, justification: str = "") -> None:
    """The requester submits again: evidence, champion and rule are taken anew and earlier reviews are void.

    For a request with requested changes, a failed one, or a pending one that is out of date. Raises NotAllowed or
    Invalid.
    """
    request = standing.lock(request)
    _require(standing.of(request, by).actions["resubmit"])
    version, target = request.version, request.target
    _check_can_be_asked(version, target)
    justification = justification.strip() or request.justification
    champion = standing.champion_of(version.model, target)
    rule = standing.rule_for(version.model.name, target)
    frozen = evidence.freeze(version=version, champion=champion, target=target, rule=rule)
    changed = evidence.differences(request.evidence, frozen)
    request.reviews.live().update(voided_at=timezone.now(), void_reason="The request was submitted again.")
    _move(
        request,
        Status.PENDING,
        status_reason="",
        justification=justification,
        evidence=frozen,
        fingerprint=evidence.fingerprint(frozen),
        champion=champion,
        rule=rule.as_json(),
        waits_for=_waits_for(rule),
        expires_at=timezone.now() + timedelta(days=rule.open_for_days),
    )
    ledger.record(
        Action.REQUEST_RESUBMITTED,
        actor=by,
        request=request,
        data={
            "justification": justification,
            "fingerprint": evidence.fingerprint(frozen),
            "changed": changed,
            "champion": champion.number if champion else None,
            "rule": rule.as_json(),
        },
    )


@transaction.atomic
def retry(request: PromotionRequest, *, by: User) -> OutboxEntry:
    """Hands a failed request to delivery again, under the approvals it has. Raises NotAllowed."""
    request = standing.lock(request)
    _require(standing.of(request, by).actions["retry"])
    _move(request, Status.APPROVED, status_reason="", decided_at=F("decided_at"))
    entry = outbox.enqueue(request)
    ledger.record(
        Action.DELIVERY_RETRIED,
        actor=by,
        request=request,
        allowed_by=approver_labels(request),
    )
    return entry


@transaction.atomic
def reconsider(request: PromotionRequest, *, by: User) -> None:
    """Looks at a pending request again after a reviewer's roles have changed: approvals that count again may complete
    it, and others may have to fill a slot that is open again. `by` made the change."""
    request = standing.lock(request)
    if request.status != Status.PENDING:
        return
    _count_approvals(request, by=by)


def expire_due() -> int:
    """Expires requests that were open for longer than their policy allows; returns how many. Safe to run twice at
    once."""
    due = PromotionRequest.objects.filter(
        status__in=(Status.PENDING, Status.CHANGES_REQUESTED), expires_at__lte=timezone.now()
    )
    expired = 0
    for pk in due.order_by("pk").values_list("pk", flat=True):
        with contextlib.suppress(Conflict):  # somebody decided in this very moment
            expired += _expire(pk)
    return expired


@transaction.atomic
def _expire(pk: int) -> bool:
    request = PromotionRequest.objects.select_for_update(of=("self",)).with_subject().get(pk=pk)
    if not request.is_overdue(timezone.now()):
        return False
    days = policy.Rule.from_json(request.rule).open_for_days
    reason = f"Not decided within {days} {'day' if days == 1 else 'days'}."
    _move(request, Status.EXPIRED, status_reason=reason)
    ledger.record(
        Action.REQUEST_EXPIRED,
        actor=None,
        request=request,
        data={"reason": reason},
    )
    return True


def approver_labels(request: PromotionRequest) -> list[str]:
    """`Name <e-mail>` of everyone whose approval stands, in the order in which they approved."""
    given = (
        request.reviews.live().filter(verdict=Verdict.APPROVE).select_related("reviewer").order_by("created_at", "pk")
    )
    return [review.reviewer.label for review in given]


def _waits_for(rule: policy.Rule) -> str:
    return policy.waits_for(policy.slot_states(rule, approvers=[], eligible=[], requester_id=None))


def _check_can_be_asked(version: ModelVersion, target: Target) -> None:
    if reason := asking.cannot_be_asked(version, target):
        raise Invalid(reason)


def _require(answer: policy.Answer) -> None:
    if not answer:
        raise NotAllowed(answer.reason)


def _move(request: PromotionRequest, to: Status, **fields: Any) -> None:
    if not PromotionRequest.objects.filter(pk=request.pk).move(to, **fields):
        raise Conflict("Somebody else was faster. Look at the request as it is now.", request)
    request.refresh_from_db()
