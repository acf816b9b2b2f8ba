"""Reads the chain fast: the database writes the canonical JSON of a block of rows, in threads beside the one that
hashes.

Every text goes through the database's own JSON quoting, and numbers and times are written in the one way that
`rows.as_record` writes them, so two different rows never give the same text: what fits here fits `rows.digest` as well.
What does not fit proves nothing yet (a database may hold a value in another form than it is written in); `chain` looks
at such a block again, row by row.

PostgreSQL can hash as well: then it answers with its verdict and the hashes alone, which takes its word.
"""

import hashlib
import os
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Self, TypeAlias

from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionProxy

Database: TypeAlias = "BaseDatabaseWrapper | ConnectionProxy[Any]"

READERS = max(1, min(os.cpu_count() or 1, 4))

# What stands before the correlation id, the id, what stands after it, the previous hash, the hash: each of all rows of
# the block, a line for each. The id lies in SQLite without hyphens, and putting them in there costs more than all else.
_SQLITE = """
SELECT count(*),
  CAST(group_concat(json_object(
    'action', action, 'actor_id', actor_id, 'actor_label', actor_label, 'allowed_by', allowed_by,
    'at', replace(at, ' ', 'T') || CASE length(at) WHEN 19 THEN '.000000+00:00' ELSE '+00:00' END), char(10)) AS BLOB),
  CAST(group_concat(correlation_id, char(10)) AS BLOB),
  CAST(group_concat(json_object(
    'model_name', model_name, 'payload', payload, 'previous_hash', previous_hash, 'request_id', request_id,
    'sequence', sequence, 'target_name', target_name, 'version_number', version_number), char(10)) AS BLOB),
  CAST(group_concat(previous_hash, char(10)) AS BLOB),
  CAST(group_concat(hash, char(10)) AS BLOB)
FROM approvals_auditevent WHERE sequence BETWEEN %s AND %s
"""
# All of it, for each row. Every function with its schema, so that none of that name elsewhere is asked. The previous
# hash needs no quoting, because nothing but 64 hexadecimal digits is the hash of the row before.
_WHOLE = """previous_hash || ('{"action":' || pg_catalog.to_json(action::text)::text ||
  ',"actor_id":' || coalesce(actor_id::text, 'null') ||
  ',"actor_label":' || pg_catalog.to_json(actor_label::text)::text ||
  ',"allowed_by":' || CASE allowed_by WHEN '' THEN '""' ELSE pg_catalog.to_json(allowed_by::text)::text END ||
  ',"at":"' || pg_catalog.to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') ||
  '+00:00","correlation_id":"' || correlation_id::text || '","model_name":' ||
  CASE model_name WHEN '' THEN '""' ELSE pg_catalog.to_json(model_name::text)::text END || ',"payload":') ||
  (pg_catalog.to_json(payload::text)::text || (',"previous_hash":"' || previous_hash || '","request_id":' ||
  coalesce(request_id::text, 'null') || ',"sequence":' || sequence::text || ',"target_name":' ||
  CASE target_name WHEN '' THEN '""' ELSE pg_catalog.to_json(target_name::text)::text END || ',"version_number":' ||
  coalesce(version_number::text, 'null') || '}'))"""
_WITHIN = "FROM approvals_auditevent WHERE sequence BETWEEN %s AND %s ORDER BY sequence"
_POSTGRESQL = f"SELECT {_WHOLE}, previous_hash, hash {_WITHIN}"
# A comparison with nothing is no verdict, and counts as one that failed. Should the rows come in another order, the
# links do not fit, and the block is read row by row.
_HASHED = f"""
SELECT pg_catalog.count(*), pg_catalog.bool_and(fits IS TRUE),
  pg_catalog.string_agg(previous_hash, ' '), pg_catalog.string_agg(hash, ' ')
FROM (
  SELECT previous_hash::text, hash::text,
    pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to({_WHOLE}, 'UTF8')), 'hex') = hash::text AS fits
  {_WITHIN}
) rows"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Block:
    """Events, all of them from one number to another: what the hash of each covers, the hash before it and its own."""

    texts: Sequence[bytes]
    previous: Sequence[str]
    hashes: Sequence[str]

    def ending(self, before: str) -> str | None:
        """The hash of its last event, if it continues from the hash `before` and every row is as it was written."""
        sha256 = hashlib.sha256
        does_follow = self.previous == [before, *self.hashes[:-1]]
        do_fit = does_follow and [sha256(text).hexdigest() for text in self.texts] == self.hashes
        return self.hashes[-1] if do_fit else None


@dataclass(frozen=True, slots=True)
class Hashed:
    """The same as the database judged them: it says whether every hash fits its row. The links are looked at here."""

    do_fit: bool
    previous: str
    hashes: str

    def ending(self, before: str) -> str | None:
        """As of a `Block`."""
        does_follow = self.previous == f"{before} {self.hashes[:-65]}".rstrip()
        return self.hashes[-64:] if self.do_fit and does_follow else None


@dataclass(frozen=True, slots=True)
class Way:
    """How blocks are read: events an answer, and what is asked."""

    size: int
    ask: "Callable[[Database, int, int], Block | Hashed | None]"


def blocks(first: int, last: int, way: Way) -> Iterator[tuple[int, int, Block | Hashed | None]]:
    """(first number, last number, block), one after the other; None where the database cannot write it, or has not as
    many rows as there are numbers. At most a few blocks are in memory.

    Inside a transaction, whose rows no other connection sees, the caller's own reads them, without threads.
    """
    ranges = ((start, min(start + way.size - 1, last)) for start in range(first, last + 1, way.size))
    if connection.in_atomic_block or last - first < way.size:
        for start, end in ranges:
            yield start, end, way.ask(connection, start, end)
        return
    with _Readers(way) as readers:
        asked: deque[tuple[int, int, Future[Block | Hashed | None]]] = deque()
        for start, end in ranges:
            asked.append((start, end, readers.ask(start, end)))
            if len(asked) > READERS:
                yield _answered(asked)
        while asked:
            yield _answered(asked)


def _answered(asked: "deque[tuple[int, int, Future[Block | Hashed | None]]]") -> tuple[int, int, Block | Hashed | None]:
    start, end, answer = asked.popleft()
    return start, end, answer.result()


def block(database: Database, first: int, last: int) -> Block | None:
    """What is hashed, for who hashes it."""
    if database.vendor == "postgresql":
        rows = [row for row in _rows(database, _POSTGRESQL, first, last) if None not in row]
        found = Block([row[0].encode() for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    else:
        answers = _rows(database, _SQLITE, first, last)
        found = _put_together(*answers[0]) if answers else Block([], [], [])
    return found if len(found.texts) == len(found.hashes) == last - first + 1 else None


def _hashed(database: Database, first: int, last: int) -> Hashed | None:
    ((count, do_fit, previous, hashes),) = _rows(database, _HASHED, first, last) or [(0, None, None, None)]
    return Hashed(bool(do_fit), previous, hashes) if count == last - first + 1 else None


OURS = Way(1000, block)
"""Half a megabyte or so an answer, as long as no one writes long comments."""

THE_DATABASES = Way(5000, _hashed)
"""On PostgreSQL: it hashes what it writes, and answers with its verdict and the hashes alone."""


def _rows(database: Database, query: str, first: int, last: int) -> list[Any]:
    try:
        with database.cursor() as cursor:
            cursor.execute(query, [first, last])
            return list(cursor.fetchall())
    except DatabaseError:  # such as a BLOB in a column of text, which is no JSON
        return []


def _put_together(count: int, *parts: bytes | None) -> Block:
    """What SQLite answers, row by row; nothing where the rows are not what rows of the ledger are."""
    nothing = Block([], [], [])
    if None in parts:
        return nothing
    before, ids, after, previous, hashes = (bytes(part or b"") for part in parts)
    begins, ends = before[:-1].split(b"}\n"), after[1:].split(b"\n{")
    correlations, links = ids.split(b"\n"), previous.split(b"\n")
    if not len(begins) == len(ends) == len(correlations) == len(links) == count:
        return nothing
    hyphened = {}
    for found in set(correlations):
        if len(found) != 32:
            return nothing
        hyphened[found] = b"-".join((found[:8], found[8:12], found[12:16], found[16:20], found[20:]))
    marks = map(hyphened.__getitem__, correlations)
    texts = zip(links, begins, repeat(b',"correlation_id":"'), marks, repeat(b'",'), ends, strict=False)
    return Block(
        list(map(b"".join, texts)), *(each.decode(errors="replace").split("\n") for each in (previous, hashes))
    )


class _Readers:
    """Threads that ask, each through a connection of its own; the database works without holding Python up."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.own = [connection.copy() for _ in range(READERS)]
        self.free: queue.SimpleQueue[BaseDatabaseWrapper] = queue.SimpleQueue()
        for made in self.own:
            made.inc_thread_sharing()
            self.free.put(made)
        self.pool = ThreadPoolExecutor(READERS, thread_name_prefix="ledger")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        for made in self.own:
            made.close()

    def ask(self, first: int, last: int) -> "Future[Block | Hashed | None]":
        return self.pool.submit(self._read, first, last)

    def _read(self, first: int, last: int) -> Block | Hashed | None:
        database = self.free.get()
        try:
            return self.way.ask(database, first, last)
        finally:
            self.free.put(database)
