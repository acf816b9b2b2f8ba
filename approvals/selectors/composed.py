"""Queries whose SQL hangs on few facts, such as who a person is and what they may: the ORM composes it once for these
facts, which takes several times as long as the answer. What is asked, and when, stays the same."""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

KEPT = 1024
"""Composed queries; the one that was not asked for longest goes first."""

Compose = Callable[..., QuerySet[Any, Any]]
Composed = tuple[str, Sequence[Any]]
"""SQL and parameters."""


def rows(compose: Compose, *facts: Hashable) -> list[tuple[Any, ...]]:
    """What `compose(*facts)` finds, as the database has it: for columns of whole numbers or text. It must make the same
    query of the same facts, whatever the time and the rows. One query."""
    composed = _rows(compose, *facts)
    if composed is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(*composed)
        return list(cursor.fetchall())


def sums(compose: Compose, *facts: Hashable) -> tuple[int, ...]:
    """Of each annotation of what `compose(*facts)` finds: of whole numbers alone, 0 where there is no row. Else as for
    `rows`."""
    with connection.cursor() as cursor:
        cursor.execute(*_sums(compose, *facts))
        return tuple(int(each or 0) for each in cursor.fetchone())


@lru_cache(maxsize=KEPT)
def _rows(compose: Compose, *facts: Hashable) -> Composed | None:
    """None where no row can be meant."""
    try:
        return compose(*facts).query.sql_with_params()
    except EmptyResultSet:
        return None


@lru_cache(maxsize=KEPT)
def _sums(compose: Compose, *facts: Hashable) -> Composed:
    query = compose(*facts).query
    sql, parameters = query.sql_with_params()
    summed = ", ".join(f"SUM({connection.ops.quote_name(name)})" for name in query.annotation_select)
    return f"SELECT {summed} FROM ({sql}) AS summed", parameters  # noqa: S608  the ORM's own words
