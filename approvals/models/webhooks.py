"""Outgoing webhooks: who is sent which events of the ledger, how far each has come, and a log of what was tried. The
ledger itself is the outbox. Changed by `approvals.administration`, moved on by `approvals.webhooks_out`."""

import hashlib
import uuid
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q, Subquery, Value
from django.urls import reverse
from django.utils import timezone

from approvals.models.event_types import WEBHOOKS
from approvals.models.ledger import ChainHead

PER_EVENT = 8
"""Positions of one event: more than it makes messages."""


def before(sequence: int) -> int:
    """The position before the first message of this event."""
    return sequence * PER_EVENT - 1


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def current(self) -> "WebhookQuerySet":
        return self.filter(retired_at=None)

    def due(self, now: datetime) -> "WebhookQuerySet":
        """Running and behind the ledger's end, its time has come, and no worker holds it."""
        head = ChainHead.objects.filter(pk=1).values("sequence")[:1]
        return (
            self.current()
            .filter(Q(lease_expires_at=None) | Q(lease_expires_at__lte=now), paused_at=None, next_attempt_at__lte=now)
            .filter(done__lt=Subquery(head) * PER_EVENT + (PER_EVENT - 1))
        )


class Webhook(models.Model):
    """One receiver. Messages go out one after the other, in the ledger's order."""

    name = models.CharField(max_length=80, validators=[RegexValidator(r"\S", "Give the webhook a name.")])
    url = models.CharField(max_length=2000, help_text="May be a secret, as those of chats are: shown to who edits it.")
    types = models.JSONField(default=list, help_text="Of WEBHOOKS: what it is sent.")
    model_pattern = models.CharField(
        max_length=256,
        default="*",
        validators=[RegexValidator(r"\S", "Enter a model name, or a pattern such as churn_*.")],
    )
    databricks_events = models.JSONField(
        default=list,
        db_default=Value([], models.JSONField()),
        blank=True,
        help_text="Of a Databricks client: what it is sent, in Databricks' format. Empty: Standard Webhooks.",
    )
    given_secret = models.TextField(
        default="",
        db_default="",
        blank=True,
        help_text="What a Databricks client gave to sign with, encrypted under the installation's secret key.",
    )
    key = models.UUIDField(default=uuid.uuid4, unique=True, help_text="What its secrets are derived from.")
    secret_number = models.PositiveIntegerField(default=1)
    previous_until = models.DateTimeField(null=True, blank=True, help_text="Until then the secret before signs too.")
    created_at = models.DateTimeField(auto_now_add=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_because = models.CharField(max_length=500, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    done = models.BigIntegerField(default=0, help_text="Position of the last message that was taken or not wanted.")
    attempts = models.PositiveIntegerField(default=0, help_text="Failed, of the message that is next.")
    failing_since = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_by = models.CharField(max_length=120, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        permissions = [("manage_webhooks", "May manage webhooks")]
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(retired_at=None),
                name="one_webhook_of_a_name",
                violation_error_message="There is already a webhook with this name.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("approvals:webhook", args=[self.pk])

    @property
    def address(self) -> str:
        """`https://hooks.example.com/…`: without what may be secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/" + ("…" if parts.path.strip("/") or parts.query else "")

    @property
    def next_sequence(self) -> int:
        """Of the first event of which not everything is done."""
        return (self.done + 1) // PER_EVENT

    @property
    def wanted(self) -> list[str]:
        """Types that it is sent, in their order."""
        return [each for each in WEBHOOKS if each in self.types]

    def as_json(self) -> dict[str, Any]:
        """As plain data, for the ledger: of the address no more than may be read by everybody."""
        return {
            "name": self.name,
            "address": self.address,
            "address_digest": digest_of(self.url),
            "types": self.wanted,
            "model_pattern": self.model_pattern,
            **({"databricks_events": self.databricks_events} if self.databricks_events else {}),
            **({"secret_digest": digest_of(self.given_secret)} if self.given_secret else {}),
        }


class AttemptQuerySet(models.QuerySet["WebhookAttempt"]):
    def asked(self, now: datetime) -> "AttemptQuerySet":
        """Asked for by a person, not made yet, and not in a worker's hands."""
        free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
        return self.filter(free, at=None, webhook__retired_at=None)


class WebhookAttempt(models.Model):
    """One message sent once. Rows without a time are what a person asked for: a test, or a message once more."""

    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, related_name="log")
    message_id = models.CharField(max_length=80, help_text="webhook-id: the same whenever the message is sent.")
    type = models.CharField(max_length=40)
    position = models.BigIntegerField(null=True, blank=True, help_text="None: a test.")
    number = models.PositiveIntegerField(default=1, help_text="Of the attempts on this message; 0: asked for.")
    created_at = models.DateTimeField(default=timezone.now)
    at = models.DateTimeField(null=True, blank=True, help_text="When it was sent.")
    is_taken = models.BooleanField(default=False)
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Of the answer over HTTP.")
    milliseconds = models.PositiveIntegerField(null=True, blank=True)
    problem = models.CharField(max_length=500, blank=True)
    answer = models.CharField(max_length=200, blank=True, help_text="How the answer begins.")
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["webhook", "-id"], name="webhook_log"),
            models.Index(fields=["created_at"], name="webhook_log_by_time"),
            models.Index(fields=["id"], condition=Q(at=None), name="webhook_asked"),
        ]

    def __str__(self) -> str:
        return f"{self.message_id}, attempt {self.number}"

    @property
    def sequence(self) -> int | None:
        """Of the event; None of a test."""
        return None if self.position is None else self.position // PER_EVENT
