"""Registry webhooks: outgoing webhooks of the product, in Databricks' format."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from django.db.models import BigIntegerField
from ninja import Router
from pydantic import BeforeValidator, Field

from api import waiting
from api.auth import ApiRequest, Token, need
from api.databricks.reading import Name, Said, Text, said
from api.databricks.shapes import milliseconds
from api.problems import NotFound, Problem
from api.schemas import url
from approvals import administration
from approvals.checks import signing
from approvals.models import Webhook, WebhookAttempt
from approvals.webhooks_out import databricks

router = Router(auth=Token("webhooks:write"))

PATIENCE = 10
"""Seconds that a test waits for the worker to send it."""

Events = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class HttpUrl(Said):
    url: str = Field(max_length=2000)
    authorization: str = ""
    enable_ssl_verification: bool = True
    secret: str = Field("", max_length=1000)


class Change(Said):
    description: Text | None = None
    events: Events | None = None
    http_url_spec: HttpUrl | None = None
    job_spec: dict[str, Any] | None = None
    status: Literal["ACTIVE", "DISABLED", "TEST_MODE"] | None = None


class NewWebhook(Change):
    events: Events
    model_name: Name | None = None


class OfWebhook(Said):
    id: str = Field(pattern=r"^[0-9]{1,18}$")


class ChangedWebhook(Change, OfWebhook):
    pass


class Wanted(Said):
    events: Events = []
    model_name: str | None = None


@router.post("/registry-webhooks/create")
def create_webhook(request: ApiRequest) -> dict[str, Any]:
    """Raises Problem 422 for a webhook that calls no address."""
    asked = said(request, NewWebhook)
    if asked.http_url_spec is None:
        raise Problem(422, "invalid", "http_url_spec: Field required. Countersign calls addresses and starts no jobs.")
    made = Webhook(model_pattern=_pattern(asked.model_name))
    host = urlsplit(asked.http_url_spec.url).netloc
    made.name = (asked.description or f"Databricks client: {host}")[:80]
    return {"webhook": _shape(_saved(request, made, asked), shows_all=True)}


@router.get("/registry-webhooks/list")
def list_webhooks(request: ApiRequest) -> dict[str, Any]:
    """Those of Databricks clients alone, of which there are 50 at most: one page."""
    asked = said(request, Wanted)
    need(request.auth.user, administration.WEBHOOKS)
    found = [each for each in Webhook.objects.current().order_by("pk") if each.databricks_events]
    if asked.events:
        found = [each for each in found if set(each.databricks_events) & set(asked.events)]
    if asked.model_name:
        found = [each for each in found if each.model_pattern == asked.model_name]
    return {"webhooks": [_shape(each) for each in found]}


@router.patch("/registry-webhooks/update")
def update_webhook(request: ApiRequest) -> dict[str, Any]:
    asked = said(request, ChangedWebhook)
    need(request.auth.user, administration.WEBHOOKS)
    found = _one(asked.id)
    if asked.description:
        found.name = asked.description[:80]
    return {"webhook": _shape(_saved(request, found, asked), shows_all=asked.http_url_spec is not None)}


@router.delete("/registry-webhooks/delete")
def delete_webhook(request: ApiRequest) -> dict[str, Any]:
    need(request.auth.user, administration.WEBHOOKS)
    administration.retire_webhook(_one(said(request, OfWebhook).id), by=request.auth.user)
    return {}


@router.post("/registry-webhooks/test")
def test_webhook(request: ApiRequest) -> dict[str, Any]:
    """The worker sends it; what the receiver answered by then is said in the three ways that clients read."""
    need(request.auth.user, administration.WEBHOOKS)
    asked = administration.ask_for_test(_one(said(request, OfWebhook).id), by=request.auth.user)
    attempts = WebhookAttempt.objects.filter(pk=asked.pk)
    with waiting.place() as is_free:
        if is_free:
            waiting.until_other(lambda: str(attempts.values_list("at", flat=True).get()), "None", PATIENCE)
    asked.refresh_from_db()
    waits = "" if asked.at else f"The worker has not sent it yet: see {url('approvals:webhook', asked.webhook_id)}"
    told = {"status_code": asked.status or 0, "body": asked.problem or asked.answer or waits}
    return {**told, "status": told["status_code"], "webhook": told}


def _saved(request: ApiRequest, webhook: Webhook, asked: Change) -> Webhook:
    """Raises Problem 422 for what Countersign does not do, and what the verbs raise."""
    if asked.job_spec is not None:
        raise Problem(422, "invalid", "job_spec: Countersign calls addresses and starts no jobs.")
    if asked.status == "TEST_MODE":
        raise Problem(422, "invalid", "status: ACTIVE or DISABLED. A test is sent in either.")
    if asked.events is not None:
        webhook.databricks_events = _known(asked.events)
        webhook.types = list(dict.fromkeys(databricks.EVENTS[each] for each in webhook.databricks_events))
    if asked.http_url_spec is not None:
        _address(webhook, asked.http_url_spec)
    by = request.auth.user
    saved = administration.save_webhook(webhook, by=by)
    if asked.status == "DISABLED" and saved.paused_at is None:
        administration.pause_webhook(saved, by=by)
    elif asked.status == "ACTIVE" and saved.paused_at is not None:
        administration.resume_webhook(saved, by=by)
    saved.refresh_from_db()
    return saved


def _address(webhook: Webhook, spec: HttpUrl) -> None:
    if spec.authorization:
        detail = "http_url_spec.authorization: leave it out; receivers check the signature instead."
        raise Problem(422, "invalid", detail)
    if not spec.enable_ssl_verification:
        raise Problem(422, "invalid", "http_url_spec.enable_ssl_verification: certificates are always verified.")
    webhook.url = spec.url.strip()
    if spec.secret:
        webhook.given_secret = signing.encrypted(spec.secret, purpose=databricks.PURPOSE)


def _known(events: list[str]) -> list[str]:
    """Without repeats. Raises Problem 422 for events that do not happen here."""
    wanted = list(dict.fromkeys(events))
    if unknown := [each for each in wanted if each not in databricks.EVENTS]:
        detail = (
            f"events: Countersign does not send {', '.join(unknown)}, but {', '.join(databricks.EVENTS)}. "
            "For versions and tags there are MLflow's own webhooks."
        )
        raise Problem(422, "unknown_event", detail)
    return wanted


def _pattern(model: str | None) -> str:
    """A name is no pattern. Raises Problem 422 for one that would be read as one."""
    if model is not None and set(model) & set("*?["):
        raise Problem(422, "invalid", "model_name: a model's name, without the signs of a pattern.")
    return model or "*"


def _one(number: str) -> Webhook:
    """Raises NotFound."""
    wanted = int(number)
    known = Webhook.objects.current().filter(pk=wanted).first() if wanted <= BigIntegerField.MAX_BIGINT else None
    if known is None or not known.databricks_events:
        raise NotFound("no_such_webhook", f"There is no registry webhook {number}.")
    return known


def _shape(webhook: Webhook, *, shows_all: bool = False) -> dict[str, Any]:
    """An address may be a secret, so only who just said it sees all of it."""
    return {
        "id": str(webhook.pk),
        "description": webhook.name,
        "events": webhook.databricks_events,
        **({} if webhook.model_pattern == "*" else {"model_name": webhook.model_pattern}),
        "status": "DISABLED" if webhook.paused_at else "ACTIVE",
        "http_url_spec": {
            "url": webhook.url if shows_all else webhook.address,
            "enable_ssl_verification": True,
        },
        "creation_timestamp": milliseconds(webhook.created_at),
        "last_updated_timestamp": milliseconds(webhook.created_at),
        "url": url("approvals:webhook", webhook.pk),
    }
