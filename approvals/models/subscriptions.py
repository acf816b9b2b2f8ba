"""How a person follows one request, where it is not the default. Written by `approvals.notifications` alone."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from approvals.models.notifications import Kind
from approvals.models.requests import PromotionRequest

MUTABLE = frozenset({Kind.COMMENTED, Kind.DECIDED, Kind.DELIVERED, Kind.EXPIRED, Kind.WITHDRAWN, Kind.ROLLED_BACK})
"""News: anyone who muted a request is not told. Everything else asks for something, and is told all the same."""

FOLLOWED = MUTABLE | {Kind.FAILED, Kind.PROBATION}
"""What everybody who follows a request is told of it."""


class Subscription(models.Model):
    request = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, related_name="subscriptions")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    is_muted = models.BooleanField(help_text="Else it is subscribed to.")
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "person"], name="one_subscription_per_person_and_request")
        ]

    def __str__(self) -> str:
        return f"{'mute' if self.is_muted else 'subscription'} of request #{self.request_id} by {self.person_id}"
