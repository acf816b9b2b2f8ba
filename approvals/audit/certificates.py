"""The approval certificate: what was approved, by whom, over which evidence. For its page, and for an archive."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from approvals import policy, workflow
from approvals.models import Action, AuditEvent, CheckResult, Probation, PromotionRequest, Review, Verdict
from approvals.selectors import request_state

TOLD = (
    Action.REQUEST_CREATED,
    Action.REQUEST_CHECKED,
    Action.CHECK_OVERRIDDEN,
    Action.REQUEST_REOPENED,
    Action.REQUEST_RESUBMITTED,
    Action.REVIEW_APPROVED,
    Action.REVIEW_UNDONE,
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
NONE_YET = "There is a certificate once all approvals are given."
CERTIFIED = (Action.REQUEST_APPROVED, Action.GLASS_BROKEN)


@dataclass(frozen=True, slots=True)
class Certificate:
    request: PromotionRequest
    rule: policy.Rule
    signatures: Sequence[Review]
    checks: Sequence[CheckResult]
    allowed_by: Sequence[str]
    """Of a rollback that needed no approval: who or what allowed it."""

    probation: Probation | None
    files: Mapping[str, Any]
    """Digest, count and bytes of the version's files as they were approved; {} where none were read."""

    workspace: str
    """Of MLflow, where the model is; "" where none is named."""

    events: Sequence[AuditEvent]
    """What the ledger has of it, oldest first."""

    @property
    def promoted(self) -> AuditEvent | None:
        return next((event for event in reversed(self.events) if event.action == Action.VERSION_PROMOTED), None)


def of(found: PromotionRequest) -> Certificate | None:
    """None until all approvals are given, or it is an emergency promotion: there is nothing to certify before."""
    events = list(found.events.filter(action__in=TOLD).order_by("sequence"))
    approved = [event for event in events if event.action in CERTIFIED]
    if not approved or found.decided_at is None or found.status == "rejected":
        return None
    now = request_state.of(found)
    return Certificate(
        request=found,
        rule=now.rule,
        signatures=[review for review in now.reviews if review.voided_at is None and review.verdict == Verdict.APPROVE],
        checks=now.checks,
        allowed_by=workflow.allowed_alone(found) if found.is_rollback and not now.approvals_given else [],
        probation=Probation.objects.filter(request=found).first(),
        files=json.loads(found.evidence)["version"].get("files") or {},
        workspace=settings.MLFLOW_WORKSPACE,
        events=events,
    )
