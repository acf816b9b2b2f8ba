"""What the administrators' verbs share: who may, what is refused, and the event that each leaves."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model

from accounts.models import User
from approvals import ledger
from approvals import policy as rules
from approvals.models import Action, AuditEvent
from approvals.workflow import Invalid, NotAllowed

POLICIES, PEOPLE = "approvals.manage_policies", "accounts.manage_people"
HISTORY, EXPORT = "approvals.view_history", "approvals.export_history"
IMPORT = "approvals.import_history"
CHECKPOINT = "approvals.sign_checkpoint"
WEBHOOKS = "approvals.manage_webhooks"
COMMAND_LINE = "Countersign command line"
REASONS = {
    POLICIES: "Only administrators can change targets and policies.",
    PEOPLE: "Only administrators can manage people.",
    HISTORY: "You need a role to read the history. An administrator can give you one.",
    CHECKPOINT: "Only administrators can sign checkpoints.",
    EXPORT: "Only auditors and administrators can export the history.",
    IMPORT: "Only administrators can import earlier history.",
    WEBHOOKS: "Only administrators can manage webhooks.",
}


def may(user: User, permission: str) -> rules.Answer:
    """Whether this person may do what `permission` (a key of REASONS) stands for, and why not."""
    if user.is_active and user.has_perm(permission):
        return rules.YES
    return rules.no("role_required", REASONS[permission])


@contextmanager
def valid(taken: str) -> Iterator[None]:
    """A block in a transaction of its own. Raises Invalid for what validation or the database refuses in it: `taken` is
    said when a constraint was hit."""
    try:
        with transaction.atomic():
            yield
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from error
    except IntegrityError as error:
        raise Invalid(taken) from error


def require(by: User | None, permission: str) -> None:
    """Raises NotAllowed. None is the command line: anyone who can run it owns the installation."""
    answer = rules.YES if by is None else may(by, permission)
    if not answer:
        raise NotAllowed(answer.reason, code=answer.code)


def record(
    action: Action,
    by: User | None,
    *,
    data: Mapping[str, Any],
    target_name: str = "",
    model_name: str = "",
    rows: Iterable[Model] | Callable[[AuditEvent], Iterable[Model]] = (),
) -> AuditEvent:
    """One event; `by` None is the command line. `rows` are what it records: see `ledger.record`."""
    return ledger.record(
        action,
        actor=by,
        acting=COMMAND_LINE,
        target_name=target_name,
        model_name=model_name,
        data=data,
        rows=rows,
    )
