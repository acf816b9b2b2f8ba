"""Reviews that no one asked for: of what was put into a target around Countersign. Countersign itself is the
requester."""

from django.db import transaction

from accounts.models import User
from approvals import ledger
from approvals.models import Action, PromotionRequest, RequestKind, Status, Target
from approvals.models.requests import UNDECIDED
from approvals.selectors import rules
from approvals.selectors.eligibility import Candidate
from approvals.workflow import creation, locks
from approvals.workflow.shared import move
from mirror.models import ModelVersion


@transaction.atomic
def ask_afterwards(
    version: ModelVersion, target: Target, *, champion: ModelVersion | None, found: str
) -> PromotionRequest:
    """A request for the version that holds `target` already, compared with the last approved holder; `found` says what
    was found. It goes through checks and review like any other. Raises Conflict when
    the same is asked for already."""
    rule = rules.rule_for(version.model.name, target)
    asked = Candidate(version, target, [champion] if champion else [], rule, open_request=None, problem="")
    return creation.make(asked, by=User.objects.countersign(), justification=found, kind=RequestKind.RETROACTIVE)


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
