"""Reviews that nobody asked for: of what was put into a target round the gate. Countersign itself is the requester."""

import uuid
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from approvals import ledger
from approvals.models import Action, Assessment, PromotionRequest, RequestKind, Status, Target
from approvals.models.requests import UNDECIDED
from approvals.selectors import rules
from approvals.workflow import locks, outbox
from approvals.workflow.shared import frozen_fields, move, nobody_has_approved
from mirror.models import ModelVersion


@transaction.atomic
def ask_afterwards(
    version: ModelVersion, target: Target, *, champion: ModelVersion | None, found: str
) -> PromotionRequest:
    """A request for the version that holds `target` already, compared with the last approved holder; `found` says what
    was found. It goes through checks and review like any other."""
    rule = rules.rule_for(version.model.name, target)
    request = PromotionRequest(
        version=version,
        target=target,
        kind=RequestKind.RETROACTIVE,
        requester=User.objects.countersign(),
        justification=found,
        rule=rule.as_json(),
        waits_for=nobody_has_approved(rule),
        correlation_id=uuid.uuid4(),
        expires_at=timezone.now() + timedelta(days=rule.open_for_days),
    )
    for name, value in frozen_fields(request, champion).items():
        setattr(request, name, value)
    request.save(force_insert=True)
    Assessment.objects.create(request=request)
    outbox.hint_assessment(request)
    ledger.record(
        Action.REQUEST_CREATED,
        actor=request.requester,
        request=request,
        data={
            "justification": found,
            "champion": champion.number if champion else None,
            "rule": rule.as_json(),
            "kind": str(RequestKind.RETROACTIVE),
        },
        rows=[request.requester],
    )
    return request


@transaction.atomic
def drop_afterwards(request: PromotionRequest, *, reason: str) -> bool:
    """Takes such a request back, because what it asks about is no longer so; False when it is decided already.
    Locked here, so it never raises the Conflict of a move that was too slow."""
    request = locks.lock_request(request)
    if request.kind != RequestKind.RETROACTIVE or request.status not in (*UNDECIDED, Status.FAILED):
        return False
    move(request, Status.WITHDRAWN, status_reason=reason)
    ledger.record(Action.REQUEST_WITHDRAWN, actor=None, request=request, data={"reason": reason})
    return True
