"""One part of the installation, as the page shows it."""

from dataclasses import dataclass
from datetime import datetime

from approvals import administration

GOOD, SLOW, BAD = "good", "slow", "bad"
QUEUE = "A worker must read this queue: see Queues in docs/operations.md, and the worker's log."


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    state: str
    word: str
    detail: str
    at: datetime | None = None
    """A moment that belongs to the detail; the page writes it after it."""

    error: str = ""
    remedy: str = ""
    standstill: administration.Standstill | None = None
    """What an administrator ends here, with a reason."""
