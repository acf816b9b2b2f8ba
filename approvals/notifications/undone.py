"""Verdicts that can still be undone are not told yet, and undone ones never are."""

from approvals.models import Action, AuditEvent
from approvals.selectors import undoing
from mirror import clock

_OF_VERDICTS = (
    Action.REVIEW_APPROVED,
    Action.REVIEW_REJECTED,
    Action.REVIEW_CHANGES_REQUESTED,
    Action.REQUEST_APPROVED,
)


def is_settled(event: AuditEvent) -> bool:
    """Whether it can be told, and what came after it: one thing after the other, so the others wait as well."""
    return event.action not in _OF_VERDICTS or clock.now() >= event.at + undoing.window()


def is_undone(event: AuditEvent) -> bool:
    """Whether a later event took it back. One query, of a verdict alone."""
    if event.action not in _OF_VERDICTS:
        return False
    later = AuditEvent.objects.filter(
        request_id=event.request_id, action=Action.REVIEW_UNDONE, sequence__gt=event.sequence
    )
    return any(event.sequence in each.data["undoes"] for each in later)
