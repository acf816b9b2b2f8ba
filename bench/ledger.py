"""Rows: verification of the whole chain against hashing the same bytes, and the memory that an export takes.

The tables beside the ledger have no row of their own: the events that `pages` fills in go round in a fixed order, so
its requests, reviews and tenures do not follow from them, and the proof would end with the first one. The time of each
row is wall time; the note under the verification has the processor's, which other programs on the machine touch less.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from approvals import ledger
from approvals.ledger import quick
from approvals.models import AuditEvent
from approvals.selectors import history
from bench.report import Row, milliseconds

MEGABYTE = 1_000_000
EXPORT_LIMIT = 32.0
"""Megabytes that the process may grow while it streams every event: a few portions of rows, not the history."""


def rows() -> Iterator[Row]:
    for name, lines_of in (("JSON Lines", history.json_lines), ("CSV", history.csv_lines)):
        yield _export(name, lines_of)  # first: what the verification below frees would hide growth
    yield _verification()


def _verification() -> Row:
    last = ledger.head().sequence
    texts = [text for _, _, block in quick.blocks(1, last) if block for text in block.texts() or ()]
    if len(texts) != last:
        raise RuntimeError("The database does not write what is hashed.")

    def hash_only() -> None:
        for text in texts:
            hashlib.sha256(text).hexdigest()

    verdict = ledger.verify()
    if not verdict.is_intact:
        raise RuntimeError(verdict.problem)
    limit, limit_cpu = _least(hash_only)
    texts.clear()  # a process that holds them verifies more slowly
    value, value_cpu = _least(ledger.verify)
    return Row(
        f"verify {verdict.events:,} events",
        value,
        limit,
        bar=3.0,
        note=f"Limit: SHA-256 over the same bytes, already in memory. {os.cpu_count()} cores; of their time "
        f"{value_cpu:.0f} ms and {limit_cpu:.0f} ms, {value_cpu / limit_cpu:.2f} ×.",
    )


def _least(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor, all threads together: the least of five runs each."""
    walls, processor = [], []
    for _ in range(5):
        before = time.process_time()
        walls.append(milliseconds(call))
        processor.append((time.process_time() - before) * 1000)
    return min(walls), min(processor)


def _export(name: str, lines_of: Callable[[history.Events], Iterator[str]]) -> Row:
    """Growth of the process's resident memory at its greatest, over what it had before the first line."""
    list(lines_of(AuditEvent.objects.filter(sequence__lte=5000)))  # what is loaded once is loaded
    before, stop = _resident(), threading.Event()
    greatest = [before]

    def look() -> None:
        while not stop.wait(0.005):
            greatest[0] = max(greatest[0], _resident())

    watcher = threading.Thread(target=look)
    watcher.start()
    size = sum(len(line) for line in lines_of(AuditEvent.objects.all()))
    stop.set()
    watcher.join()
    return Row(
        f"memory of the export as {name}, {size / MEGABYTE:,.0f} MB",
        (greatest[0] - before) / MEGABYTE,
        EXPORT_LIMIT,
        bar=1.0,
        note="Growth of the resident memory while all events are streamed.",
        unit="MB",
    )


def _resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
