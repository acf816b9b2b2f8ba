"""Rows by the million without the ORM: by COPY on PostgreSQL, by bulk inserts on SQLite, from the same values."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from django.core.management.color import no_style
from django.db import connection, models, transaction

AT_ONCE = 5_000
"""Rows in one INSERT or one write to the COPY."""

Values = dict[str, Any]


class Table:
    """Of one model. Rows are what `same` says with the columns that vary; what neither names has its default."""

    def __init__(self, model: type[models.Model], **same: Any) -> None:
        self.model, made = model, model(**same)
        self._same = {field.attname: getattr(made, field.attname) for field in model._meta.concrete_fields}
        self._columns = [field.column for field in model._meta.concrete_fields]

    def write(self, rows: Iterable[Values]) -> int:
        """`rows` are keyed by attribute (`request_id`, `version_id`) and have each primary key; JSON may be given as
        text. Returns how many there were."""
        names, name = ", ".join(f'"{each}"' for each in self._columns), self.model._meta.db_table
        is_postgresql, count = connection.vendor == "postgresql", 0
        plain = _told if is_postgresql else _bound
        same = {key: plain(value) for key, value in self._same.items()}
        lines = ([*(same | {key: plain(value) for key, value in row.items()}).values()] for row in rows)
        with transaction.atomic(), connection.cursor() as cursor:
            if is_postgresql:
                with cursor.copy(f'COPY "{name}" ({names}) FROM STDIN') as copy:
                    for batch in _batches(lines):
                        copy.write("".join("\t".join(line) + "\n" for line in batch))
                        count += len(batch)
            else:
                marks = ", ".join(["%s"] * len(self._columns))
                for batch in _batches(lines):
                    cursor.executemany(f'INSERT INTO "{name}" ({names}) VALUES ({marks})', batch)  # noqa: S608 -- names of Django's
                    count += len(batch)
        return count


def _batches(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    while batch := list(islice(rows, AT_ONCE)):
        yield batch


_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _told(value: Any) -> str:
    """As PostgreSQL's COPY reads it."""
    if value is None:
        return r"\N"
    if isinstance(value, str):
        return value.translate(_ESCAPED) if "\\" in value or not value.isprintable() else value
    if isinstance(value, dict | list):
        return json.dumps(value).translate(_ESCAPED)
    return str(value)


def _bound(value: Any) -> Any:
    """As Django stores it in SQLite."""
    if isinstance(value, datetime):
        return str(value.astimezone(UTC).replace(tzinfo=None))
    if isinstance(value, uuid.UUID):
        return value.hex
    return json.dumps(value) if isinstance(value, dict | list) else value


@contextmanager
def unguarded() -> Iterator[None]:
    """Without the ledger's triggers, which let the chain grow by one event at a time, and without foreign keys that are
    looked up row by row. Both are back afterwards; PostgreSQL asks for a superuser."""
    from approvals.ledger import triggers

    is_postgresql = connection.vendor == "postgresql"
    triggers.remove(connection.schema_editor())
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica" if is_postgresql else "PRAGMA foreign_keys = OFF")
        try:
            yield
        finally:
            cursor.execute("RESET session_replication_role" if is_postgresql else "PRAGMA foreign_keys = ON")
            triggers.install(connection.schema_editor())


def settle(tables: Iterable[Table]) -> None:
    """Numbers go on after the last one written, and the database knows how much there is of what."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [each.model for each in tables]):
            cursor.execute(statement)
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def timed(say: Callable[[str], None], what: str, write: Callable[[], int]) -> None:
    """Says how many rows there were and how long they took."""
    began = datetime.now(UTC)
    count = write()
    say(f"  {count:>9,} {what} in {(datetime.now(UTC) - began).total_seconds():.1f} s")
