"""The chain itself: numbers, hashes and head, from any event on whose hash is known."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import DataError, connection
from django.db.models import Max, QuerySet

from approvals.ledger import quick
from approvals.ledger.rows import digest
from approvals.ledger.verdicts import Fault
from approvals.models import AuditEvent, ChainHead
from approvals.models.defaults import GENESIS
from mirror import composed

Progress = Callable[[int], None]


def quiet(_: int) -> None:
    """Tells no one how far it has come."""


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain: the event's number and its hash."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


BEGINNING = Link(0, GENESIS)


def head() -> Link:
    """Number and hash of the last event; 0 and zeros before the first. Raises ChainHead.DoesNotExist without a head."""
    for sequence, digest_there in composed.rows(_head):
        return Link(sequence, digest_there)
    raise ChainHead.DoesNotExist


def _head() -> QuerySet[ChainHead, Any]:
    return ChainHead.objects.filter(pk=1).values_list("sequence", "hash")


def has(link: Link) -> bool:
    """Whether there is this event with this hash."""
    return link == BEGINNING or AuditEvent.objects.filter(sequence=link.sequence, hash=link.hash).exists()


SAMPLE = 20
"""Blocks of `quick.OURS` that are hashed here as well where the database hashes."""


def can_hash_in_database(since: Link = BEGINNING) -> bool:
    """Whether the database can, and there is more to hash than would be hashed here anyway."""
    if connection.vendor != "postgresql":
        return False
    end = ChainHead.objects.filter(pk=1).values_list("sequence", flat=True).first() or 0  # none is for `verify` to tell
    return end - since.sequence > SAMPLE * quick.OURS.size


def verify(
    since: Link = BEGINNING, progress: Progress = quiet, *, in_database: bool = False
) -> tuple[Link, Fault | None]:
    """Reads all events after `since`, which is taken as given, up to the head. Returns the last one that fits and what
    is wrong with the next. Events that are appended meanwhile are verified too; memory stays bounded.

    `in_database` lets PostgreSQL hash: in less than the time, and on its word, but for `SAMPLE` blocks anywhere in
    between and the last, which are hashed here too. What it does not confirm is read here, row by row.

    `progress` is called with the number of the event that was reached, once per thousand or so.
    """
    reached = since
    while True:
        began = reached
        if not ChainHead.objects.filter(pk=1).exists():
            return reached, Fault("The head of the ledger is not there.")
        end = head()  # the head first: what is appended later is beyond it
        last = AuditEvent.objects.filter(sequence__lte=end.sequence).aggregate(last=Max("sequence"))["last"]
        reached, fault = _follow(reached, last or 0, progress, quick.THE_DATABASES if in_database else quick.OURS)
        if in_database and not fault:
            fault = _sampled(began, reached)
        if fault:
            return reached, fault
        if reached != end:
            problem = f"The chain ends at event {reached.sequence} but its head says {end.sequence}."
            return reached, Fault(problem, reached.sequence + 1)
        outside = AuditEvent.objects.exclude(sequence__range=(1, end.sequence)).values_list("sequence", flat=True)
        beyond = list(outside.order_by("sequence")[:1])
        if not beyond:
            return reached, None
        if head() == end:
            problem = (
                f"The chain ends at event {reached.sequence}, where its head is, but there is an event {beyond[0]}."
            )
            return reached, Fault(problem, beyond[0] if isinstance(beyond[0], int) else None)


def _sampled(since: Link, until: Link) -> Fault | None:
    """What is wrong with one of a few blocks that no one could know beforehand, or with the last."""
    size, first = quick.OURS.size, since.sequence + 1
    starts = range(first, until.sequence + 1, size)
    for start in sorted({*random.SystemRandom().sample(starts, min(SAMPLE, len(starts))), *starts[-1:]}):
        before = AuditEvent.objects.filter(sequence=start - 1).values_list("hash", flat=True).first()
        known = since if start == first else Link(start - 1, before or "")
        _, fault = _follow(known, min(start + size - 1, until.sequence), quiet, quick.OURS)
        if fault:
            return fault
    return None


def _follow(since: Link, until: int, progress: Progress, way: quick.Way) -> tuple[Link, Fault | None]:
    reached = since
    for _, last, block in quick.blocks(since.sequence + 1, until, way):
        if ending := block and block.ending(reached.hash):
            reached = Link(last, ending)
        else:
            reached, fault = _read_slowly(reached, last)
            if fault:
                return reached, fault
        progress(reached.sequence)
    return reached, None


def _read_slowly(since: Link, until: int) -> tuple[Link, Fault | None]:
    """Row by row as the application reads them: what is said of a row is said because of this."""
    reached = since
    after = AuditEvent.objects.filter(sequence__gt=since.sequence).order_by("sequence")
    for sequence in after.filter(sequence__lte=until).values_list("sequence", flat=True):
        if fault := _gap(reached, sequence) or _fault_of(sequence, reached):
            return reached, fault
        reached = Link(sequence, AuditEvent.objects.values_list("hash", flat=True).get(sequence=sequence))
    if reached.sequence < until:
        following = after.filter(sequence__gt=until).values_list("sequence", flat=True).first()
        return reached, None if following is None else _gap(reached, following)
    return reached, None


def _gap(reached: Link, sequence: int) -> Fault | None:
    expected = reached.sequence + 1
    if sequence == expected:
        return None
    return Fault(f"Event {expected} is missing; {sequence} follows {reached.sequence}.", expected)


def _fault_of(sequence: int, before: Link) -> Fault | None:
    altered = Fault(f"Event {sequence} was altered: its hash does not fit its content.", sequence)
    try:
        event = AuditEvent.objects.get(sequence=sequence)
        if event.previous_hash != before.hash:
            return Fault(f"Event {sequence} does not follow from the one before it.", sequence)
        return None if event.hash == digest(event) else altered
    except (AttributeError, TypeError, ValueError, DataError):  # a column that is no time, no number, no text
        return altered
