"""Who was asked by name to review a request: a person, or a group of one of its slots. Others may review all the same.
Written by `approvals.workflow` alone."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.requests import PromotionRequest


class NominationQuerySet(models.QuerySet["Nomination"]):
    def live(self) -> "NominationQuerySet":
        """Not taken back."""
        return self.filter(taken_back_at=None)


class Nomination(models.Model):
    request = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, related_name="nominations")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="nominations"
    )
    group = models.CharField(max_length=150, blank=True, help_text="Its name, instead of a person.")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    taken_back_at = models.DateTimeField(null=True, blank=True)

    objects = NominationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(person__isnull=False, group="") | (Q(person=None) & ~Q(group="")),
                name="a_nomination_is_of_a_person_or_a_group",
            ),
            models.UniqueConstraint(
                fields=["request", "person"],
                condition=Q(person__isnull=False, taken_back_at=None),
                name="one_nomination_per_person",
            ),
            models.UniqueConstraint(
                fields=["request", "group"],
                condition=~Q(group="") & Q(taken_back_at=None),
                name="one_nomination_per_group",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group or self.person_id} for request #{self.request_id}"
