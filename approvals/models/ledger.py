"""The ledger's rows: append-only by trigger, hash-chained from the first. Written by `approvals.ledger.record`
alone."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse

from approvals.models import identities
from approvals.models.event_types import Action
from approvals.models.requests import PromotionRequest

RECORD_CHANGES = (
    Action.VERSION_PROMOTED,
    Action.DELIVERY_HALFWAY,
    Action.VERSION_RESTORED,
    Action.TENURE_FOUND,
    Action.INCIDENT_OPENED,
    Action.INCIDENT_RESOLVED,
    Action.GLASS_BROKEN,
)
"""Events with which something took or left a target; an audit of everything reads each, so they have an index."""


class EventQuerySet(models.QuerySet["AuditEvent"]):
    def _fetch_all(self) -> None:
        """Events that are read together look up the names behind their tokens together, with the first one that is
        shown: no list can forget to, and no page needs a query per row. (`iterator` keeps nothing: see
        `read_together`.)"""
        is_new = self._result_cache is None
        super()._fetch_all()
        found: Any = self._result_cache
        if is_new and found and isinstance(found[0], AuditEvent):
            read_together(found)


class AuditEvent(models.Model):
    """People stand in the stored columns as tokens (`ledger.pseudonyms`), and the hash covers those. `actor_label`,
    `allowed_by` and `data` are for reading: with the names, as far as they have not been erased."""

    sequence = models.BigIntegerField(primary_key=True, help_text="1, 2, 3, … without a gap.")
    at = models.DateTimeField(help_text="UTC, microseconds.")
    action = models.CharField(max_length=40, choices=Action)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    stored_actor = models.CharField(
        max_length=400, db_column="actor_label", help_text="Survives the person; the worker has no row."
    )
    stored_allowed_by = models.TextField(
        blank=True, db_column="allowed_by", help_text="Who allowed what the actor did, one label per line."
    )
    model_name = models.CharField(max_length=256, blank=True)
    version_number = models.PositiveIntegerField(null=True, blank=True)
    target_name = models.CharField(max_length=60, blank=True)
    request = models.ForeignKey(
        PromotionRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="events"
    )
    correlation_id = models.UUIDField()
    payload = models.TextField(
        default="{}", help_text="Canonical JSON; text, because a database may rewrite JSON numbers."
    )
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    objects: ClassVar[Any] = EventQuerySet.as_manager()

    class Meta:
        permissions = [
            ("view_history", "May read the history"),
            ("export_history", "May export the history"),
        ]
        indexes = [
            models.Index(fields=["model_name", "version_number", "-sequence"], name="event_by_version"),
            models.Index(fields=["request", "sequence"], name="event_by_request"),
            models.Index(fields=["actor", "-sequence"], name="event_by_person"),
            models.Index(fields=["action", "-sequence"], name="event_by_action"),
            models.Index(fields=["target_name", "-sequence"], name="event_by_target"),
            models.Index(fields=["at", "sequence"], name="event_by_time"),
            models.Index(
                # Everything that `approvals.audit.tally` and `completeness` ask of them, in the order of tenures.
                fields=["sequence", "action", "at", "model_name", "version_number", "target_name", "request"],
                condition=models.Q(action__in=[str(action) for action in RECORD_CHANGES]),
                name="event_of_changes",
            ),
        ]

    def __str__(self) -> str:
        return f"event {self.sequence}"

    def get_absolute_url(self) -> str:
        return reverse("approvals:event", args=[self.sequence])

    @cached_property
    def told(self) -> identities.Told:
        return identities.Told(stored_texts(self))

    @property
    def actor_label(self) -> str:
        """`Remy Ortiz <remy@example.com>`, or the name of the program."""
        return self.told.text(self.stored_actor)

    @property
    def allowed_by(self) -> str:
        """One label per line."""
        return self.told.text(self.stored_allowed_by)

    @property
    def data(self) -> dict[str, Any]:
        """Without the seals, which are for the proof alone (`approvals.ledger.sealing`)."""
        stored = json.loads(self.payload)
        stored.pop("sealed", None)
        return dict(self.told.value(stored))

    def people(self, key: str) -> set[int]:
        """Ids of the people whom the data names under this key; they stay known when their names are erased."""
        return identities.people_in(json.dumps(json.loads(self.payload).get(key, ""), ensure_ascii=False))


def stored_texts(event: AuditEvent) -> list[str]:
    """What can have tokens in it, as far as it was loaded."""
    return [event.__dict__.get(column, "") for column in ("stored_actor", "stored_allowed_by", "payload")]


def read_together(events: Sequence[AuditEvent]) -> None:
    """From here on these events share one look-up of names."""
    told = identities.Told([text for event in events for text in stored_texts(event)])
    for event in events:
        event.told = told


class ChainHead(models.Model):
    """The end of the chain; the one row that every append locks, so that numbers and hashes follow each other."""

    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="there_is_one_chain_head")]

    def __str__(self) -> str:
        return f"chain head at {self.sequence}"
