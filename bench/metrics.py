"""Row: what one scrape of `/metrics` takes of the processor, with 100,000 versions and a million events: Python's, and
that of PostgreSQL's own process. The note has how long it took on the clock, the least of the rounds."""

import time
from collections.abc import Iterator

from django.db import connection

from bench.filling import fill
from bench.parts import Run
from bench.people import seconds_of
from bench.planned import Sizes
from bench.report import Row, milliseconds

ROUNDS = 40
CEILING_MS = 50
SIZES = Sizes(versions=100_000, requests=100_000, events=1_000_000)
SMALL = Sizes(versions=2_000, requests=120, events=2_600)


def rows(run: Run) -> Iterator[Row]:
    from registry_ui.metrics import database

    sizes, rounds = (SMALL, 2) if run.is_small else (SIZES, ROUNDS)
    fill(sizes)
    list(database.numbers())  # connects, and reads into memory what it needs
    backend = _backend()
    began, began_there = time.process_time(), seconds_of(backend)
    walls = [milliseconds(lambda: list(database.numbers())) for _ in range(rounds)]
    here = (time.process_time() - began) * 1000 / rounds
    there = (seconds_of(backend) - began_there) * 1000 / rounds
    engine = f"PostgreSQL's {there:.1f} ms in it" if backend else "SQLite is in it"
    note = f"{engine}; {min(walls):.0f} ms on the clock. {sizes.versions:,} versions, {sizes.events:,} events."
    yield Row("a scrape: processor", here + there, CEILING_MS, bar=1.0, note=note)


def _backend() -> int:
    """Number of the process that answers; 0 with SQLite."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
