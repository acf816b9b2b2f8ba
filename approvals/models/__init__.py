"""The tables of the gate. Fields, constraints and legal moves live here; verbs live in `approvals.workflow`."""

from approvals.models.assessment import Assessment, CheckResult, Outcome
from approvals.models.checkpoints import Checkpoint, Signing, Verification
from approvals.models.cuts import LedgerCut
from approvals.models.enforcement import PolicyFeed, Refusal, SealedFolder
from approvals.models.event_types import Action
from approvals.models.findings import Finding
from approvals.models.freezes import FreezeWindow
from approvals.models.identities import Identity
from approvals.models.incidents import Incident, WatchedPlace, WatchState
from approvals.models.ledger import AuditEvent, ChainHead
from approvals.models.model_metrics import ModelMetrics
from approvals.models.nominations import Nomination
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
from approvals.models.probations import Probation
from approvals.models.readings import Reading
from approvals.models.requests import AfterVerdict, Comment, PromotionRequest, RequestKind, Status
from approvals.models.reviews import Review, Verdict
from approvals.models.subscriptions import Subscription
from approvals.models.targets import Enforcement, Target
from approvals.models.tenures import Tenure
from approvals.models.webhooks import Webhook, WebhookAttempt

__all__ = [
    "Action",
    "AfterVerdict",
    "Assessment",
    "AuditEvent",
    "ChainHead",
    "CheckResult",
    "Checkpoint",
    "Comment",
    "DigestTime",
    "Enforcement",
    "Finding",
    "FreezeWindow",
    "How",
    "Identity",
    "Incident",
    "Kind",
    "LedgerCut",
    "ModelMetrics",
    "Nomination",
    "Notification",
    "NotificationChoice",
    "NotificationState",
    "OutboxEntry",
    "Outcome",
    "Policy",
    "PolicyFeed",
    "PolicyVersion",
    "Probation",
    "PromotionRequest",
    "Reading",
    "Refusal",
    "RequestKind",
    "Review",
    "SealedFolder",
    "Signing",
    "Status",
    "Subscription",
    "Target",
    "Tenure",
    "Verdict",
    "Verification",
    "WatchState",
    "WatchedPlace",
    "Webhook",
    "WebhookAttempt",
]
