"""Appending to the ledger. Only workflow, delivery and administration may."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import connection
from django.db.models import Model
from django.utils import timezone

from accounts.models import User
from approvals.evidence import canonical
from approvals.ledger import pseudonyms, sealing
from approvals.ledger.rows import digest
from approvals.models import Action, AuditEvent, ChainHead, PromotionRequest

WORKER = "Countersign worker"


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
) -> AuditEvent:
    """Appends one event in the caller's transaction and returns it. It seals `rows` and the request as they are stored
    now: what changes in them afterwards without an event is a fault to `verify`. `rows` may be a function that writes
    them first; it is called with the event, which has its number and time and is not stored yet. `in_short` keeps one
    digest for each row, without names.

    `actor` None is no person but the program that `acting` names. Model, version, target and correlation come from
    `request` unless given. `data` must be JSON without NaN and without secrets. Raises RuntimeError outside a
    transaction: an event commits with what it records, or not at all. People whom it names are stored as tokens.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("ledger.record needs the transaction of what it records.")
    # From here to the end of the caller's transaction no one else records: no gap in the numbers, no fork in the chain.
    head = ChainHead.objects.select_for_update().get(pk=1)
    event = AuditEvent(
        sequence=head.sequence + 1,
        at=timezone.now(),
        action=action,
        actor=actor,
        model_name=model_name or (request.version.model.name if request else ""),
        version_number=version_number or (request.version.number if request and not model_name else None),
        target_name=target_name or (request.target.name if request else ""),
        request=request,
        correlation_id=correlation_id or (request.correlation_id if request else uuid.uuid4()),
        previous_hash=head.hash,
    )
    # Do not move this before the head is locked, nor the seals before it: they keep the rows as this event left them.
    touched = list(rows(event) if callable(rows) else rows)
    seals = sealing.seal([*touched, request] if request else touched, in_short=in_short)
    # What every installation starts with has no event of its own.
    if head.sequence == 0:
        seals = sealing.merged(sealing.seal_everything(), seals)
    said = [actor.label if actor else acting, "\n".join(allowed_by), {**(data or {}), sealing.KEY: seals}]
    # Before the hash, which covers tokens and never names: so a name can be taken out and the chain stays whole.
    event.stored_actor, event.stored_allowed_by, told = pseudonyms.tokenised(said, known=[actor] if actor else [])
    event.payload = canonical(told)
    event.hash = digest(event)
    event.save(force_insert=True)
    ChainHead.objects.filter(pk=1).update(sequence=event.sequence, hash=event.hash)
    return event
