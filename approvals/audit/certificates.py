"""The approval certificate: what was approved, by whom, over which evidence. For its page, and for an archive."""

import json
from typing import Any

from approvals import workflow
from approvals.models import Action, Probation, PromotionRequest, Verdict
from approvals.selectors import request_state

TOLD = (
    Action.REQUEST_CREATED,
    Action.REQUEST_CHECKED,
    Action.CHECK_OVERRIDDEN,
    Action.REVIEW_APPROVED,
    Action.REQUEST_APPROVED,
    Action.GLASS_BROKEN,
    Action.DELIVERY_HALFWAY,
    Action.DELIVERY_ENDED,
    Action.VERSION_PROMOTED,
    Action.REVIEWED_AFTERWARDS,
    Action.AFTERWARDS_OVERDUE,
    Action.PROBATION_STARTED,
    Action.PROBATION_ENDED,
)
CERTIFIED = (Action.REQUEST_APPROVED, Action.GLASS_BROKEN)


def of(found: PromotionRequest) -> dict[str, Any] | None:
    """What `approvals/audit/_certificate.html` shows; None until all approvals are given, or the glass was broken:
    there is nothing to certify before."""
    events = list(found.events.filter(action__in=TOLD).order_by("sequence"))
    approved = [event for event in events if event.action in CERTIFIED]
    if not approved or found.decided_at is None or found.status == "rejected":
        return None
    now = request_state.of(found)
    return {
        "request_": found,
        "rule": now.rule,
        "signatures": [
            review for review in now.reviews if review.voided_at is None and review.verdict == Verdict.APPROVE
        ],
        "checks": now.checks,
        "allowed_by": workflow.allowed_alone(found) if found.is_rollback and not now.approvals_given else [],
        "probation": Probation.objects.filter(request=found).first(),
        "files": json.loads(found.evidence)["version"].get("files") or {},
        "events": events,
        "promoted": next((event for event in reversed(events) if event.action == Action.VERSION_PROMOTED), None),
    }
