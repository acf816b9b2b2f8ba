"""Probation: a promotion that is provisional until a person confirms it. Written by `approvals.workflow` alone."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from approvals.models.requests import PromotionRequest


class ProbationQuerySet(models.QuerySet["Probation"]):
    def running(self) -> "ProbationQuerySet":
        return self.filter(closed_at=None)


class Probation(models.Model):
    class Outcome(models.TextChoices):
        CONFIRMED = "confirmed", "Confirmed"
        ROLLED_BACK = "rolled_back", "Rolled back"
        STAYED = "stayed", "Not confirmed; there was nothing to roll back to"
        SUPERSEDED = "superseded", "Replaced before it ended"

    request = models.OneToOneField(PromotionRequest, on_delete=models.PROTECT, related_name="probation")
    started_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="Rolled back then, unless it was confirmed.")
    token = models.CharField(max_length=64, unique=True, help_text="Names it in the address for health reports.")
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome, blank=True)
    reason = models.TextField(blank=True, help_text="What the health report said, or the confirmation.")
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    rollback = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    objects = ProbationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(closed_at=None, outcome="") | (Q(closed_at__isnull=False) & ~Q(outcome="")),
                name="a_probation_has_an_outcome_exactly_when_closed",
            ),
        ]
        indexes = [models.Index(fields=["ends_at"], condition=Q(closed_at=None), name="probation_due")]

    def __str__(self) -> str:
        return f"probation of request #{self.request_id}"
