"""Appending to the ledger. Only workflow, delivery and administration may."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model

from accounts.models import User
from approvals.evidence import canonical
from approvals.ledger import machines, pseudonyms, sealing
from approvals.ledger.chain import Link
from approvals.ledger.rows import digest
from approvals.models import Action, AuditEvent, ChainHead, PromotionRequest
from mirror import clock

WORKER = "Countersign worker"


@dataclass(frozen=True, slots=True)
class Sequel:
    """What else is to be said with an event: by the same, of the same request and target."""

    action: Action
    version_number: int
    data: Mapping[str, Any]


def record(
    action: Action,
    *,
    actor: User | None,
    correlation_id: uuid.UUID | None = None,
    acting: str = WORKER,
    request: PromotionRequest | None = None,
    model_name: str = "",
    version_number: int | None = None,
    target_name: str = "",
    allowed_by: Iterable[str] = (),
    data: Mapping[str, Any] | None = None,
    rows: Iterable[Model] | Callable[[AuditEvent], Iterable[Model]] = (),
    in_short: bool = False,
    then: Sequence[Sequel] = (),
) -> AuditEvent:
    """Appends one event in the caller's transaction and returns it. It seals `rows` and the request as they are stored
    now: what changes in them afterwards without an event is a fault to `verify`. `rows` may be a function that writes
    them first; it is called with the event, which has its number and time and is not stored yet. `in_short` keeps one
    digest for each row, without names. The events of `then` follow at once, and seal nothing more.

    `actor` None is no person but the program that `acting` names. Model, version, target and correlation come from
    `request` unless given. `data` must be JSON without NaN and without secrets. Raises RuntimeError outside a
    transaction: an event commits with what it records, or not at all. People whom it names are stored as tokens.
    """
    head, now = locked_head()
    event = AuditEvent(
        sequence=head.sequence + 1,
        at=now,
        action=action,
        actor=actor,
        model_name=model_name or (request.version.model.name if request else ""),
        version_number=version_number or (request.version.number if request and not model_name else None),
        target_name=target_name or (request.target.name if request else ""),
        request=request,
        correlation_id=correlation_id or (request.correlation_id if request else uuid.uuid4()),
    )
    # Do not move this before the head is locked, nor the seals before it: they keep the rows as this event left them.
    touched = list(rows(event) if callable(rows) else rows)
    seals = sealing.seal([*touched, request] if request else touched, in_short=in_short)
    said = [
        actor.label if actor else acting,
        "\n".join(allowed_by),
        {**(data or {}), **machines.told(), sealing.KEY: seals},
    ]
    sequels = [
        AuditEvent(
            sequence=event.sequence + place,
            at=now,
            action=each.action,
            actor=actor,
            model_name=event.model_name,
            version_number=each.version_number,
            target_name=event.target_name,
            request=request,
            correlation_id=event.correlation_id,
        )
        for place, each in enumerate(then, start=1)
    ]
    said_then = [[*said[:2], {**each.data, **machines.told(), sealing.KEY: {}}] for each in then]
    _append(head, [event, *sequels], [said, *said_then], known=[actor] if actor else [])
    return event


@dataclass(frozen=True, slots=True)
class Entry:
    """One of many events that a program records, about a model and with nothing to seal."""

    action: Action
    model_name: str
    version_number: int | None = None
    target_name: str = ""
    data: Mapping[str, Any] | None = None


def record_many(entries: Sequence[Entry], *, acting: str = WORKER) -> list[AuditEvent]:
    """Appends one event an entry, in their order, under one lock of the head, and returns them; each has a correlation
    of its own. Otherwise as `record` by the program that `acting` names."""
    head, now = locked_head()
    events = [
        AuditEvent(
            sequence=head.sequence + place,
            at=now,
            action=entry.action,
            model_name=entry.model_name,
            version_number=entry.version_number,
            target_name=entry.target_name,
            correlation_id=uuid.uuid4(),
        )
        for place, entry in enumerate(entries, start=1)
    ]
    said = [[acting, "", {**(entry.data or {}), **machines.told(), sealing.KEY: {}}] for entry in entries]
    _append(head, events, said)
    return events


def locked_head() -> tuple[Link, datetime]:
    """From here to the end of the caller's transaction no one else records: no gap in the numbers, no fork in the
    chain. With the database's time, so that of two events the later one of the chain is the later one by its time as
    well, whichever hosts recorded them. Raises RuntimeError outside a transaction."""
    if not connection.in_atomic_block:
        raise RuntimeError("ledger.record needs the transaction of what it records.")
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_AND_TIME if connection.vendor == "postgresql" else _LOCK)
        found = cursor.fetchone()
    if found is None:
        raise ChainHead.DoesNotExist
    return Link(*found[:2]), found[2] if found[2:] else clock.now()


def _append(head: Link, events: Sequence[AuditEvent], said: Sequence[list[Any]], *, known: Iterable[User] = ()) -> None:
    """Stores the events behind `head`, which is locked. `said` has of each: actor, who allowed it, and the data with
    its seals."""
    # What every installation starts with has no event of its own.
    if head.sequence == 0 and said:
        data = said[0][2]
        data[sealing.KEY] = sealing.merged(sealing.seal_everything(), data[sealing.KEY])
    previous = head.hash
    # Before the hash, which covers tokens and never names: so a name can be taken out and the chain stays whole.
    for event, told in zip(events, pseudonyms.tokenised(said, known=known), strict=True):
        event.stored_actor, event.stored_allowed_by, payload = told
        event.payload = canonical(payload)
        event.previous_hash = previous
        previous = event.hash = digest(event)
    fields = AuditEvent._meta.concrete_fields  # noqa: SLF001  Django's public name for it
    with connection.wrap_database_errors, _one_round_trip(), connection.cursor() as cursor:
        # By turns, because the database takes no event but the one that continues from the head.
        for event in events:
            values = [field.get_db_prep_save(getattr(event, field.attname), connection) for field in fields]
            cursor.execute(_insertion(), values)
            cursor.execute(_MOVE, [event.sequence, event.hash])
    for event in events:
        event._state.adding, event._state.db = False, connection.alias  # noqa: SLF001  as `save` leaves it


_LOCK = "SELECT sequence, hash FROM approvals_chainhead WHERE id = 1"
_LOCK_AND_TIME = "SELECT sequence, hash, clock_timestamp() FROM approvals_chainhead WHERE id = 1 FOR UPDATE"
_MOVE = "UPDATE approvals_chainhead SET sequence = %s, hash = %s WHERE id = 1"


@cache
def _insertion() -> str:
    columns = [str(field.column) for field in AuditEvent._meta.concrete_fields]  # noqa: SLF001
    return f"INSERT INTO approvals_auditevent ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"  # noqa: S608


def _one_round_trip() -> AbstractContextManager[object]:
    """Statements without an answer go to PostgreSQL together."""
    return connection.connection.pipeline() if connection.vendor == "postgresql" else nullcontext()
