"""What the chain of hashes says about the evidence: its head at the end of a period, and whether the events shown fit.

`last_verification` is the one place to say when the whole chain was last verified.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from approvals import history
from approvals.defaults import GENESIS
from approvals.models import AuditEvent


@dataclass(frozen=True, slots=True)
class Verification:
    at: datetime
    is_intact: bool
    words: str


@dataclass(frozen=True, slots=True)
class Proof:
    sequence: int
    """Number of the last event before the period's end; 0 when there is none."""

    hash: str
    fault: str
    """A sentence on the first of the events shown that is not as it was written, or ""."""

    verification: Verification | None
    """The last one of the whole chain, where one is kept."""

    def as_plain(self) -> dict[str, Any]:
        last = self.verification
        return {
            "head_at_the_end": {"sequence": self.sequence, "hash": self.hash},
            "fault": self.fault,
            "last_verification": {"at": last.at.isoformat(), "is_intact": last.is_intact} if last else None,
        }


def of(until: datetime, shown: Sequence[AuditEvent] = ()) -> Proof:
    """The chain up to, not including, `until`, and the events `shown` held against it."""
    last = AuditEvent.objects.filter(at__lt=until).order_by("-at", "-sequence").first()
    distinct = list({event.sequence: event for event in shown}.values())
    return Proof(
        sequence=last.sequence if last else 0,
        hash=last.hash if last else GENESIS,
        fault=history.first_fault([*distinct, *([last] if last else [])], history.head()) if distinct or last else "",
        verification=last_verification(),
    )


def last_verification() -> Verification | None:
    """When the whole chain was last verified. Verifications are not kept yet: `manage.py verify_ledger` is run by
    hand."""
    return None
