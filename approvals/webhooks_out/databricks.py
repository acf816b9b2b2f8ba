"""The second format: what Databricks' registry webhooks send, for receivers that were written for them. Which events a
webhook has says that it is one of these."""

import contextlib
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from approvals.checks import signing
from approvals.models import AuditEvent, Webhook

PURPOSE = "countersign.databricks-webhook"
SIGNATURE = "X-Databricks-Signature"
STAGES = ("STAGING", "PRODUCTION")
REQUESTED, MOVED = "TRANSITION_REQUEST_CREATED", "MODEL_VERSION_TRANSITIONED_STAGE"

EVENTS = {
    REQUESTED: "request.created",
    **{f"TRANSITION_REQUEST_TO_{stage}_CREATED": "request.created" for stage in STAGES},
    MOVED: "request.applied",
    **{f"MODEL_VERSION_TRANSITIONED_TO_{stage}": "request.applied" for stage in STAGES},
}
"""Databricks' events that happen here, and the types of ours that tell of them."""


def body(webhook: Webhook, event: AuditEvent, kind: str, text: str) -> bytes | None:
    """None where the webhook has no event for it."""
    request = event.request
    if request is None:
        return None
    target = request.target
    stage = (target.stage or target.alias).upper()
    known = {
        "request.created": (REQUESTED, f"TRANSITION_REQUEST_TO_{stage}_CREATED"),
        "request.applied": (MOVED, f"MODEL_VERSION_TRANSITIONED_TO_{stage}"),
    }
    name = next((each for each in known.get(kind, ()) if each in webhook.databricks_events), None)
    if name is None:
        return None
    facts = {"model_name": event.model_name, "version": str(event.version_number)}
    return _json(webhook, name, event.at, text, facts | {"to_stage": target.stage or target.alias})


def test(webhook: Webhook, text: str, now: datetime) -> bytes:
    """With the first of its events, about nothing."""
    return _json(webhook, webhook.databricks_events[0], now, text, {"model_name": "", "version": "", "to_stage": ""})


def signature(webhook: Webhook, sent: bytes, own_secret: str) -> dict[str, str]:
    """The header with the HMAC-SHA256 of the body, hexadecimal: with the secret that the client gave, or else that of
    the webhook's page. Nothing for other webhooks."""
    if not webhook.databricks_events:
        return {}
    secret = own_secret
    if webhook.given_secret:
        with contextlib.suppress(ValueError):  # the installation has another secret key: nothing fits any more
            secret = signing.decrypted(webhook.given_secret, purpose=PURPOSE)
    return {SIGNATURE: hmac.new(secret.encode(), sent, hashlib.sha256).hexdigest()}


def _json(webhook: Webhook, name: str, at: datetime, text: str, facts: dict[str, Any]) -> bytes:
    told = {
        "event": name,
        "webhook_id": str(webhook.pk),
        "event_timestamp": round(at.timestamp() * 1000),
        **facts,
        "text": text,
    }
    return json.dumps(told, ensure_ascii=True).encode()
