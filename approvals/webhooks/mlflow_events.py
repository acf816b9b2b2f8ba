"""MLflow's webhooks: an event that is signed names a model, and that model is read anew. Nothing else in it is
believed, so anyone who has the secret can make the worker read, and no more."""

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import structlog
from celery import current_app
from django.conf import settings

from approvals.checks import signing
from approvals.webhooks.reply import Reply, Verdict
from mirror import sync

logger = structlog.get_logger(__name__)

MOST_BYTES = 256 * 1024
WINDOW = timedelta(minutes=5)
"""How far MLflow's clock may be off, and how long a recorded call can be played again; it would only be read again."""


def receive(body: bytes, headers: Mapping[str, str], *, now: datetime) -> Reply:
    """Takes one call of a webhook; `headers` are the request's. Keeps the hint in the mirror and wakes the worker."""
    secret = settings.MLFLOW_WEBHOOK_SECRET
    if not secret:
        return Reply(Verdict.NOT_SET_UP, "COUNTERSIGN_MLFLOW_WEBHOOK_SECRET is not set, so no event can be verified.")
    if problem := _unsigned(body, headers, secret, now):
        return Reply(Verdict.UNSIGNED, problem)
    try:
        data = json.loads(body).get("data")
        name = data.get("name") if isinstance(data, dict) else None
    except (ValueError, AttributeError):
        return Reply(Verdict.UNREADABLE, "The event is not a JSON object.")
    if not isinstance(name, str) or not 0 < len(name) <= 256 or "\0" in name:
        return Reply(Verdict.TAKEN, "The event names no model; there is nothing to read.")
    read_anew(name)
    return Reply(Verdict.TAKEN, "The model will be read anew.")


def signature(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """As MLflow signs: `v1,` and the base64 of HMAC-SHA256 over `<delivery id>.<timestamp>.<body>`."""
    return "v1," + signing.digest(secret.encode(), delivery_id, timestamp, body)


def _unsigned(body: bytes, headers: Mapping[str, str], secret: str, now: datetime) -> str:
    """Why the call cannot be believed, as a sentence; "" when it can."""
    given = headers.get("X-MLflow-Signature", "")
    delivery_id, timestamp = headers.get("X-MLflow-Delivery-Id", ""), headers.get("X-MLflow-Timestamp", "")
    if not (given and delivery_id and timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return "The call is not signed as MLflow signs."
    if not hmac.compare_digest(signature(secret, delivery_id, timestamp, body).encode(), given.encode()):
        return "The signature does not fit the secret."
    if abs(now - datetime.fromtimestamp(int(timestamp), UTC)) > WINDOW:
        return "The call is more than five minutes old, or the clocks differ."
    return ""


def read_anew(name: str) -> None:
    """Leaves word that this model is to be read, and wakes the worker. Any name may be given: MLflow is asked."""
    sync.hint(name)
    try:
        current_app.send_task("mirror.follow_hints", expires=60)
    except Exception as error:  # whatever the broker's library raises: the hint is in the database
        logger.warning("broker.unreachable", task="mirror.follow_hints", error=str(error))
