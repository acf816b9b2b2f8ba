"""Notifications: what people are owed because of what happened, how each of them wants it, and how far the ledger has
been read. Written by `approvals.notifications` alone."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from approvals.models.ledger import AuditEvent
from approvals.models.requests import UNDECIDED, PromotionRequest, Status
from mirror import clock


class Kind(models.TextChoices):
    """What a notification is about, as people choose it."""

    WAITS = "waits", "A request needs your review"
    ASKED = "asked", "You are asked by name to review"
    REMINDER = "reminder", "A reminder: a request still waits, or expires soon"
    ESCALATED = "escalated", "A request was escalated to your group"
    MENTIONED = "mentioned", "You are mentioned in a comment"
    COMMENTED = "commented", "A comment on a request that you take part in"
    DECIDED = "decided", "A decision on a request that you take part in"
    VOIDED = "voided", "The evidence changed, and your approval no longer counts"
    BLOCKED = "blocked", "Checks block your request"
    DELIVERED = "delivered", "A version reached its target in MLflow"
    FAILED = "failed", "A delivery failed, or waits for a freeze"
    EXPIRED = "expired", "A request expired"
    WITHDRAWN = "withdrawn", "A request was withdrawn"
    BREAK_GLASS = "break_glass", "An emergency promotion, or its overdue review"
    ROLLED_BACK = "rolled_back", "A target was rolled back"
    PROBATION = "probation", "A promotion on probation: begun, confirmed or ended"
    INCIDENT = "incident", "A change outside Countersign was found or resolved"
    FINDING = "finding", "A finding that you own: new, due, overdue or closed"
    REFUSED = "refused", "MLflow refused a change that you tried there"
    WEBHOOK = "webhook", "A webhook is paused because its receiver fails"


ASKING: dict[str, tuple[Status, ...]] = {
    Kind.WAITS: (Status.PENDING,),
    Kind.ASKED: (Status.PENDING,),
    Kind.ESCALATED: (Status.PENDING,),
    Kind.REMINDER: UNDECIDED,
    Kind.BLOCKED: UNDECIDED,
}
"""Kinds that ask for something, and in which states of the request it is still to be done."""


class How(models.TextChoices):
    NOW = "now", "Immediately"
    DIGEST = "digest", "In the daily digest"
    NEVER = "never", "Never"


class NotificationChoice(models.Model):
    """How a person wants one kind, where it is not the default."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notification_choices")
    kind = models.CharField(max_length=20, choices=Kind)
    how = models.CharField(max_length=10, choices=How)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "kind"], name="one_choice_per_person_and_kind")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.how}"


class DigestTime(models.Model):
    """When a person's daily digest is sent, where it is not the default."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="digest_time")
    hour = models.PositiveSmallIntegerField(help_text="0 to 23, on the clocks of the time zone.")
    time_zone = models.CharField(max_length=64, help_text="An IANA name, such as Europe/Berlin.")

    def __str__(self) -> str:
        return f"{self.hour}:00 {self.time_zone}"


LEASE = timedelta(minutes=5)
PATIENCE = timedelta(days=3)
LONGEST = timedelta(days=14)
"""After so long nothing is told any more, no matter whose fault it is that it was not."""


class NotificationQuerySet(models.QuerySet["Notification"]):
    def open(self) -> "NotificationQuerySet":
        """Neither sent nor given up."""
        return self.filter(sent_at=None, dropped_at=None)

    def due(self, now: datetime) -> "NotificationQuerySet":
        """Open, its time has come, and no worker holds it."""
        return (
            self.open().filter(due_at__lte=now).filter(Q(lease_expires_at=None) | Q(lease_expires_at__lte=now))
        )  # fmt: skip

    def with_subject(self) -> "NotificationQuerySet":
        """With everything that a mail names, in one query."""
        return self.select_related(
            "recipient", "event", "request__version__model", "request__target", "request__requester"
        )

    def unread(self) -> "NotificationQuerySet":
        """Not looked at yet, and still worth it: not what need not be told any more, nor what asks for something that
        a person has done by now."""
        needless = Q(dropped_at__isnull=False, is_undelivered=False)
        still_asks = ~Q(kind__in=list(ASKING))
        for kind, statuses in ASKING.items():
            still_asks |= Q(kind=kind, request__status__in=statuses)
        return self.filter(still_asks, read_at=None).exclude(needless)

    # --- Sending: for `approvals.notifications` alone

    def claim(self, *, by: str) -> "NotificationQuerySet":
        """Takes those of this queryset that are due, and returns them. One conditional UPDATE: what another worker
        took in the meantime is not among them."""
        now = clock.now()
        keys = list(self.values_list("pk", flat=True))
        Notification.objects.due(now).filter(pk__in=keys).update(claimed_by=by, lease_expires_at=now + LEASE)
        return Notification.objects.claimed(by)

    def claimed(self, by: str, rows: "Iterable[Notification] | None" = None) -> "NotificationQuerySet":
        """What this claim still holds; of `rows`, when the caller says which."""
        held = self.open().filter(claimed_by=by)
        return held if rows is None else held.filter(pk__in=[row.pk for row in rows])

    def mark_sent(self, *, message_id: str = "") -> int:
        """How many rows; `message_id` is that of the mail."""
        return self.update(
            sent_at=clock.now(),
            message_id=message_id,
            attempts=F("attempts") + 1,
            last_error="",
            claimed_by="",
            lease_expires_at=None,
        )

    def drop(self, reason: str, *, is_undelivered: bool = False) -> int:
        """Gives up. `is_undelivered`: not because it need not be told any more, but because it could not be."""
        return self.update(
            dropped_at=clock.now(),
            last_error=reason,
            is_undelivered=is_undelivered,
            claimed_by="",
            lease_expires_at=None,
        )

    def release(self, *, due_at: datetime | None = None) -> int:
        """Gives the claim back, untried."""
        later = {} if due_at is None else {"due_at": due_at}
        return self.update(claimed_by="", lease_expires_at=None, **later)

    def give_up_old(self) -> int:
        """Of these, what no one holds and could not be told for two weeks, because nothing was taken at all."""
        now = clock.now()
        free = self.open().filter(Q(lease_expires_at=None) | Q(lease_expires_at__lte=now))
        old = free.filter(created_at__lt=now - LONGEST)
        return old.drop(f"It could not be sent within {LONGEST.days} days.", is_undelivered=True)

    def put_off(self, reason: str, *, may_give_up: bool = True) -> None:
        """Tried without success: due again after a pause that doubles up to an hour, given up after three days."""
        now = clock.now()
        if may_give_up:
            self.filter(created_at__lt=now - PATIENCE).drop(reason, is_undelivered=True)
        for row in self:
            pause = min(timedelta(minutes=1) * 2 ** min(row.attempts, 10), timedelta(hours=1))
            self.filter(pk=row.pk).update(
                due_at=now + pause, attempts=row.attempts + 1, last_error=reason, claimed_by="", lease_expires_at=None
            )


class Notification(models.Model):
    """One thing that one person, or one chat, is told."""

    key = models.CharField(max_length=200, unique=True, help_text="Of what it follows from; no one is notified twice.")
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="notifications"
    )
    chat = models.CharField(max_length=16, blank=True, help_text="Which chat instead of a person: digest of its URL.")
    kind = models.CharField(max_length=20, choices=Kind)
    request = models.ForeignKey(
        PromotionRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="notifications"
    )
    event = models.ForeignKey(AuditEvent, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    title = models.CharField(max_length=400, help_text="One line: the subject of the mail.")
    text = models.TextField(blank=True, help_text="What happened, in one or a few sentences.")
    said = models.TextField(blank=True, help_text="What a person said with it.")
    is_digest = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now, help_text="Not before; moves on with the backoff.")
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)
    claimed_by = models.CharField(max_length=120, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    message_id = models.CharField(
        max_length=200, blank=True, help_text="Of the mail that told it; a mail may tell many."
    )
    sent_at = models.DateTimeField(null=True, blank=True)
    dropped_at = models.DateTimeField(null=True, blank=True, help_text="Given up; last_error says why.")
    is_undelivered = models.BooleanField(default=False, help_text="Dropped because it could not be sent.")
    read_at = models.DateTimeField(
        null=True, blank=True, help_text="On a page; whether the mail was read is not known."
    )

    objects = NotificationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(recipient__isnull=False, chat="") | (Q(recipient=None) & ~Q(chat="")),
                name="a_notification_is_for_a_person_or_a_chat",
            ),
            models.CheckConstraint(condition=Q(sent_at=None) | Q(dropped_at=None), name="what_is_sent_is_not_given_up"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(sent_at=None, dropped_at=None), name="notification_due"),
            models.Index(fields=["recipient", "-sent_at"], name="notification_sent"),
            models.Index(fields=["request", "kind"], name="notification_by_request"),
            models.Index(fields=["recipient"], condition=Q(read_at=None), name="notification_unread"),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def is_new(self) -> bool:
        """As `unread` has it; needs the request."""
        is_needless = self.dropped_at is not None and not self.is_undelivered
        statuses = ASKING.get(self.kind)
        is_done = statuses is not None and self.request is not None and self.request.status not in statuses
        return self.read_at is None and not is_needless and not is_done

    @property
    def url(self) -> str:
        """Where to look, as an address that a mail can have."""
        return f"{settings.SITE_URL}{self.path}"

    @property
    def path(self) -> str:
        """Where to look, on this site."""
        if self.kind == Kind.INCIDENT and self.event is not None:
            return reverse("approvals:incident", args=[self.event.data["incident"]])
        if self.kind == Kind.WEBHOOK and self.event is not None:
            return reverse("approvals:webhook", args=[self.event.data["webhook"]])
        if self.kind == Kind.REFUSED and self.event is not None:
            return reverse("approvals:ask", args=[self.event.model_name, self.event.version_number])
        return self.request.get_absolute_url() if self.request else "/"


class NotificationState(models.Model):
    """How far the ledger has been read, and how the mail server is. One row."""

    sequence = models.BigIntegerField(default=0, help_text="Of the last event that was read.")
    mail_paused_until = models.DateTimeField(null=True, blank=True, help_text="The mail server did not answer.")
    mail_failing_since = models.DateTimeField(null=True, blank=True)
    mail_failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    mail_error = models.TextField(blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="there_is_one_notification_state")]

    def __str__(self) -> str:
        return f"read up to event {self.sequence}"
