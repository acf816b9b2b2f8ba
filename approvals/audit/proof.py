"""What the chain of hashes says about the evidence: its head at the end of a period, whether the events shown fit, and
how the last verification of the whole ledger ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from approvals.models import AuditEvent, Verification
from approvals.models.defaults import GENESIS
from approvals.selectors import history


@dataclass(frozen=True, slots=True)
class Proof:
    sequence: int
    """Number of the last event before the period's end; 0 when there is none."""

    hash: str
    fault: str
    """A sentence on the first of the events shown that is not as it was written, or ""."""

    verification: Verification | None
    """The last one of the whole ledger that has ended, by the worker or asked for; None before the first."""

    def as_plain(self) -> dict[str, Any]:
        last = self.verification
        return {
            "head_at_the_end": {"sequence": self.sequence, "hash": self.hash},
            "fault": self.fault,
            "last_verification": _as_plain(last) if last else None,
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
    return Verification.objects.done().first()


def _as_plain(last: Verification) -> dict[str, Any]:
    return {
        "at": last.ended_at.isoformat() if last.ended_at else None,
        "is_intact": last.is_intact,
        "events": last.events,
        "head": last.head,
        "was_in_database": last.was_in_database,
        "problem": last.problem,
        "first_bad": last.first_bad,
    }
