"""The tables of the gate. Fields, constraints and legal moves live here; verbs live in `approvals.workflow`."""

from approvals.models.assessment import Assessment, CheckResult, Outcome
from approvals.models.findings import Finding
from approvals.models.freezes import FreezeWindow
from approvals.models.ledger import Action, AuditEvent, ChainHead
from approvals.models.notifications import (
    DigestTime,
    How,
    Kind,
    Notification,
    NotificationChoice,
    NotificationState,
)
from approvals.models.outbox import OutboxEntry
from approvals.models.policies import Policy, PolicyVersion
from approvals.models.requests import Comment, PromotionRequest, Status
from approvals.models.reviews import Review, Verdict
from approvals.models.targets import Target

__all__ = [
    "Action",
    "Assessment",
    "AuditEvent",
    "ChainHead",
    "CheckResult",
    "Comment",
    "DigestTime",
    "Finding",
    "FreezeWindow",
    "How",
    "Kind",
    "Notification",
    "NotificationChoice",
    "NotificationState",
    "OutboxEntry",
    "Outcome",
    "Policy",
    "PolicyVersion",
    "PromotionRequest",
    "Review",
    "Status",
    "Target",
    "Verdict",
]
