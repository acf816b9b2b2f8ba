"""The database's clock. Web, workers and commands share it, whatever the clocks of their hosts say: what is due when,
and until when a lease runs, is said and compared by it alone."""

from datetime import UTC, datetime

from django.db import connection

MOST_SECONDS = 30
"""Clocks further apart than this are flagged."""


def now() -> datetime:
    """The database's time; on SQLite, which has none of its own, this host's."""
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def skew() -> float:
    """Seconds by which this host's clock is ahead of the database's; negative when it is behind."""
    before = datetime.now(UTC)
    there = now()
    return ((before - there) + (datetime.now(UTC) - there)).total_seconds() / 2
