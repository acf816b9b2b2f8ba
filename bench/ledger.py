"""Row: verification of the whole ledger against hashing the same bytes."""

import hashlib
from collections.abc import Iterator

from approvals import ledger
from approvals.evidence import canonical
from approvals.models import AuditEvent
from bench.report import Row, milliseconds


def rows() -> Iterator[Row]:
    texts = [
        (event.previous_hash + canonical(ledger.as_record(event))).encode()
        for event in AuditEvent.objects.order_by("sequence").iterator()
    ]

    def hash_only() -> None:
        for text in texts:
            hashlib.sha256(text).hexdigest()

    verdict = ledger.verify()
    if not verdict.is_intact:
        raise RuntimeError(verdict.problem)
    limit = min(milliseconds(hash_only) for _ in range(3))
    value = min(milliseconds(ledger.verify) for _ in range(3))
    yield Row(
        f"verify {verdict.events:,} events",
        value,
        limit,
        bar=3.0,
        note="Limit: SHA-256 over the same bytes, already in memory.",
    )
