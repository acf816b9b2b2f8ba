"""What machines do with a request before review: the inspection that is owed, and the checks' results."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.requests import PromotionRequest
from mirror import clock


class AssessmentQuerySet(models.QuerySet["Assessment"]):
    def due(self, now: datetime) -> "AssessmentQuerySet":
        """Owed now, and no one is at it."""
        free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
        return self.filter(free, is_owed=True, due_at__lte=now)

    def claim(self, request_id: int, *, by: str, lease: timedelta) -> "Assessment | None":
        """Takes it for `lease`, or returns None; one conditional UPDATE, whose row count tells who won."""
        now = clock.now()
        won = (
            self.due(now)
            .filter(request_id=request_id)
            .update(
                claimed_by=by,
                lease_expires_at=now + lease,
                attempts=models.F("attempts") + 1,
                failures=models.F("failures") + 1,  # until it ends in any way that is known
            )
        )
        return self.get(request_id=request_id) if won else None

    def owe(self, request: PromotionRequest) -> None:
        """The worker has to look (again), at once; the worker that is at it now concludes without success."""
        fields = {"is_owed": True, "due_at": clock.now(), "attempts": 0, "failures": 0}
        fields |= {"claimed_by": "", "lease_expires_at": None}
        self.update_or_create(request=request, defaults={**fields, "waiting_since": None, "last_error": ""})


class Assessment(models.Model):
    """One per request: whether the worker still owes it a look at the files, and why it waits."""

    request = models.OneToOneField(PromotionRequest, on_delete=models.PROTECT, related_name="assessment")
    is_owed = models.BooleanField(default=True)
    due_at = models.DateTimeField(default=timezone.now, help_text="Not before; moves on with the backoff.")
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(
        default=0, help_text="Tries in a row that ended in an error of our own, or not at all."
    )
    claimed_by = models.CharField(max_length=120, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    waiting_since = models.DateTimeField(null=True, blank=True, help_text="First time that it could not be done.")
    last_error = models.TextField(blank=True)
    concluded_at = models.DateTimeField(null=True, blank=True, help_text="When the checks last came to an end.")

    objects = AssessmentQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(is_owed=True), name="assessment_due")]

    def __str__(self) -> str:
        return f"assessment of request #{self.request_id}"


class Outcome(models.TextChoices):
    PASS = "pass", "Passed"
    WARN = "warn", "Warning"
    FAIL = "fail", "Failed"
    WAITING = "waiting", "Waiting for an answer"


class CheckResultQuerySet(models.QuerySet["CheckResult"]):
    def live(self) -> "CheckResultQuerySet":
        return self.filter(replaced_at=None)

    def blocking(self) -> "CheckResultQuerySet":
        """Live ones that failed, block, and that no one overrode."""
        return self.live().filter(outcome=Outcome.FAIL, effect="block", overridden_at=None)


class CheckResult(models.Model):
    """What one check said about one state of the evidence. Replaced, never changed, when the evidence is another."""

    request = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, related_name="checks")
    key = models.CharField(max_length=300, help_text="Unique within a rule: kind and what it looks at.")
    position = models.PositiveSmallIntegerField(default=0)
    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=300)
    effect = models.CharField(max_length=10, choices=[("block", "Blocks"), ("warn", "Warns"), ("inform", "Informs")])
    outcome = models.CharField(max_length=10, choices=Outcome)
    reason = models.TextField()
    terms = models.JSONField(default=dict, help_text="The check's settings, as the rule states them.")
    fingerprint = models.CharField(max_length=64, help_text="Of the evidence it looked at.")
    checked_at = models.DateTimeField(default=timezone.now)
    replaced_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it is what applies now.")

    overridden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    overridden_at = models.DateTimeField(null=True, blank=True)
    override_reason = models.TextField(max_length=4000, blank=True)

    # External checks alone.
    token = models.CharField(max_length=64, blank=True, help_text="Names the answer's address; random.")
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    called_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)

    objects = CheckResultQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["request", "key"], condition=Q(replaced_at=None), name="one_live_result_per_check"
            ),
            models.UniqueConstraint(fields=["token"], condition=~Q(token=""), name="one_result_per_token"),
            models.CheckConstraint(
                condition=Q(overridden_at=None, overridden_by=None)
                | (Q(overridden_at__isnull=False, overridden_by__isnull=False) & ~Q(override_reason="")),
                name="an_override_has_a_person_and_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["request", "position"], name="check_by_request"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(outcome="waiting", replaced_at=None),
                name="check_waiting",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title}: {self.get_outcome_display()}"

    @property
    def blocks(self) -> bool:
        return self.outcome == Outcome.FAIL and self.effect == "block" and self.overridden_at is None

    @property
    def is_unanswered(self) -> bool:
        """It still waited when its request closed: no one calls it any more, and an answer changes nothing."""
        return self.outcome == Outcome.WAITING and not self.request.is_open
