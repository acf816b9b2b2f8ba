"""Reviews: one person's verdict on one request, signed over the fingerprint of the evidence."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from approvals.models.requests import PromotionRequest
from approvals.policy.rules import Meaning


class Verdict(models.TextChoices):
    APPROVE = "approve", "Approved"
    REJECT = "reject", "Rejected"
    REQUEST_CHANGES = "request_changes", "Requested changes"


class ReviewQuerySet(models.QuerySet["Review"]):
    def live(self) -> "ReviewQuerySet":
        return self.filter(voided_at=None)


class Review(models.Model):
    request = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Copied for the constraint below.",
    )
    verdict = models.CharField(max_length=20, choices=Verdict)
    comment = models.TextField(max_length=4000, blank=True)
    fingerprint = models.CharField(max_length=64, help_text="Of the evidence that was on the screen.")
    parts = models.JSONField(default=dict, help_text="Digest of each part of it: see evidence.part_digests.")
    meaning = models.CharField(max_length=20, blank=True, choices=[(each, each.capitalize()) for each in Meaning])
    signed_name = models.CharField(max_length=400, blank=True, help_text="The signer's printed name, as it was then.")
    signed_with = models.CharField(max_length=40, blank=True, help_text="How they proved who they are, where asked.")
    proof_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    voided_at = models.DateTimeField(null=True, blank=True)
    void_reason = models.TextField(blank=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(reviewer=F("requester")), name="nobody_reviews_their_own_request"),
            models.CheckConstraint(
                condition=Q(verdict=Verdict.APPROVE) | ~Q(comment=""), name="a_refusal_carries_a_comment"
            ),
            models.UniqueConstraint(
                fields=["request", "reviewer"],
                condition=Q(voided_at=None),
                name="one_live_review_per_person_and_request",
            ),
        ]
        indexes = [models.Index(fields=["request", "created_at"], name="review_by_request")]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} by {self.reviewer_id}"
