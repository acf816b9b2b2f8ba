"""Outgoing webhooks, for administrators' programs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.db.models import BigIntegerField
from django.http import HttpRequest
from ninja import Router, Status
from pydantic import Field

from api import idempotency
from api.auth import ApiRequest, Token, need
from api.encoding import as_json
from api.problems import NotFound
from api.schemas import Sent, Shape, url
from approvals import administration
from approvals.models import Webhook
from approvals.models.event_types import WEBHOOKS
from approvals.selectors import webhooks
from mirror import clock

router = Router(tags=["Webhooks"], auth=Token("webhooks:write"))

TypeWord = Annotated[str, Field(json_schema_extra={"enum": list(WEBHOOKS)})]


class WebhookOut(Shape):
    """A receiver of events. Its address is shown without what may be secret, its secret never again."""

    id: int
    name: str
    address: str
    types: list[TypeWord]
    models: str
    """A model's name, or a pattern: `*` is any text."""

    state: Literal["running", "retrying", "paused"]
    note: str
    next_event: int
    """Number of the first event of which not everything was sent."""

    created_at: datetime
    url: str


class MadeWebhook(WebhookOut):
    secret: str
    """`whsec_…`, shown this once."""


class Webhooks(Shape):
    items: list[WebhookOut]
    next: str | None = None


class WebhookIn(Sent):
    name: Annotated[str, Field(max_length=80, examples=["CI"])]
    url: Annotated[str, Field(max_length=2000, examples=["https://hooks.example.com/countersign"])]
    types: Annotated[list[TypeWord], Field(max_length=50, examples=[["request.approved", "request.rejected"]])]
    models: Annotated[str, Field(max_length=256)] = "*"


class AskedTest(Shape):
    message_id: str
    """The `webhook-id` that the message has; the log on the webhook's page shows what came of it."""


@router.get("/webhooks", response=Webhooks, summary="Webhooks by name")
def list_webhooks(request: ApiRequest) -> Webhooks:
    """All of them: there are 50 at most."""
    need(request.auth.user, administration.WEBHOOKS)
    return Webhooks(items=[WebhookOut(**_told(row)) for row in webhooks.overview()])


@router.post("/webhooks", response={201: MadeWebhook, 200: WebhookOut}, summary="Add a webhook")
@idempotency.again(lambda request, body: Status(200, _shown(request, body["id"])))
def create_webhook(request: ApiRequest, body: WebhookIn) -> Status[MadeWebhook]:
    """It begins with the next event. The secret is in this answer alone: the same `Idempotency-Key` again answers 200
    without it."""
    typed = Webhook(name=body.name.strip(), url=body.url.strip(), types=body.types, model_pattern=body.models.strip())
    made = administration.save_webhook(typed, by=request.auth.user)
    request.kept_answer = as_json({"id": made.pk})
    secret = webhooks.secrets_of(made, clock.now())[0]
    return Status(201, MadeWebhook(**_told(webhooks.one(made)), secret=secret))


@router.get("/webhooks/{int:number}", response=WebhookOut, summary="One webhook")
def get_webhook(request: ApiRequest, number: int) -> WebhookOut:
    return _shown(request, number)


@router.post("/webhooks/{int:number}/test", response=AskedTest, summary="Send a test message")
def test_webhook(request: ApiRequest, number: int) -> AskedTest:
    """The worker sends it, once and within seconds."""
    need(request.auth.user, administration.WEBHOOKS)
    asked = administration.ask_for_test(_one(number), by=request.auth.user)
    return AskedTest(message_id=asked.message_id)


@router.delete("/webhooks/{int:number}", response=WebhookOut, summary="Delete a webhook")
def delete_webhook(request: ApiRequest, number: int) -> WebhookOut:
    """Nothing is sent any more; the history keeps that it was."""
    shown = _shown(request, number)
    administration.retire_webhook(_one(number), by=request.auth.user)
    return shown


def _shown(request: HttpRequest, number: int) -> WebhookOut:
    need(request.auth.user, administration.WEBHOOKS)  # type: ignore[attr-defined]  # an ApiRequest
    return WebhookOut(**_told(webhooks.one(_one(number))))


def _one(number: int) -> Webhook:
    known = Webhook.objects.current().filter(pk=number) if number <= BigIntegerField.MAX_BIGINT else []
    found = next(iter(known), None)
    if found is None:
        raise NotFound("no_such_webhook", f"There is no webhook #{number}.")
    return found


def _told(row: webhooks.Row) -> dict[str, Any]:
    found = row.webhook
    return {
        "id": found.pk,
        "name": found.name,
        "address": found.address,
        "types": found.wanted,
        "models": found.model_pattern,
        "state": row.state.lower(),
        "note": row.note,
        "next_event": found.next_sequence,
        "created_at": found.created_at,
        "url": url("approvals:webhook", found.pk),
    }
