"""The outbox: approved requests still owed to MLflow. The rows are the truth; the broker only says when to look."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from approvals.models.requests import PromotionRequest
from mirror import clock


class OutboxQuerySet(models.QuerySet["OutboxEntry"]):
    def open(self) -> "OutboxQuerySet":
        return self.filter(closed_at=None)

    def owed(self, now: datetime) -> "OutboxQuerySet":
        """Open, and neither held by a freeze nor behind one that is, unless it is urgent and overtakes it; the one that
        waits longest first."""
        held = Q(held_until__gt=now)
        behind = OutboxEntry.objects.filter(
            held, closed_at=None, model_name=OuterRef("model_name"), target_id=OuterRef("target_id")
        )
        since = Greatest("created_at", Coalesce("held_until", "created_at"))
        return self.open().filter(~Exists(behind) | Q(is_urgent=True)).order_by(since, "pk")

    def due(self, now: datetime) -> "OutboxQuerySet":
        """Owed now: open, its time has come, no one holds it, and no older entry of the same model and target is
        open. An urgent one overtakes those that a freeze holds, those that are partly delivered, and those whose
        approval can still be undone."""
        older = OutboxEntry.objects.filter(
            closed_at=None, model_name=OuterRef("model_name"), target_id=OuterRef("target_id"), pk__lt=OuterRef("pk")
        )
        moving = older.filter(Q(held_until=None) | Q(held_until__lte=now)).exclude(is_at_rest=True)
        moving = moving.exclude(attempts=0, available_at__gt=now)
        urgent = OutboxEntry.objects.filter(
            closed_at=None,
            is_urgent=True,
            model_name=OuterRef("model_name"),
            target_id=OuterRef("target_id"),
            pk__gt=OuterRef("pk"),
        )
        return (
            self._free(now)
            .filter(~Exists(older) | Q(~Exists(moving), is_urgent=True))
            .filter(Q(is_at_rest=False) | ~Exists(urgent))
        )

    def _free(self, now: datetime) -> "OutboxQuerySet":
        """Open, its time has come, and no one holds it."""
        free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
        return self.open().filter(free, available_at__lte=now)

    def claim(self, entry_id: int, *, by: str, lease: timedelta) -> "OutboxEntry | None":
        """Takes the entry for `lease`, or returns None: closed, not due, held by another worker, or not the oldest.

        One conditional UPDATE; its row count tells who won.
        """
        now = clock.now()
        taken = {"claimed_by": by, "lease_expires_at": now + lease, "attempts": models.F("attempts") + 1}
        # Where nothing else is open for its model and target, no order is to be kept, and less is asked.
        beside = OutboxEntry.objects.filter(
            closed_at=None, model_name=OuterRef("model_name"), target_id=OuterRef("target_id")
        )
        alone = self._free(now).exclude(Exists(beside.exclude(pk=OuterRef("pk"))))
        won = alone.filter(pk=entry_id).update(**taken) or self.due(now).filter(pk=entry_id).update(**taken)
        return self.get(pk=entry_id) if won else None


class OutboxEntry(models.Model):
    class Outcome(models.TextChoices):
        APPLIED = "applied"
        FAILED = "failed"
        REOPENED = "reopened"
        UNDONE = "undone"

    class Ending(models.TextChoices):
        """How a partial delivery ends that is not tried again."""

        ACCEPT = "accept", "Accept the partial delivery"
        REVERT = "revert", "Undo the partial delivery"

    request = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, related_name="outbox_entries")
    model_name = models.CharField(max_length=256)
    target = models.ForeignKey("approvals.Target", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    available_at = models.DateTimeField(default=timezone.now, help_text="Not before: it can be undone, or a pause.")
    attempts = models.PositiveIntegerField(default=0)
    claimed_by = models.CharField(max_length=120, blank=True, help_text="The claim's token: worker and claim.")
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    waiting_since = models.DateTimeField(null=True, blank=True, help_text="First time that MLflow did not answer.")
    last_error = models.TextField(blank=True)
    is_urgent = models.BooleanField(
        default=False, help_text="No freeze holds it: a rollback or an emergency promotion."
    )
    held_until = models.DateTimeField(null=True, blank=True, help_text="A freeze holds, or held, it until then.")
    held_by = models.CharField(max_length=80, blank=True, help_text="Name of the freeze.")
    half = models.JSONField(
        null=True,
        blank=True,
        help_text="Partly delivered: the event of each place reached, and what is missing.",
    )
    is_at_rest = models.BooleanField(
        default=False, help_text="Partly delivered, with tenures as MLflow has it: no attempt is under way."
    )
    ending = models.CharField(max_length=10, choices=Ending, blank=True, help_text="What a person decided of the half.")
    plan = models.JSONField(null=True, blank=True, help_text="What the first look found, before anything was written.")
    traceparent = models.CharField(
        max_length=60, default="", db_default="", blank=True, help_text="Of the click that approved: see tracing."
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome, blank=True)

    objects = OutboxQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request"], condition=Q(closed_at=None), name="one_open_entry_per_request"),
            models.CheckConstraint(
                condition=Q(closed_at=None, outcome="") | (Q(closed_at__isnull=False) & ~Q(outcome="")),
                name="an_outcome_exactly_when_closed",
            ),
        ]
        indexes = [
            models.Index(fields=["available_at"], condition=Q(closed_at=None), name="outbox_due"),
            models.Index(fields=["model_name", "target"], condition=Q(closed_at=None), name="outbox_order"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk} of request #{self.request_id}"

    @property
    def owed_since(self) -> datetime:
        """The time under a freeze does not count."""
        return max(self.created_at, self.held_until or self.created_at)

    @property
    def missing(self) -> list[str]:
        """What a partial delivery lacks, in words: `the alias @champion`."""
        return list((self.half or {}).get("missing", ()))

    @property
    def reached(self) -> list[str]:
        """The places that a partial delivery reached: `Production`, `@champion`."""
        return list((self.half or {}).get("places", ()))

    @property
    def is_held(self) -> bool:
        return self.held_until is not None and self.held_until > clock.now()

    @property
    def is_claimed(self) -> bool:
        return self.lease_expires_at is not None and self.lease_expires_at > clock.now()
