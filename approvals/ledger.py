"""The ledger: `record` appends, `verify` proves. Only workflow, delivery and administration may append.

Each row's hash is SHA-256 over the previous hash and the canonical JSON of the row, from the first row on.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.db import connection
from django.utils import timezone

from approvals import identities
from approvals.defaults import GENESIS
from approvals.evidence import canonical
from approvals.models import Action, AuditEvent, ChainHead, PromotionRequest
from registry_ui.accounts.models import User

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
) -> AuditEvent:
    """Appends one event in the caller's transaction and returns it.

    `actor` None is no person but the program that `acting` names. Model, version, target and correlation come from
    `request` unless given. `data` must be JSON without NaN and without secrets. Raises RuntimeError outside a
    transaction: an event commits with what it tells of, or not at all. People whom it names are stored as tokens.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("ledger.record needs the transaction of what it records.")
    head = ChainHead.objects.select_for_update().get(pk=1)
    said = [actor.label if actor else acting, "\n".join(allowed_by), dict(data or {})]
    stored_actor, stored_allowed_by, stored_data = identities.tokenised(said, known=[actor] if actor else [])
    event = AuditEvent(
        sequence=head.sequence + 1,
        at=timezone.now(),
        action=action,
        actor=actor,
        stored_actor=stored_actor,
        stored_allowed_by=stored_allowed_by,
        model_name=model_name or (request.version.model.name if request else ""),
        version_number=version_number or (request.version.number if request and not model_name else None),
        target_name=target_name or (request.target.name if request else ""),
        request=request,
        correlation_id=correlation_id or (request.correlation_id if request else uuid.uuid4()),
        payload=canonical(stored_data),
        previous_hash=head.hash,
    )
    event.hash = digest(event)
    event.save(force_insert=True)
    ChainHead.objects.filter(pk=1).update(sequence=event.sequence, hash=event.hash)
    return event


def as_record(event: AuditEvent) -> dict[str, Any]:
    """What the hash covers, and what exports carry: every column but the hash itself."""
    return {
        "sequence": event.sequence,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "action": str(event.action),
        "actor_id": event.actor_id,
        "actor_label": event.stored_actor,
        "allowed_by": event.stored_allowed_by,
        "model_name": event.model_name,
        "version_number": event.version_number,
        "target_name": event.target_name,
        "request_id": event.request_id,
        "correlation_id": str(event.correlation_id),
        "payload": event.payload,
        "previous_hash": event.previous_hash,
    }


def digest(event: AuditEvent) -> str:
    return hashlib.sha256((event.previous_hash + canonical(as_record(event))).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    events: int
    problem: str = ""
    first_bad: int | None = None

    @property
    def is_intact(self) -> bool:
        return not self.problem


def verify(progress: Callable[[int], None] = lambda _: None) -> Verdict:
    """Reads the whole chain in order and names the first row that does not fit. Memory stays bounded.

    `progress` is called with the number of events verified so far, once per thousand.
    """
    expected, previous, count = 1, GENESIS, 0
    for event in AuditEvent.objects.order_by("sequence").iterator(chunk_size=5000):
        if event.sequence != expected:
            return Verdict(count, f"Event {expected} is missing; {event.sequence} follows {expected - 1}.", expected)
        if event.previous_hash != previous:
            return Verdict(count, f"Event {event.sequence} does not follow from the one before it.", event.sequence)
        if event.hash != digest(event):
            return Verdict(
                count, f"Event {event.sequence} was altered: its hash does not fit its content.", event.sequence
            )
        expected, previous, count = event.sequence + 1, event.hash, count + 1
        if count % 1000 == 0:
            progress(count)
    head = ChainHead.objects.get(pk=1)
    if (head.sequence, head.hash) != (expected - 1, previous):
        return Verdict(count, f"The chain ends at event {expected - 1} but its head says {head.sequence}.", expected)
    return Verdict(count)
