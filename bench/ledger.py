"""Rows: verification of the whole chain against hashing the same bytes, and the memory that an export takes.

The tables beside the ledger have a row in `appending`: the events that are filled in go round in a fixed order, so
requests, reviews and tenures do not follow from them, and the proof would end with the first one. The time of each row
is wall time; the note under the verification has the processor's, which other programs on the machine touch less.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

from django.db import connection

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
    yield from _verification()


def _verification() -> Iterator[Row]:
    last = ledger.head().sequence
    texts = [text for _, _, block in quick.blocks(1, last, quick.OURS) if block for text in block.texts]
    if len(texts) != last:
        raise RuntimeError("The database does not write what is hashed.")

    def hash_only() -> None:
        for text in texts:
            hashlib.sha256(text).hexdigest()

    limit, limit_cpu = _least(hash_only)
    texts.clear()  # a process that holds them verifies more slowly
    ways = {"every hash computed here": False, "the database computes the hashes": True}
    for way, first_pass in ways.items():
        verdict = ledger.verify(first_pass=first_pass)
        if not verdict.is_intact:
            raise RuntimeError(verdict.problem)
        if verdict.in_database is not first_pass:
            continue  # SQLite cannot, and a short ledger is not worth it
        value, value_cpu = _least(partial(ledger.verify, first_pass=first_pass))
        yield Row(
            f"verify {verdict.events:,} events, {way}",
            value,
            limit,
            bar=3.0,
            note=f"Limit: SHA-256 over the same bytes, already in memory. {os.cpu_count()} cores; of their time, the "
            f"database's included, {value_cpu:.0f} ms and {limit_cpu:.0f} ms, {value_cpu / limit_cpu:.2f} ×.",
        )


def _least(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor, all threads and the database's processes together: the least of
    three runs each."""
    walls, processor = [], []
    for _ in range(3):
        before = time.process_time()
        with Backends() as backends:
            walls.append(milliseconds(call))
        processor.append((time.process_time() - before + backends.seconds) * 1000)
    return min(walls), min(processor)


class Backends:
    """What the PostgreSQL processes behind this database take of the processor meanwhile, as Linux counts it. Looked at
    all the time, because a process that ends takes its count with it; 0 on SQLite, which works in ours."""

    def __init__(self) -> None:
        name = connection.settings_dict["NAME"] if connection.vendor == "postgresql" else ""
        self.mark = f"postgres: {connection.settings_dict['USER']} {name} ".encode() if name else b""
        self.first: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.looking = 0.0
        self.stop = threading.Event()
        self.watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        if self.mark:
            self._look()
            # Those that are there had worked before; those that come count from their beginning.
            self.first = dict(self.last)
            self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        if self.mark:
            self.watcher.join()
            self._look()

    @property
    def seconds(self) -> float:
        """Without what it took to look, which is counted with ours."""
        return sum(last - self.first.get(pid, 0) for pid, last in self.last.items()) / 1e9 - self.looking

    def _watch(self) -> None:
        while not self.stop.wait(0.1):
            self._look()
        self.looking = time.thread_time()

    def _look(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                if self.mark in (folder / "cmdline").read_bytes():
                    self.last[folder.name] = int((folder / "schedstat").read_text().split()[0])


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
