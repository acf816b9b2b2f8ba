"""The ledger, in its order."""

from datetime import datetime
from typing import Annotated, Any

from ninja import Query, Router

from api import cursors
from api.auth import ApiRequest, Token, need
from api.schemas import RequestLink, Shape, Subject, request_link, url
from approvals import administration
from approvals.models import AuditEvent
from approvals.models.ledger import read_together
from approvals.selectors import history, request_timeline

router = Router(tags=["History"], auth=Token("audit:read"))

LARGEST = 2**63 - 1
After = Annotated[
    int, Query(0, ge=0, le=LARGEST, description="Events with a higher number: `next` of the page before, or 0.")
]


class Event(Subject):
    """One event. `model` is "" where it is about none."""

    sequence: int
    at: datetime
    action: str
    actor: str
    sentence: str
    """What happened, after the actor's name."""

    said: str
    version: str | None
    target: str | None
    request: RequestLink | None
    data: dict[str, Any]
    record: dict[str, Any]
    """The row as the hash covers it, and the hash: what a verifier reads. People stand in it as tokens."""

    url: str


class Events(Shape):
    items: list[Event]
    next: int
    """Ask for `after` this number next, also when `items` is empty: later there is more."""

    last: int
    """Number of the newest event there is."""


@router.get("/events", response=Events, summary="The history, oldest first")
def list_events(request: ApiRequest, after: After = 0, limit: cursors.Limit = cursors.FIRST) -> Events:
    """For those who may export the history. That it is read is itself an event, once a day for each account, and
    again where it is read from an earlier event."""
    need(request.auth.user, administration.EXPORT)
    administration.record_reading(by=request.auth.user, after=after)
    # The end first: what is written meanwhile is on the next page.
    last = history.head().sequence
    found = list(AuditEvent.objects.filter(sequence__gt=after, sequence__lte=last).order_by("sequence")[:limit])
    read_together(found)
    items = [_told(each) for each in request_timeline.entries(found)]
    return Events(items=items, next=found[-1].sequence if found else after, last=last)


def _told(entry: request_timeline.Entry) -> Event:
    event = entry.event
    return Event(
        model=event.model_name,
        sequence=event.sequence,
        at=event.at,
        action=event.action,
        actor=event.actor_label,
        sentence=entry.sentence,
        said=entry.said,
        version=str(event.version_number) if event.version_number else None,
        target=event.target_name or None,
        request=request_link(event.request_id) if event.request_id else None,
        data=event.data,
        record=history.row_of(event),
        url=url("approvals:event", event.sequence),
    )
