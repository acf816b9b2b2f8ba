"""Handing a request that has waited too long to the group that its policy names."""

from django.db import transaction

from approvals import ledger, policy
from approvals.models import Action, AuditEvent, PromotionRequest, Status
from approvals.workflow import locks


@transaction.atomic
def escalate(request: PromotionRequest, *, since: AuditEvent) -> bool:
    """Records that a pending request was escalated, once for each time that it came to review; `since` is the event
    with which it did. False when there is nothing to escalate (any more), or it was done before."""
    request = locks.lock_request(request)
    rule = policy.Rule.from_json(request.rule).reminders
    is_done = request.events.filter(action=Action.REQUEST_ESCALATED, sequence__gt=since.sequence).exists()
    if is_done or request.status != Status.PENDING or not rule.escalate_to or rule.escalate_after_hours is None:
        return False
    reason = f"Not decided within {rule.escalate_after_hours} {'hour' if rule.escalate_after_hours == 1 else 'hours'}."
    ledger.record(
        Action.REQUEST_ESCALATED, actor=None, request=request, data={"group": rule.escalate_to, "reason": reason}
    )
    return True
