"""Who is told of an event, and what: a rule for each action that is declared as told, one file for each subject."""

from collections.abc import Sequence

from approvals.models import Action, AuditEvent
from approvals.notifications.rules import (
    delivery,
    emergency,
    findings,
    incidents,
    people,
    refusals,
    requests,
    webhooks,
)
from approvals.notifications.told import RULES, Occasion, Told

__all__ = ["delivery", "emergency", "findings", "incidents", "of", "people", "refusals", "requests", "webhooks"]


def of(event: AuditEvent, earlier: Sequence[Told] = ()) -> list[Told]:
    """Everything that is to be told because of this event. `earlier` is what is told in the same go and not stored
    yet. No one is told of their own act. Reads the database as it is now; writes nothing. Raises ValueError for an
    action that is not of the closed list, and where an event of a request has none."""
    action = Action(event.action)
    return RULES[action](Occasion(event, earlier)) if action.type.is_told else []
