"""Findings: what an approval asks to be put right afterwards, by whom and until when. Listed until closed."""

from datetime import date

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.reviews import Review


class FindingQuerySet(models.QuerySet["Finding"]):
    def open(self) -> "FindingQuerySet":
        """Not closed, of an approval that stands; the earliest due first."""
        return self.filter(closed_at=None, review__voided_at=None).order_by("due_on", "pk")

    def overdue(self, today: date) -> "FindingQuerySet":
        return self.open().filter(due_on__lt=today)


class Finding(models.Model):
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="findings")
    text = models.TextField(max_length=2000)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="findings")
    due_on = models.DateField()
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    closing_note = models.TextField(max_length=2000, blank=True)

    objects = FindingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(closed_at=None, closed_by=None)
                | (Q(closed_at__isnull=False, closed_by__isnull=False) & ~Q(closing_note="")),
                name="a_closed_finding_has_a_person_and_a_note",
            )
        ]
        indexes = [models.Index(fields=["due_on"], condition=Q(closed_at=None), name="finding_open")]

    def __str__(self) -> str:
        return f"finding {self.pk}"
