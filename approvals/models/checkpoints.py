"""Signed heads of the ledger, and what its verifications said. Written by `approvals.administration` alone."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Checkpoint(models.Model):
    """The ledger's head as it was once, signed. The copy that counts is the one that a person keeps elsewhere."""

    number = models.PositiveIntegerField(primary_key=True, help_text="1, 2, 3, … without a gap.")
    sequence = models.BigIntegerField(help_text="Number of the last event; 0 before the first.")
    hash = models.CharField(max_length=64, help_text="Of that event.")
    at = models.DateTimeField()
    key = models.CharField(max_length=400, help_text="The public key: name+id+base64.")
    text = models.TextField(help_text="The signed note, as it is kept elsewhere.")

    class Meta:
        permissions = [("sign_checkpoint", "May have the ledger's head signed")]
        indexes = [models.Index(fields=["sequence"], name="checkpoint_by_event")]

    def __str__(self) -> str:
        return f"checkpoint {self.number}"


class SigningQuerySet(models.QuerySet["Signing"]):
    def current(self) -> "Signing":
        """The one row; an unsaved one before a worker first looked."""
        return self.select_related("wanted_by").filter(pk=1).first() or Signing(pk=1)


class Signing(models.Model):
    """What is asked of the key that signs checkpoints, which the worker has and the web process has not; one row."""

    key = models.CharField(max_length=400, blank=True, help_text="The public key, as the worker says; empty: none.")
    wanted_at = models.DateTimeField(null=True, blank=True, help_text="Since when a person wants the head signed.")
    wanted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    problem = models.TextField(blank=True, help_text="Why what was wanted last was not signed, as a sentence.")

    objects = SigningQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="there_is_one_signing")]

    def __str__(self) -> str:
        return "signing wanted" if self.wanted_at else "nothing to sign"


SILENT = timedelta(minutes=10)
"""Without a sign of life for so long, a verification's worker is taken for dead."""


class VerificationQuerySet(models.QuerySet["Verification"]):
    def open(self) -> "VerificationQuerySet":
        return self.filter(ended_at=None)

    def done(self) -> "VerificationQuerySet":
        return self.exclude(ended_at=None).order_by("-pk")


class Verification(models.Model):
    """One run of `ledger.verify` by the worker, asked for or on schedule."""

    asked_at = models.DateTimeField(default=timezone.now)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    seen_at = models.DateTimeField(null=True, blank=True, help_text="The worker's last sign of life; empty: not begun.")
    ended_at = models.DateTimeField(null=True, blank=True)
    events = models.BigIntegerField(default=0, help_text="Verified so far, or in the end.")
    doing = models.CharField(max_length=60, blank=True, help_text="What it looks at now.")
    head = models.CharField(max_length=64, blank=True, help_text="Hash of the last event that was verified.")
    was_in_database = models.BooleanField(
        default=False,
        db_default=False,  # for a process of 0.6 that does not know it
        help_text="The database hashed the chain, and Countersign a sample of it; else Countersign did.",
    )
    problem = models.TextField(blank=True)
    remarks = models.TextField(blank=True, help_text="What could not be held against anything, one sentence per line.")
    first_bad = models.BigIntegerField(null=True, blank=True)

    objects = VerificationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(models.Value(1), condition=Q(ended_at=None), name="one_verification_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"verification {self.pk}"

    @property
    def is_intact(self) -> bool:
        return self.ended_at is not None and not self.problem

    @property
    def way(self) -> str:
        """A sentence on who computed the hashes."""
        if self.was_in_database:
            return "PostgreSQL computed the hashes; Countersign computed a sample of them."
        return "Countersign computed every hash."
