"""Tenures: the span of time in which a version held a place of a target. Written by `approvals.tenures` alone."""

from datetime import datetime

from django.db import models
from django.db.models import F, Q

from approvals.models.requests import PromotionRequest
from approvals.models.targets import Target


class TenureQuerySet(models.QuerySet["Tenure"]):
    def open(self) -> "TenureQuerySet":
        return self.filter(ended_at=None)

    def at(self, moment: datetime) -> "TenureQuerySet":
        """Those that ran at `moment` (aware): begun by then, and not ended by then."""
        return self.filter(started_at__lte=moment).filter(Q(ended_at=None) | Q(ended_at__gt=moment))


class Tenure(models.Model):
    """Names and numbers instead of keys of the mirror: it outlives the model in MLflow, and an imported one may be of a
    model that was gone before. The target's MLflow stage and its alias are two places, each with tenures of its own,
    because MLflow lets anybody move one without the other."""

    class Origin(models.TextChoices):
        DELIVERY = "delivery", "Promoted through Countersign"
        RESTORED = "restored", "Reverted by Countersign"
        FOUND = "found", "Held before Countersign, approver unknown"
        OUTSIDE = "outside", "Changed outside Countersign"
        IMPORTED = "imported", "Imported from earlier records"

    class End(models.TextChoices):
        REPLACED = "replaced", "Replaced by a promotion"
        RESTORED = "restored", "Reverted by Countersign"
        OUTSIDE = "outside", "Changed outside Countersign"
        DELETED = "deleted", "Deleted in MLflow"
        RENAMED = "renamed", "The model was renamed in MLflow"
        RETIRED = "retired", "The target is no longer watched"
        IMPORTED = "imported", "Imported from earlier records"

    model_name = models.CharField(max_length=256)
    version_number = models.PositiveIntegerField()
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="tenures")
    place = models.CharField(max_length=101, help_text='A stage ("Production") or an alias ("@champion").')
    is_sole = models.BooleanField(default=True, help_text="Took the place for itself alone.")
    origin = models.CharField(max_length=20, choices=Origin)
    started_at = models.DateTimeField(help_text="When it began, or when that was seen.")
    started_after = models.DateTimeField(null=True, blank=True, help_text="Of what was found: it was not so then.")
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_after = models.DateTimeField(null=True, blank=True, help_text="Of an end that was found: it held then.")
    end = models.CharField(max_length=20, choices=End, blank=True)
    request = models.ForeignKey(
        PromotionRequest,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="tenures",
        help_text="Whose approvals it rests on; of one that began outside, given afterwards.",
    )
    start_sequence = models.BigIntegerField(null=True, blank=True, help_text="Number of the event that records it.")
    end_sequence = models.BigIntegerField(null=True, blank=True, help_text="Number of the event that records its end.")
    version_created_at = models.DateTimeField(
        null=True, blank=True, help_text="As MLflow has it; another one is another version under the same number."
    )
    files_digest = models.CharField(max_length=64, blank=True, help_text="Of the files that it is held to.")
    files_checked_at = models.DateTimeField(null=True, blank=True)
    requested_by = models.CharField(max_length=400, blank=True, help_text="Imported: as the records say.")
    approved_by = models.TextField(blank=True, help_text="Imported: as the records say.")
    note = models.TextField(blank=True, help_text="Imported: as the records say.")

    objects = TenureQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["model_name", "target", "place", "version_number"],
                condition=Q(ended_at=None),
                name="one_open_tenure_per_version_and_place",
            ),
            models.UniqueConstraint(
                fields=["model_name", "target", "place"],
                condition=Q(ended_at=None, is_sole=True),
                name="one_sole_holder_per_place",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None, end="") | (Q(ended_at__isnull=False) & ~Q(end="")),
                name="an_end_exactly_when_ended",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("started_at")), name="a_tenure_ends_after_it_began"
            ),
        ]
        indexes = [
            # With the version: whether one ever held a target is asked of fifty at a time.
            models.Index(fields=["model_name", "target", "started_at", "version_number"], name="tenure_by_model"),
            # With what the deliveries of a week are counted by.
            models.Index(fields=["started_at", "origin", "target", "place"], name="tenure_by_start"),
            models.Index(fields=["ended_at"], name="tenure_by_end"),
            models.Index(fields=["start_sequence"], name="tenure_by_event"),
            models.Index(fields=["end_sequence"], name="tenure_by_end_event"),
            models.Index(fields=["files_checked_at", "id"], condition=Q(ended_at=None), name="tenure_files_due"),
            # All that the overview counts and sorts by, so that it need not read the rows.
            models.Index(
                fields=["model_name", "target", "origin", "request", "started_at"],
                condition=Q(ended_at=None),
                name="tenure_running",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model_name} version {self.version_number} in {self.place}"

    @property
    def is_alias(self) -> bool:
        return self.place.startswith("@")
