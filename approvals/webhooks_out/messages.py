"""What an event of the ledger tells receivers: the messages, in their order, as JSON. The same event makes the same
bytes whenever it is sent, but for names that were erased."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.db.models import Q

from approvals.models import Action, AuditEvent, ChainHead, Tenure, Webhook
from approvals.models.webhooks import PER_EVENT, before
from approvals.notifications import chat, undone, wording
from approvals.policy import matches
from approvals.webhooks_out import databricks
from components import addresses

logger = structlog.get_logger(__name__)

FEW, BATCH = 5, 200
"""Events that are read at a time: the next one is mostly among the first few."""

TEST = "test"
_ACTIONS = [action for action in Action if action.type.webhooks]


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    type: str
    body: bytes
    position: int = 0
    """Of a test: 0."""


def after(webhook: Webhook) -> tuple[Message | None, int]:
    """What is next for it; without a message, the last position that can be passed over. Verdicts that can still be
    undone, and all that follows them, wait."""
    # Read before the events: what is recorded in between is not passed over.
    head = ChainHead.objects.values_list("sequence", flat=True).get(pk=1)
    actions = [str(action) for action in _ACTIONS if set(action.type.webhooks) & set(webhook.types)]
    done, size = webhook.done, FEW
    while True:
        found = AuditEvent.objects.filter(sequence__gte=(done + 1) // PER_EVENT, action__in=actions)
        related = ("request__version__model", "request__target")
        events = list(found.select_related(*related).order_by("sequence")[:size])
        for event in events:
            if not undone.is_settled(event):
                return None, max(done, before(event.sequence))
            for message in _of(event, webhook, done):
                return message, done
            done = max(done, before(event.sequence + 1))
        if len(events) < size:
            return None, max(done, before(head + 1))
        size = BATCH


def at(position: int, webhook: Webhook) -> Message | None:
    """The message at this position of the ledger; None where there is none any more."""
    event = AuditEvent.objects.select_related("request__version__model", "request__target").get(
        sequence=position // PER_EVENT
    )
    types = Action(event.action).type.webhooks
    place = position % PER_EVENT
    return _message(event, types[place], place, webhook) if place < len(types) else None


def test(message_id: str, webhook: Webhook, now: datetime) -> Message:
    """What the button *Send test* sends."""
    text = f"This is a test of the webhook {webhook.name} of {settings.SITE_NAME}."
    if webhook.databricks_events:
        return Message(message_id, TEST, databricks.test(webhook, text, now))
    data = {"id": message_id, "url": addresses.absolute(webhook.get_absolute_url())}
    return Message(message_id, TEST, _body(TEST, now, text, data))


def _of(event: AuditEvent, webhook: Webhook, done: int) -> Iterator[Message]:
    if not matches(webhook.model_pattern, event.model_name) or undone.is_undone(event):
        return
    for place, kind in enumerate(Action(event.action).type.webhooks):
        if kind in webhook.types and event.sequence * PER_EVENT + place > done:
            message = _understood(event, kind, place, webhook)
            if message is not None:
                yield message


def _understood(event: AuditEvent, kind: str, place: int, webhook: Webhook) -> Message | None:
    """An event that cannot be understood is passed over, with a line in the log: it must not hold back all that
    follow."""
    try:
        return _message(event, kind, place, webhook)
    except DatabaseError:
        raise  # the next go reads the same events
    except Exception:  # whatever is in an event
        logger.exception("webhook.not_understood", sequence=event.sequence, action=event.action)
        return None


def _message(event: AuditEvent, kind: str, place: int, webhook: Webhook) -> Message | None:
    """None where the event does not change what the type is about, or Databricks has no word for it."""
    facts = _facts(event, kind)
    if facts is None:
        return None
    message_id = f"evt_{event.sequence}_{kind.replace('.', '_')}_{event.hash[:12]}"
    data = {
        "sequence": event.sequence,
        "registry": "default",
        "workspace": settings.MLFLOW_WORKSPACE,
        "kind": "model",
        "model": event.model_name,
        "version": str(event.version_number) if event.version_number else None,
        "target": event.target_name,
        **facts,
    }
    text = f"{_text(event)} {data['url']}"
    if not webhook.databricks_events:
        body = _body(kind, event.at, text, data)
    elif (told := databricks.body(webhook, event, kind, text)) is not None:
        body = told
    else:
        return None
    return Message(message_id, kind, body, event.sequence * PER_EVENT + place)


def _text(event: AuditEvent) -> str:
    """One sentence that names what it is about."""
    happened = wording.one_paragraph(wording.happened(event))
    if event.model_name and event.model_name not in happened:
        happened = f"{event.model_name} version {event.version_number} to {event.target_name}: {happened}"
    return chat.quiet(happened)


def _body(kind: str, at: datetime, text: str, data: dict[str, Any]) -> bytes:
    moment = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    told = {"type": kind, "timestamp": moment, "text": text, "data": data}
    return json.dumps(told, ensure_ascii=True).encode()


def _facts(event: AuditEvent, kind: str) -> dict[str, Any] | None:
    """What is of one type alone: at least id, url and status."""
    match kind.partition(".")[0]:
        case "request" if event.request is not None:
            url = event.request.get_absolute_url()
            return {"id": event.request.pk, "url": addresses.absolute(url), "status": _status(event)}
        case "incident":
            number = event.data["incident"]
            url = addresses.reverse("approvals:incident", number)
            status = "open" if event.action == Action.INCIDENT_OPENED else "resolved"
            return {"id": number, "url": addresses.absolute(url), "status": status}
        case "holder":
            return _holders(event)
        case "refused_in_mlflow":
            said = {"id": event.sequence, "url": addresses.absolute(event.get_absolute_url()), "status": "refused"}
            return said | {"operation": event.data.get("operation", "")}
    return None


def _status(event: AuditEvent) -> str:
    """Of the request, as the event left it: its seal has that. Events from before there were seals have none."""
    sealed = json.loads(event.payload).get("sealed", {}).get("promotionrequest", {})
    kept = sealed.get(str(event.request_id))
    return str(kept["status"]) if isinstance(kept, dict) and "status" in kept else str(event.request.status)  # type: ignore[union-attr]


def _holders(event: AuditEvent) -> dict[str, Any] | None:
    """Who holds the places of the target after the event; None where the event changed none of them."""
    changed = Q(start_sequence=event.sequence) | Q(end_sequence=event.sequence)
    of_it = Tenure.objects.filter(model_name=event.model_name, target__name=event.target_name)
    if not of_it.filter(changed).exists():
        return None
    after_it = of_it.filter(start_sequence__lte=event.sequence).exclude(end_sequence__lte=event.sequence)
    holders = [
        {"version": str(number), "place": _place(place)}
        for number, place in after_it.order_by("place", "version_number").values_list("version_number", "place")
    ]
    url = addresses.reverse("model", event.model_name)
    versions = {holder["version"] for holder in holders}
    return {
        "id": event.sequence,
        "url": addresses.absolute(url),
        "status": "held" if holders else "empty",
        "version": next(iter(versions)) if len(versions) == 1 else None,
        "holders": holders,
    }


def _place(place: str) -> dict[str, str]:
    return {"type": "alias", "name": place[1:]} if place.startswith("@") else {"type": "stage", "name": place}
