"""The one time line of a request: its part of the ledger, comments and verdicts included, oldest first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from approvals.ledger import machines, sentences
from approvals.ledger.machines import Machine
from approvals.models import Action, AuditEvent, PromotionRequest
from approvals.selectors import mentions
from mirror import composed

NEWEST = 100
"""So many events of one request are shown at once; the history has the rest."""


@dataclass(frozen=True, slots=True)
class Entry:
    event: AuditEvent
    sentence: str
    """What happened, after the actor's name: `approved`, `asked for Production`."""

    said: str

    @property
    def at(self) -> datetime:
        return self.event.at

    @property
    def icon(self) -> str:
        return Action(self.event.action).type.icon

    @property
    def tone(self) -> str:
        """`good`, `bad`, `waiting`, or "" for what is neither."""
        return Action(self.event.action).type.tone

    @property
    def machine(self) -> Machine | None:
        """The program through which it was done, if one was."""
        return machines.of(self.event)

    @property
    def mentioned(self) -> Mapping[str, str]:
        """Handle → name of whom it mentions."""
        return mentions.chips(self.event.data.get("mentioned", ()))

    @property
    def name(self) -> str:
        """`Remy Ortiz` of `Remy Ortiz <remy@example.com>`."""
        return self.event.actor_label.partition(" <")[0]


def of(request: PromotionRequest, *, newest: int = NEWEST) -> tuple[list[Entry], bool]:
    """The newest events of the request, at most NEWEST, oldest first, and whether there are earlier ones. One query."""
    found = composed.objects(_newest, request.pk)[: newest + 1]
    return entries(reversed(found[:newest]), is_subject_known=True), len(found) > newest


def _newest(request: int) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(request=request).order_by("-sequence")[: NEWEST + 1]


def entries(events: Iterable[AuditEvent], *, is_subject_known: bool = False) -> list[Entry]:
    return [
        Entry(event, sentences.sentence(event, is_subject_known=is_subject_known), sentences.said(event))
        for event in events
    ]
