"""The verbs of the gate. Each is atomic and goes: policy → state → outbox → ledger → hint to the broker after
the commit.

Views, tasks, the demo and (later) the API call these; nothing else changes a request. `requesting` makes requests and
takes them back, `checking` is what machines do before people are asked, `reviewing` is what people decide, `counting`
whether that suffices, `findings` what they want put right afterwards, `reopening` sends a request back to review when
its content changed, `escalating` hands on what has waited too long,
`afterwards` asks for reviews of what went round the gate.
"""

from approvals.workflow.afterwards import ask_afterwards, drop_afterwards
from approvals.workflow.checking import FILES, Answered, answer_check, conclude, override, store_attempt
from approvals.workflow.counting import approver_labels
from approvals.workflow.escalating import escalate
from approvals.workflow.findings import FindingInput, close_finding, may_close
from approvals.workflow.reopening import reopen
from approvals.workflow.requesting import expire_due, request_promotion, resubmit, withdraw
from approvals.workflow.reviewing import comment, reconsider, retry, review
from approvals.workflow.shared import Conflict, Invalid, NeedsReauthentication, NoMeaning, NotAllowed, WorkflowError

__all__ = [
    "FILES",
    "Answered",
    "Conflict",
    "FindingInput",
    "Invalid",
    "NeedsReauthentication",
    "NoMeaning",
    "NotAllowed",
    "WorkflowError",
    "answer_check",
    "approver_labels",
    "ask_afterwards",
    "close_finding",
    "comment",
    "conclude",
    "drop_afterwards",
    "escalate",
    "expire_due",
    "may_close",
    "override",
    "reconsider",
    "reopen",
    "request_promotion",
    "resubmit",
    "retry",
    "review",
    "store_attempt",
    "withdraw",
]
