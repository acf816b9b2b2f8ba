"""Queries whose SQL hangs on few facts, such as who a person is and what they may: the ORM composes it once for these
facts, which takes several times as long as the answer. What is asked, and when, stays the same."""

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection, connections, transaction
from django.db.models import QuerySet

KEPT = 1024
"""Composed queries; the one that was not asked for longest goes first."""

SHAPES = 256
"""The same for queries whose rows are objects: what the ORM knows of one takes up to 80 kB."""

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


def tally(compose: Compose, *facts: Hashable) -> Counter[int]:
    """How many rows `compose(*facts)` finds by their last annotation, a whole number. Else as for `rows`."""
    composed = _tally(compose, *facts)
    if composed is None:
        return Counter()
    with connection.cursor() as cursor:
        cursor.execute(*composed)
        return Counter(dict(cursor.fetchall()))


def numbers(*parts: tuple[Any, ...]) -> tuple[int, ...]:
    """Of each part, a function with its facts as for `sums`, the sum of its one annotation. One query for all."""
    made = [_sums(*part)[1] or ("SELECT 0", ()) for part in parts]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(f'({sql})' for sql, _ in made)}", [each for _, given in made for each in given]
        )
        return tuple(int(each or 0) for each in cursor.fetchone())


Fact = int | str | datetime | tuple[int, ...] | tuple[str, ...]


def objects(compose: Compose, *facts: Fact) -> list[Any]:
    """What `compose(*facts)` finds, as it finds it: models with all that they carry along, or values. Composed once for
    facts of these kinds, not for each: it must hand each fact to the database as it is, and make the same query
    whatever the facts, the time and the rows. One query, and one for each of its prefetches."""
    shape = _shape(compose, *map(_kind, facts))
    return list(shape.found_for(facts)) if shape else []


MOST = 256
"""Facts of one tuple; what is asked of more is composed each time."""


def among(compose: Compose, *facts: Iterable[int] | Iterable[str]) -> list[Any]:
    """As `objects`, of facts that are all meant by `IN`, in any order and any number of each: they are repeated up to a
    power of two, so that one query for each suffices."""
    given: list[tuple[Any, ...]] = [tuple(each) for each in facts]
    if any(len(each) > MOST for each in given):
        return list(compose(*given))
    return objects(compose, *(each + each[-1:] * ((1 << (len(each) - 1).bit_length()) - len(each)) for each in given))


@dataclass(frozen=True)
class _Shape:
    found: QuerySet[Any, Any]
    compiler: Any
    """The ORM's, which has made the SQL and knows what to make of the rows."""

    sql: str
    parameters: Sequence[tuple[int | None, Any]]
    """Which of the facts it is, or else None, and what it was when the SQL was made."""

    def found_for(self, facts: Sequence[Fact]) -> QuerySet[Any, Any]:
        given = [_handed(fact) for fact in _each(facts)]
        # Of the type that the ORM has made of it: on PostgreSQL numbers know how wide they are.
        parameters = tuple(
            made if place is None else type(made)(given[place]) if isinstance(made, int) else given[place]
            for place, made in self.parameters
        )
        compiler = copy.copy(self.compiler)
        compiler.connection = connections[self.found.db]  # of this thread
        is_locking = self.found.query.select_for_update and compiler.connection.features.has_select_for_update
        if is_locking and compiler.connection.get_autocommit():
            raise transaction.TransactionManagementError("Rows are locked in a transaction.")
        compiler.as_sql = lambda *_, **__: (self.sql, parameters)
        found = self.found.all()
        found.query.get_compiler = lambda *_, **__: compiler  # type: ignore[method-assign]
        return found


@lru_cache(maxsize=SHAPES)
def _shape(compose: Compose, *kinds: tuple[type, int | None]) -> _Shape | None:
    """Made with marks in place of the facts. None where no row can be meant. Raises ValueError where a fact does not
    arrive as it was given."""
    number = itertools.count()
    marks = [
        _mark(kind, next(number)) if length is None else tuple(_mark(kind, next(number)) for _ in range(length))
        for kind, length in kinds
    ]
    places = {_handed(mark): place for place, mark in enumerate(_each(marks))}
    found = compose(*marks)
    compiler = found.query.get_compiler(using=found.db)
    try:
        sql, made = compiler.as_sql()
    except EmptyResultSet:
        return None
    parameters = [(places.get(each) if isinstance(each, int | str | datetime) else None, each) for each in made]
    if missing := set(places.values()) - {place for place, _ in parameters}:
        raise ValueError(f"Not every fact reaches the query as it is: {sorted(missing)}.")
    return _Shape(found, compiler, sql, parameters)


def _kind(fact: Fact) -> tuple[type, int | None]:
    if isinstance(fact, tuple):
        return (type(fact[0]) if fact else int), len(fact)
    return type(fact), None


def _each(facts: Sequence[Any]) -> Iterator[Any]:
    for fact in facts:
        yield from fact if isinstance(fact, tuple) else (fact,)


def _mark(kind: type, number: int) -> Any:
    """What no query has of its own, and every column of its kind can hold."""
    if kind is int:
        return 32_000 + number
    if issubclass(kind, str):
        return f"\ue000{number}"
    if issubclass(kind, datetime):
        return datetime(1, 2, 3, tzinfo=UTC) + timedelta(seconds=number)
    raise ValueError(f"A fact is a number, a text or a time, not {kind.__name__}.")


def _handed(fact: Any) -> Any:
    """As the database gets it: SQLite has texts for times."""
    return connection.ops.adapt_datetimefield_value(fact) if isinstance(fact, datetime) else fact


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


@lru_cache(maxsize=KEPT)
def _tally(compose: Compose, *facts: Hashable) -> Composed | None:
    found = compose(*facts)
    composed = _sql(found)
    if composed is None:
        return None
    sql, parameters = composed
    name = connection.ops.quote_name([*found.query.annotation_select][-1])
    return f"SELECT {name}, COUNT(*) FROM ({sql}) AS counted GROUP BY {name}", parameters  # noqa: S608  the ORM's own


def _sql(found: QuerySet[Any, Any]) -> Composed | None:
    """None where no row can be meant."""
    try:
        return found.query.sql_with_params()
    except EmptyResultSet:
        return None
