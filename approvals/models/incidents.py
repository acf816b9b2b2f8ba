"""Incidents: what was found changed in MLflow though no delivery made it. Written by `approvals.watch` alone."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from approvals.models.requests import PromotionRequest
from approvals.models.targets import Target


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> "IncidentQuerySet":
        return self.filter(resolved_at=None)


class Incident(models.Model):
    class Kind(models.TextChoices):
        MOVED = "moved", "Stage or alias changed"
        DELETED = "deleted", "Version deleted"
        EXCHANGED = "exchanged", "Another version under the same number"
        RENAMED = "renamed", "Model renamed"
        FILES = "files", "Model files changed"
        PROMPT = "prompt", "Marked as a prompt"
        HIDDEN = "hidden", "Hidden from MLflow's search"
        UNENFORCED = "unenforced", "Gate not enforced by MLflow"
        OPENED = "opened", "Gate opened in MLflow"

    BESIDE = (Kind.FILES, Kind.RENAMED, Kind.PROMPT, Kind.HIDDEN, Kind.UNENFORCED, Kind.OPENED)
    """Kinds that say nothing of which version holds the place."""

    class Response(models.TextChoices):
        """What the policy asked for when it was found."""

        REPORT = "report", "Reported"
        PUT_BACK = "put_back", "Reverted"
        REVIEW = "review", "Reviewed afterwards"

    class Resolution(models.TextChoices):
        EXPLAINED = "explained", "Resolved with a reason"
        PUT_BACK = "put_back", "Reverted by Countersign"
        REVIEWED = "reviewed", "Approved afterwards"
        UNDONE = "undone", "Changed back in MLflow"
        SUPERSEDED = "superseded", "Replaced by a promotion"

    kind = models.CharField(max_length=20, choices=Kind)
    model_name = models.CharField(max_length=256)
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="incidents")
    place = models.CharField(max_length=101, help_text='A stage ("Production") or an alias ("@champion").')
    before = models.JSONField(default=list, help_text="Numbers of the versions that held the place.")
    after = models.JSONField(default=list, help_text="Numbers of the versions that hold it.")
    details = models.JSONField(default=dict, help_text="What else was seen, by kind.")
    seen_at = models.DateTimeField(default=timezone.now, help_text="When MLflow said so.")
    not_before = models.DateTimeField(null=True, blank=True, help_text="When MLflow still said otherwise.")
    response = models.CharField(max_length=20, choices=Response)
    request = models.OneToOneField(
        PromotionRequest,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="incident",
        help_text="The review that was asked for afterwards.",
    )
    opened_sequence = models.BigIntegerField(help_text="Number of the event that records it.")

    # What is still owed to MLflow, in the manner of the outbox.
    is_owed = models.BooleanField(default=False, help_text="The last approved holder has to be put back.")
    available_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    claimed_by = models.CharField(max_length=120, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    resolution = models.CharField(max_length=20, choices=Resolution, blank=True)
    reason = models.TextField(blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        permissions = [("resolve_incident", "May resolve incidents")]
        constraints = [
            models.CheckConstraint(
                condition=Q(resolved_at=None, resolution="") | (Q(resolved_at__isnull=False) & ~Q(resolution="")),
                name="a_resolution_exactly_when_resolved",
            ),
        ]
        indexes = [
            models.Index(fields=["resolved_at", "-seen_at"], name="incident_by_state"),
            models.Index(fields=["model_name", "resolved_at"], name="incident_by_model"),
            models.Index(fields=["available_at"], condition=Q(is_owed=True), name="incident_owed"),
        ]

    def __str__(self) -> str:
        return f"incident #{self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("approvals:incident", args=[self.pk])

    @property
    def is_of_all_models(self) -> bool:
        """What it is about is no model."""
        return self.kind in (self.Kind.UNENFORCED, self.Kind.OPENED)

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None

    @property
    def approved(self) -> list[int]:
        """Numbers of the versions that held the place with somebody's approval before anybody went round the gate."""
        return list(self.details.get("approved", ()))


class WatchedPlace(models.Model):
    """A place that the watch knows: what was found there on its first look was held before the gate."""

    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="+")
    place = models.CharField(max_length=101)
    first_seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target", "place"], name="one_row_per_watched_place")]

    def __str__(self) -> str:
        return self.place


class WatchState(models.Model):  # noqa: DJ008 -- one row, shown nowhere by itself
    """Up to when the watch has compared MLflow with the tenures; one row."""

    looked_at = models.DateTimeField(null=True, help_text="When the watch last ran to its end.")
    stages_known_at = models.DateTimeField(null=True, help_text="MLflow was asked for stages then, and all was known.")
    aliases_known_at = models.DateTimeField(null=True, help_text="The same for aliases, which the sweep alone sees.")
    behind = models.JSONField(
        default=dict,
        help_text="Models passed over because a delivery was at them, each with the two times above as they were then.",
    )
    read_sequence = models.BigIntegerField(default=0, help_text="Promotions up to it were held against tenures.")
    witnessed_at = models.DateTimeField(
        null=True, help_text="Versions that MLflow changed up to then, by its clock, were held against the ledger."
    )
    running_until = models.DateTimeField(null=True, help_text="Lease of the look that runs now.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="there_is_one_watch_state")]
