"""A person's word that what MLflow no longer lists is gone, where it is too much at once to be believed."""

from accounts.models import User
from approvals.administration.shared import POLICIES, record, require
from approvals.models import Action, AuditEvent
from approvals.workflow import Conflict, Invalid
from approvals.workflow.verbs import verb
from mirror import sync


@verb()
def confirm_deletions(*, by: User | None, reason: str) -> AuditEvent:
    """The next sweep asks MLflow for each missing model and version by name and number, and marks what it says does
    not exist. `by` None: the command line. Raises NotAllowed, Invalid (no reason) or Conflict (nothing waits)."""
    require(by, POLICIES)
    if not reason.strip():
        raise Invalid("Say why so much is missing from MLflow: the auditors will read it.")
    missing = sync.confirm_missing()
    if not missing:
        raise Conflict("Nothing waits for a confirmation: MLflow lists it again, or somebody was faster.")
    return record(Action.DELETIONS_CONFIRMED, by, data={**missing, "reason": reason.strip()})
