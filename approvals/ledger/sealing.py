"""Seals: what an event keeps of the rows that it records, column by column, as they are when it is written. Short
facts are kept as they are, texts and documents as their digest, people's names as tokens."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Field, JSONField, Model, QuerySet

from accounts.models import User
from accounts.roles import PERMISSIONS
from approvals.evidence import canonical
from approvals.ledger import pseudonyms
from approvals.ledger.tables import TABLES, Table, label_of, unsettled
from mirror import composed

Seals = dict[str, dict[str, Any]]
"""Table → number of the row → column → what is kept. Of many rows at once, instead: one digest for each over the
columns that "" lists, without names."""

MANY = 40
"""Rows of one table; of more than that, an event has the short form."""

ADOPTED = '"adopted":"'
"""In the payload of the events with which an upgrade takes over what was there before there were seals."""

KEY = "sealed"
"""Where the seals stand in an event's payload. Every event has it since version 0.4."""


def seal(rows: Iterable[Model], *, in_short: bool = False) -> Seals:
    """Reads the rows as they are stored now, one query for each table, and returns their seals. Rows of tables that are
    not in TABLES are passed over."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        if (label := label_of(row)) in TABLES:
            wanted[label].add(row.pk)
    return {label: _sealed(TABLES[label], keys, in_short=in_short) for label, keys in sorted(wanted.items())}


def seal_everything() -> Seals:
    """All rows of all tables: for the first event of an installation, which has what it started with."""
    found = {label: _sealed(table, None) for label, table in sorted(TABLES.items())}
    return {label: rows for label, rows in found.items() if rows}


def merged(first: Seals, second: Seals) -> Seals:
    """The seals of both, table by table; where a row is in both, that of `second`."""
    return {label: first.get(label, {}) | second.get(label, {}) for label in sorted(first.keys() | second.keys())}


def _sealed(table: Table, keys: Iterable[int] | None, *, in_short: bool = False) -> dict[str, Any]:
    found = read(table, keys)
    if in_short or len(found) > MANY:
        left_out = table.personal.union(*(skipped for _, skipped in found.values()))
        columns = sorted({*table.columns, *table.many} - left_out)
        return {"": columns} | {str(pk): digest_of(row, columns) for pk, (row, _) in found.items()}
    return {
        str(pk): {
            name: _tokens(pk, value) if name in table.personal else value
            for name, value in row.items()
            if name not in skipped
        }
        for pk, (row, skipped) in found.items()
    }


def digest_of(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """Of one row in the short form."""
    return _digest(canonical({name: row[name] for name in columns}))


def read(table: Table, keys: Iterable[int] | None) -> dict[int, tuple[dict[str, Any], frozenset[str]]]:
    """The rows with these numbers (None: all) as they would be sealed now, names in clear; and the columns of each that
    no seal would have, because they still change. One query, and one more for each relation to many."""
    rows = composed.objects(_all(table)) if keys is None else composed.among(_some(table), keys)
    found = {}
    columns = [(name, None if name in table.personal else keeper(each)) for name, each in table.columns.items()]
    for row in rows:
        for name, shown in table.shown.items():
            row[name] = shown(row[name])
        told = {name: kept(row[name]) if kept else row[name] for name, kept in columns}
        found[row["pk"]] = (told, unsettled(table, row))
    for name in table.many:
        _add_many(table, name, found)
    return found


# One function for each table, and the same each time: what it asks is composed once.


@cache
def _all(table: Table) -> composed.Compose:
    return lambda: table.rows.order_by("pk").values("pk", *table.columns)


@cache
def _some(table: Table) -> composed.Compose:
    return lambda keys: _all(table)().filter(pk__in=keys)


@cache
def _pairs(table: Table, name: str) -> composed.Compose:
    word = "codename" if name.endswith("permissions") else "name"

    def pairs(keys: Sequence[int]) -> QuerySet[Any, Any]:
        found: QuerySet[Any, Any] = table.rows.filter(pk__in=keys).exclude(**{name: None}).order_by("pk")
        return found.values_list("pk", f"{name}__{word}")

    return pairs


def _roles() -> QuerySet[Any, Any]:
    return Group.objects.filter(name__in=PERMISSIONS).values_list("pk", "name")


def _add_many(table: Table, name: str, found: Mapping[int, tuple[dict[str, Any], frozenset[str]]]) -> None:
    """Groups and permissions by what they are called: their numbers mean nothing to who reads the ledger."""
    lists: dict[int, list[str]] = {pk: [] for pk in found}
    for pk, called in composed.among(_pairs(table, name), found):
        lists[pk].append(called)
    lists = {pk: sorted(called) for pk, called in lists.items()}
    roles = dict(composed.rows(_roles)) if table.model is Group else {}
    for pk, called in lists.items():
        # A role has what this version gives it, which is no change of anybody's.
        own = pk in roles and called == sorted(each.partition(".")[2] for each in PERMISSIONS[roles[pk]])
        found[pk][0][name] = "as the role" if own else called


def keeper(column: "Field[Any, Any]") -> Callable[[Any], Any]:
    """What a seal has of a value of this column: a number, a truth value, a time, a choice or nothing as it is; of a
    text or a document the first 32 digits of its SHA-256."""
    if isinstance(column, JSONField):
        return _of_document
    return _of_choice if column.choices else _of_value


def _of_document(value: Any) -> str:
    return _digest(canonical(value))


def _of_choice(value: Any) -> Any:
    return _of_value(value) if value is None or isinstance(value, bool | int | float | date | time) else str(value)


def _of_value(value: Any) -> Any:
    if value is None or value == "" or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date | time):
        return value.isoformat()
    return _digest(str(value))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _tokens(pk: int, value: Any) -> Any:
    """A label becomes a token with the rest of the event; what MLflow calls a person is known as theirs alone."""
    if not isinstance(value, list) or not value:
        return value
    person = User.objects.get(pk=pk)
    return [pseudonyms.token_of(person, str(name)) for name in value]
