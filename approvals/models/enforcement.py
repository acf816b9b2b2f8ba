"""What MLflow's own gate is told, and what it tells: the signed policy, the folders that it seals, and how often it
refused what. Written by `approvals.enforcement` alone."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.ledger import AuditEvent
from mirror.models import ModelVersion


class PolicyFeedManager(models.Manager["PolicyFeed"]):
    def current(self) -> "PolicyFeed":
        """The one row; an unsaved one before the worker first looked."""
        return self.filter(pk=1).first() or PolicyFeed(pk=1)


class PolicyFeed(models.Model):
    """The policy as MLflow's gate fetches it; one row. Signed by the worker, handed out by the web process, which
    has no key."""

    serial = models.BigIntegerField(default=0, help_text="Rises with every change, and never falls: see feed.")
    text = models.TextField(blank=True, help_text="The very bytes that are signed, as UTF-8.")
    signature = models.CharField(max_length=120, blank=True)
    key = models.CharField(max_length=60, blank=True, help_text="The public key that it is signed with, in base64.")
    issued_at = models.DateTimeField(null=True, blank=True)
    problem = models.TextField(blank=True, help_text="Why the worker could not sign lately, as a sentence.")
    fetched_at = models.DateTimeField(null=True, blank=True, help_text="When an MLflow last asked for it.")

    objects = PolicyFeedManager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="there_is_one_policy_feed")]

    def __str__(self) -> str:
        return f"policy {self.serial}"

    @property
    def tag(self) -> str:
        """The `ETag` of the text."""
        return f'"{self.signature}"'

    @property
    def why_none(self) -> str:
        """Why there is no text, as a sentence; "" where there is one."""
        missing = self.problem or "The worker has not signed a policy yet; it needs COUNTERSIGN_GATE_KEY."
        return "" if self.text else missing


class SealedFolder(models.Model):
    """Where a version's files lie below what MLflow serves, as it once said: such an address does not change."""

    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="sealed_folder")
    source = models.TextField(help_text="Of the version; another one is another version under the same number.")
    folder = models.TextField(blank=True, help_text="`1/models/m-7e81/artifacts`; empty: MLflow does not serve them.")

    def __str__(self) -> str:
        return self.folder


class Refusal(models.Model):
    """How often MLflow refused one person one thing within a short time. What it was is in the event, names and all."""

    event = models.OneToOneField(AuditEvent, on_delete=models.PROTECT, related_name="refusal")
    key = models.CharField(max_length=64, help_text="Of who, what and where; without the secret it names no one.")
    times = models.PositiveIntegerField(default=1)
    last_at = models.DateTimeField(default=timezone.now)
    messages = models.JSONField(default=list, help_text="Ids of what MLflow sent: the same one is counted once.")

    class Meta:
        indexes = [models.Index(fields=["key", "-last_at"], name="refusal_by_key")]

    def __str__(self) -> str:
        return f"{self.times} × event {self.event_id}"
