"""A random sample that anybody can draw again: the ids of all units in the order of a hash that a seed decides.

SHA-256 of `<seed>:<unit id>` (UTF-8), as hexadecimal digits; ascending; the first N. The seed is the hash of the last
event of the period unless a person gives another: anyone who made the changes could not know it, and anyone who draws
the sample does not choose it.
"""

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from approvals.audit import tally, units
from approvals.audit.population import Scope
from approvals.audit.tally import Tally
from approvals.models import AuditEvent
from approvals.models.defaults import GENESIS

DEFAULT_SIZE, LARGEST = 25, 500


@dataclass(frozen=True, slots=True)
class Sample:
    seed: str
    is_default_seed: bool
    ids: list[str]
    """Of the units, in the order in which they were drawn."""


def key(seed: str, unit_id: str) -> str:
    """Where a unit is in the draw: SHA-256 of `seed:unit`, 64 hexadecimal digits; the lowest are drawn."""
    return hashlib.sha256(f"{seed}:{unit_id}".encode()).hexdigest()


def pick(seed: str, ids: Iterable[str], size: int) -> list[str]:
    """The first `size` of the ids by `key`; all of them, in that order, where there are fewer."""
    return heapq.nsmallest(size, ids, key=lambda each: key(seed, each))


def default_seed(scope: Scope) -> str:
    """The hash of the last event before the period's end."""
    last = AuditEvent.objects.filter(at__lt=scope.period.until).order_by("-at", "-sequence").first()
    return last.hash if last else GENESIS


def draw(scope: Scope, *, seed: str = "", size: int = DEFAULT_SIZE, counted: Tally | None = None) -> Sample:
    """Hashes the ids of the whole population, on PostgreSQL in the database; memory holds those of the sample. Raises
    ValueError for a size that is not 1 to LARGEST."""
    if not 1 <= size <= LARGEST:
        raise ValueError(f"A sample has 1 to {LARGEST} units.")
    by_itself = default_seed(scope)
    used = seed or by_itself
    if connection.vendor == "postgresql":
        ids = tally.lowest(scope, used, size, ended=counted.ended if counted else tally.lone_ends(scope))
    else:
        ids = pick(used, (unit for _, unit in units.keys(scope).iterator(chunk_size=2000)), size)
    return Sample(used, used == by_itself, ids)
