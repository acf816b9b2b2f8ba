"""Ledgers that were cut off: an older backup was restored, and MLflow knows of what came after it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class LedgerCutQuerySet(models.QuerySet["LedgerCut"]):
    def open(self) -> "LedgerCutQuerySet":
        return self.filter(acknowledged_at=None)

    def settling(self) -> "LedgerCutQuerySet":
        """Acknowledged, and the watch has not looked at all of MLflow since."""
        return self.filter(acknowledged_at__isnull=False, settled_at=None)


class LedgerCut(models.Model):
    """Notes or tags in MLflow record events or requests beyond the ledger's end. While one is open, nothing is written
    to MLflow. Written by `approvals.ledger.cut`, acknowledged by `approvals.administration`."""

    found_at = models.DateTimeField(default=timezone.now)
    sequence = models.BigIntegerField(help_text="The ledger's end when it was found.")
    beyond_sequence = models.BigIntegerField(default=0, help_text="The last event that MLflow knows of; 0: none.")
    beyond_request = models.BigIntegerField(default=0, help_text="The highest number of a request; 0: none.")
    evidence = models.JSONField(default=list, help_text="Sentences, one for each of some versions.")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.TextField(blank=True)
    settled_at = models.DateTimeField(null=True, blank=True, help_text="The watch has taken what is there as it is.")

    objects = LedgerCutQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(models.Value(1), condition=Q(acknowledged_at=None), name="one_open_ledger_cut"),
        ]

    def __str__(self) -> str:
        return f"ledger cut off at {self.sequence}"
