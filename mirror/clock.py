"""The database's clock. Web, workers and commands share it, whatever the clocks of their hosts say: what is due when,
and until when a lease runs, is said and compared by it alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Func

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


def in_update(after: timedelta = timedelta(0)) -> Any:
    """The same, or so long `after` it, as a value that an UPDATE stores: without a query of its own."""
    if connection.vendor != "postgresql":
        return now() + after
    there = Func(function="clock_timestamp", output_field=DateTimeField())
    return there + after if after else there


def skew() -> float:
    """Seconds by which this host's clock is ahead of the database's; negative when it is behind."""
    before = datetime.now(UTC)
    there = now()
    return ((before - there) + (datetime.now(UTC) - there)).total_seconds() / 2
