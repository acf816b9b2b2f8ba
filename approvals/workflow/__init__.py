"""The verbs of the gate. Each is atomic and goes: policy → state → outbox → ledger → hint to the broker after
the commit.

Views, tasks, the demo and (later) the API call these; nothing else changes a request. `requests` asks and takes back,
with `creation`; `check_results` is what machines do before review, `reviews` is what people decide,
`batches` approves several at once, `approvals_count` whether that suffices, `undoing` takes back a verdict that was
just given, `findings` what they want put right afterwards, `reopening` sends a request back to review when its
content changed, `nominations` ask a person by name to review, `escalation` hands on what has waited too long,
`opening` notes when a reviewer opened it. `rollbacks`, `emergency` and `probation` are the ways that need fewer
approvals, or undo what was approved; `retroactive_reviews` asks for reviews of what went around Countersign. `outbox`
is what is owed to MLflow, `verbs` the frame of them all. `acting` goes around what a program does through a
token.
"""

from approvals.ledger.machines import acting
from approvals.workflow.approvals_count import approver_labels
from approvals.workflow.batches import BatchRefused, Picked, approve_together, undo_together
from approvals.workflow.check_results import (
    FILES,
    Answered,
    answer_check,
    conclude,
    override,
    report_check,
    store_attempt,
)
from approvals.workflow.emergency import break_glass, call_out_overdue, review_afterwards
from approvals.workflow.escalation import escalate
from approvals.workflow.findings import FindingInput, close_finding, may_close
from approvals.workflow.nominations import nominate, take_back_nomination
from approvals.workflow.opening import mark_opened
from approvals.workflow.probation import (
    Reported,
    confirm_probation,
    end_due_probations,
    report_health,
    running_beside,
)
from approvals.workflow.probation import settle as settle_probations
from approvals.workflow.reopening import reopen
from approvals.workflow.requests import (
    end,
    expire_due,
    request_promotion,
    resubmit,
    submit_under,
    under_other_policies,
    withdraw,
)
from approvals.workflow.retroactive_reviews import ask_afterwards, drop_afterwards
from approvals.workflow.reviews import comment, end_half, reconsider, retry, review
from approvals.workflow.rollbacks import allowed_alone, roll_back
from approvals.workflow.shared import Conflict, Invalid, NeedsReauthentication, NoMeaning, NotAllowed, WorkflowError
from approvals.workflow.undoing import undo_review

__all__ = [
    "FILES",
    "Answered",
    "BatchRefused",
    "Conflict",
    "FindingInput",
    "Invalid",
    "NeedsReauthentication",
    "NoMeaning",
    "NotAllowed",
    "Picked",
    "Reported",
    "WorkflowError",
    "acting",
    "allowed_alone",
    "answer_check",
    "approve_together",
    "approver_labels",
    "ask_afterwards",
    "break_glass",
    "call_out_overdue",
    "close_finding",
    "comment",
    "conclude",
    "confirm_probation",
    "drop_afterwards",
    "end",
    "end_due_probations",
    "end_half",
    "escalate",
    "expire_due",
    "mark_opened",
    "may_close",
    "nominate",
    "override",
    "reconsider",
    "reopen",
    "report_check",
    "report_health",
    "request_promotion",
    "resubmit",
    "retry",
    "review",
    "review_afterwards",
    "roll_back",
    "running_beside",
    "settle_probations",
    "store_attempt",
    "submit_under",
    "take_back_nomination",
    "under_other_policies",
    "undo_review",
    "undo_together",
    "withdraw",
]
