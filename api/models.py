"""What the API itself remembers: answers that are given again to who sends the same twice."""

from django.db import models
from django.utils import timezone

from accounts.models import User


class SentOnce(models.Model):
    """One request with an `Idempotency-Key`. Of a person rather than a token: a pipeline that is run again comes with
    another token."""

    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of method, address and body.")
    begun_at = models.DateTimeField(default=timezone.now)
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty while it runs.")
    body = models.TextField(blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "key"], name="one_answer_per_key")]
        indexes = [models.Index(fields=["begun_at"], name="sent_once_by_age")]

    def __str__(self) -> str:
        return f"sent once {self.pk}"
