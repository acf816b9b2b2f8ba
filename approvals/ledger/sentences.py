"""How an event of the ledger reads: one sentence, and what a person said with it."""

from approvals.models import Action, AuditEvent
from approvals.models.event_types import Facts


def said(event: AuditEvent) -> str:
    """What a person said with it, or the reason; "" where nothing, or where the next event says it."""
    if event.data.get("kind") == "break_glass":
        return ""
    return str(event.data.get(Action(event.action).type.said, ""))


def sentence(event: AuditEvent, *, is_subject_known: bool = False) -> str:
    """One sentence fragment: what happened, after the actor's name; starts with the verb, without a full stop.

    `is_subject_known`: the page is about one request, so the model need not be named again. Raises ValueError for an
    action that is not of the closed list.
    """
    subject = event.model_name
    if event.version_number:
        subject = f"version {event.version_number}" if is_subject_known else f"{subject} version {event.version_number}"
    facts = event.data | {"subject": subject, "target": event.target_name, "version": event.version_number}
    return Action(event.action).type.happened(Facts(facts))
