"""When a person who may decide first opened a request's page, with which evidence on it. Written by
`approvals.workflow` alone."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from approvals.models.requests import PromotionRequest


class Reading(models.Model):
    request = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, related_name="readings")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    fingerprint = models.CharField(max_length=64, help_text="Of the evidence that was on the page.")
    opened_at = models.DateTimeField(default=timezone.now, help_text="The first time.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["request", "person", "fingerprint"], name="one_reading_per_person_and_evidence"
            )
        ]

    def __str__(self) -> str:
        return f"reading of request #{self.request_id} by {self.person_id}"
