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
    names, composed = _sums(compose, *facts)
    if composed is None:
        return (0,) * len(names)
    with connection.cursor() as cursor:
        cursor.execute(*composed)
        return tuple(int(each or 0) for each in cursor.fetchone())


@lru_cache(maxsize=KEPT)
def _rows(compose: Compose, *facts: Hashable) -> Composed | None:
    return _sql(compose(*facts))


@lru_cache(maxsize=KEPT)
def _sums(compose: Compose, *facts: Hashable) -> tuple[Sequence[str], Composed | None]:
    """The names of the annotations, and the query for their sums."""
    found = compose(*facts)
    names, composed = tuple(found.query.annotation_select), _sql(found)
    if composed is None:
        return names, None
    sql, parameters = composed
    summed = ", ".join(f"SUM({connection.ops.quote_name(name)})" for name in names)
    return names, (f"SELECT {summed} FROM ({sql}) AS summed", parameters)  # noqa: S608  the ORM's own words


def _sql(found: QuerySet[Any, Any]) -> Composed | None:
    """None where no row can be meant."""
    try:
        return found.query.sql_with_params()
    except EmptyResultSet:
        return None
