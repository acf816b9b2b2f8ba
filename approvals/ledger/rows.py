"""What an event's hash covers: SHA-256 over the previous hash and the canonical JSON of the row, from the first row
on."""

import hashlib
from datetime import UTC
from typing import Any

from approvals.evidence import canonical
from approvals.models import AuditEvent


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
    """SHA-256 over the previous hash and the event's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256((event.previous_hash + canonical(as_record(event))).encode()).hexdigest()
