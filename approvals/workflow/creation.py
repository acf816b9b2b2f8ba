"""How a request comes to be, of whatever kind; and how an open one makes way for a more urgent one. For the other
verbs, inside their transactions."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from approvals import ledger
from approvals.models import Action, Assessment, OutboxEntry, PromotionRequest, RequestKind, Status
from approvals.selectors import eligibility, frozen_evidence
from approvals.selectors.eligibility import Candidate
from approvals.workflow import locks, outbox
from approvals.workflow.shared import Conflict, move, nobody_has_approved


def make(
    asked: Candidate,
    *,
    by: User,
    justification: str,
    kind: RequestKind = RequestKind.PROMOTION,
    is_decided: bool = False,
    afterwards_due_at: datetime | None = None,
) -> PromotionRequest:
    """Freezes what is known and stores the request, in checks or, with `is_decided`, as approved; records
    REQUEST_CREATED. It rests on what was `asked`, which the verb read under its locks. Raises Conflict when there is an
    open request for this version and target."""
    # What needs no approval has made its own way; for anything else there is one request at a time.
    if asked.open_request is not None and not is_decided:
        raise _asked_already(asked.open_request)
    rule, champion, now = asked.rule, asked.champion, timezone.now()
    request = PromotionRequest(
        version=asked.version,
        target=asked.target,
        kind=kind,
        requester=by,
        owner_id=by.owner_id if by.is_service_account else None,
        justification=justification,
        rule=rule.as_json(),
        status=Status.APPROVED if is_decided else Status.CHECKING,
        decided_at=now if is_decided else None,
        waits_for="" if is_decided else nobody_has_approved(rule),
        correlation_id=uuid.uuid4(),
        created_at=now,
        expires_at=now + timedelta(days=rule.open_for_days),
        afterwards_due_at=afterwards_due_at,
    )
    for name, value in frozen_evidence.fields_now(request, champion).items():
        setattr(request, name, value)
    # Who asks at the same time, or was found by the watch, may have been faster: the database holds that there is one.
    try:
        with transaction.atomic():
            request.save(force_insert=True)
    except IntegrityError as error:
        existing = eligibility.open_request(asked.version, asked.target)
        if existing is None:
            raise
        raise _asked_already(existing) from error
    # The worker looks before review, unless it is decided already.
    Assessment.objects.create(request=request, is_owed=not is_decided, concluded_at=now if is_decided else None)
    if not is_decided:
        outbox.hint_assessment(request)
    told: dict[str, Any] = {} if kind == RequestKind.PROMOTION else {"kind": str(kind)}
    told |= {"owner": request.owner.label} if request.owner else {}
    ledger.record(
        Action.REQUEST_CREATED,
        actor=by,
        request=request,
        data={
            "justification": justification,
            "champion": champion.number if champion else None,
            "rule": rule.as_json(),
            **told,
        },
        rows=[by] if by.is_countersign else [],  # made when it is first needed
    )
    return request


def _asked_already(existing: PromotionRequest) -> Conflict:
    return Conflict(f"Request #{existing.pk} already asks for this.", existing, code="already_open")


def make_way(existing: PromotionRequest, *, by: User, reason: str) -> None:
    """Takes an open request of the same version and target back, because `by` needs no approval for it now. Raises
    Conflict when a worker is delivering it in this moment: then it is there at once anyway."""
    request = locks.lock_request(existing)
    if not request.is_open:
        return
    take_back(request, by=by, reason=reason)


def take_back(request: PromotionRequest, *, by: User, reason: str) -> None:
    """Ends an open, locked request unapplied, with its delivery if one is owed. What that has begun to change in MLflow
    stays, and the watch finds it. Raises Conflict when a worker is at it in this moment."""
    rows: list[OutboxEntry] = []
    if request.status == Status.APPROVED:
        now = timezone.now()
        free = request.outbox_entries.open().filter(Q(lease_expires_at=None) | Q(lease_expires_at__lte=now))
        rows = list(free)
        ended = {"closed_at": now, "outcome": OutboxEntry.Outcome.FAILED, "last_error": reason}
        # What is at rest is in the tenures: only a move that is not settled leaves its plan behind.
        closed = free.filter(is_at_rest=True).update(**ended, plan=None, half=None, is_at_rest=False, ending="")
        closed = closed or free.update(**ended)
        if not closed:
            told = f"Request #{request.pk} is being delivered right now. Try again in a moment."
            raise Conflict(told, request, code="being_delivered")
    move(request, Status.WITHDRAWN, status_reason=reason)
    ledger.record(Action.REQUEST_WITHDRAWN, actor=by, request=request, data={"reason": reason}, rows=rows)
