"""Promotion requests, their legal moves, and the discussion under them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from approvals.models.targets import Target
from components import addresses
from mirror.models import ModelVersion


class Status(models.TextChoices):
    CHECKING = "checking", "In checks"
    PENDING = "pending", "Waiting for review"
    CHANGES_REQUESTED = "changes_requested", "Changes requested"
    APPROVED = "approved", "Approved, not yet in MLflow"
    APPLIED = "applied", "Applied"
    FAILED = "failed", "Delivery failed"
    REJECTED = "rejected", "Rejected"
    WITHDRAWN = "withdrawn", "Withdrawn"
    EXPIRED = "expired", "Expired"


S = Status
MOVES: dict[Status, frozenset[Status]] = {
    # to: from
    S.CHECKING: frozenset({S.CHECKING, S.PENDING, S.CHANGES_REQUESTED, S.FAILED, S.APPROVED}),
    S.PENDING: frozenset({S.CHECKING, S.APPROVED, S.REJECTED, S.CHANGES_REQUESTED}),  # the last three: undone
    S.CHANGES_REQUESTED: frozenset({S.PENDING}),
    S.APPROVED: frozenset({S.PENDING, S.FAILED}),
    S.APPLIED: frozenset({S.APPROVED}),
    S.FAILED: frozenset({S.APPROVED}),
    S.REJECTED: frozenset({S.PENDING}),
    S.WITHDRAWN: frozenset({S.CHECKING, S.PENDING, S.CHANGES_REQUESTED, S.APPROVED, S.FAILED}),
    S.EXPIRED: frozenset({S.CHECKING, S.PENDING, S.CHANGES_REQUESTED}),
}
UNDECIDED = (S.CHECKING, S.PENDING, S.CHANGES_REQUESTED)
OPEN = (*UNDECIDED, S.APPROVED, S.FAILED)
CLOSED = tuple(status for status in Status if status not in OPEN)
DECIDED = (S.APPROVED, S.APPLIED, S.FAILED, S.REJECTED)
"""Statuses in which reviewers have said their last word; `decided_at` is set in exactly these."""


class RequestKind(models.TextChoices):
    PROMOTION = "promotion", "Promotion"
    ROLLBACK = "rollback", "Rollback"
    BREAK_GLASS = "break_glass", "Emergency promotion"
    RETROACTIVE = "retroactive", "Review afterwards"


URGENT = (RequestKind.ROLLBACK, RequestKind.BREAK_GLASS)
"""Kinds that no freeze holds: they put something right that is wrong now."""


class AfterVerdict(models.TextChoices):
    """What a reviewer says of a break-glass promotion afterwards."""

    JUSTIFIED = "justified", "Justified"
    NOT_JUSTIFIED = "not_justified", "Not justified"


class RequestQuerySet(models.QuerySet["PromotionRequest"]):
    def open(self) -> "RequestQuerySet":
        return self.filter(status__in=OPEN)

    def owing_review(self) -> "RequestQuerySet":
        """Break-glass promotions that nobody has reviewed afterwards."""
        return self.filter(kind=RequestKind.BREAK_GLASS, afterwards_at=None)

    def with_subject(self) -> "RequestQuerySet":
        """With everything that a row on a page names, in one query."""
        return self.select_related("version__model", "target", "requester", "owner", "champion")

    def move(self, to: Status, *, sources: Iterable[Status] | None = None, **fields: Any) -> int:
        """The one writer of `status`: one UPDATE that filters on the legal sources.

        Returns how many rows moved: 0 means that somebody else was faster or that the move is not legal from here.
        `sources` narrows the legal sources, never widens them. Stamps decided_at and closed_at as the status demands.
        """
        now = timezone.now()
        if to in DECIDED:
            fields.setdefault("decided_at", F("decided_at") if to in (S.APPLIED, S.FAILED) else now)
        else:
            fields["decided_at"] = None
        fields["closed_at"] = now if to in CLOSED else None
        legal = MOVES[to] if sources is None else MOVES[to] & set(sources)
        return self.filter(status__in=legal).update(status=to, **fields)


class PromotionRequest(models.Model):
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="requests")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="requests")
    kind = models.CharField(max_length=20, choices=RequestKind, default=RequestKind.PROMOTION)
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="requests")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Answered for the service account that asked, when it asked.",
    )
    justification = models.TextField(max_length=4000)
    status = models.CharField(max_length=20, choices=Status, default=Status.CHECKING)
    status_reason = models.TextField(blank=True, help_text="Why it is failed, rejected, withdrawn, or back in review.")
    rule = models.JSONField(help_text="The policy as it stood: see policy.Rule.")
    evidence = models.TextField(help_text="Canonical JSON of what is decided on: see evidence.freeze.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the evidence, hexadecimal.")
    parts = models.JSONField(default=dict, help_text="Digest of each part of the evidence: see evidence.part_digests.")
    champion = models.ForeignKey(
        ModelVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Held the target then.",
    )
    waits_for = models.TextField(
        blank=True, help_text="Groups whose approval is missing, `|risk|*|`; * is any reviewer."
    )
    correlation_id = models.UUIDField(help_text="Is on every event and log line of this request.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    afterwards_due_at = models.DateTimeField(
        null=True, blank=True, help_text="Of an emergency promotion: to be reviewed until then."
    )
    afterwards_at = models.DateTimeField(null=True, blank=True)
    afterwards_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    afterwards_verdict = models.CharField(max_length=20, choices=AfterVerdict, blank=True)
    afterwards_comment = models.TextField(blank=True)

    objects = RequestQuerySet.as_manager()

    class Meta:
        permissions = [
            ("request_promotion", "May ask for promotions"),
            ("review_promotion", "May approve or reject other people's requests"),
            ("retry_delivery", "May retry a failed delivery"),
            ("comment_on_request", "May take part in the discussion"),
            ("manage_policies", "May change targets and policies"),
            ("override_check", "May override a failed check"),
            ("roll_back", "May roll back without another's approval"),
            ("break_glass", "May promote without approvals in an emergency"),
            ("import_history", "May import earlier history"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "target"],
                condition=Q(status__in=OPEN),
                name="one_open_request_per_version_and_target",
            ),
            models.CheckConstraint(
                condition=Q(status__in=DECIDED, decided_at__isnull=False)
                | (~Q(status__in=DECIDED) & Q(decided_at__isnull=True)),
                name="decided_exactly_when_the_status_says_so",
            ),
            models.CheckConstraint(
                condition=Q(status__in=CLOSED, closed_at__isnull=False)
                | (~Q(status__in=CLOSED) & Q(closed_at__isnull=True)),
                name="closed_exactly_when_the_status_says_so",
            ),
            models.CheckConstraint(
                condition=Q(kind=RequestKind.BREAK_GLASS, afterwards_due_at__isnull=False)
                | (~Q(kind=RequestKind.BREAK_GLASS) & Q(afterwards_due_at=None)),
                name="reviewed_afterwards_exactly_when_glass_was_broken",
            ),
            models.CheckConstraint(
                condition=Q(afterwards_by=None) | ~Q(afterwards_by=F("requester")),
                name="nobody_reviews_their_own_break_glass",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "created_at"], name="request_by_status"),
            models.Index(fields=["-closed_at"], name="request_by_end"),
            models.Index(fields=["requester", "status"], name="request_by_person"),
            models.Index(
                fields=["afterwards_due_at"],
                condition=Q(kind=RequestKind.BREAK_GLASS, afterwards_at=None),
                name="request_owes_a_review",
            ),
            models.Index(
                fields=["afterwards_verdict"],
                condition=Q(kind=RequestKind.BREAK_GLASS),
                name="request_of_an_emergency",
            ),
            models.Index(
                fields=["kind", "id"], condition=Q(kind__in=[str(kind) for kind in URGENT]), name="request_urgent"
            ),
        ]

    def __str__(self) -> str:
        return f"request #{self.pk}"

    def get_absolute_url(self) -> str:
        return addresses.reverse("approvals:request", self.pk)

    @property
    def asked_by(self) -> frozenset[int]:
        """Ids of those who count as the requester: who asked, and who answers for that service account, then or now."""
        return self.requester.asks_as | frozenset({self.owner_id} if self.owner_id else ())

    @property
    def replaces(self) -> ModelVersion | None:
        """What held the target when this was asked, unless that is the version itself."""
        return self.champion if self.champion_id != self.version_id else None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_urgent(self) -> bool:
        return self.kind in URGENT

    @property
    def is_break_glass(self) -> bool:
        return self.kind == RequestKind.BREAK_GLASS

    @property
    def is_rollback(self) -> bool:
        return self.kind == RequestKind.ROLLBACK

    @property
    def owes_review(self) -> bool:
        return self.is_break_glass and self.afterwards_at is None

    @property
    def is_review_overdue(self) -> bool:
        return self.owes_review and self.afterwards_due_at is not None and self.afterwards_due_at <= timezone.now()

    def is_overdue(self, now: datetime) -> bool:
        return self.status in UNDECIDED and now >= self.expires_at


class Comment(models.Model):
    request = models.ForeignKey(PromotionRequest, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    body = models.TextField(max_length=4000)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["request", "created_at"], name="comment_by_request")]

    def __str__(self) -> str:
        return f"comment on request #{self.request_id}"
