"""Reads the chain fast: the database writes the canonical JSON of a block of rows, in threads beside the one that
hashes.

Every text goes through the database's own JSON quoting, and numbers and times are written in the one way that
`rows.as_record` writes them, so two different rows never give the same text: what fits here fits `rows.digest` as well.
What does not fit proves nothing yet (a database may hold a value in another form than it is written in); `chain` looks
at such a block again, row by row.
"""

import hashlib
import os
import queue
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Self

from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionProxy

BLOCK = 1000
"""Events an answer: about half a megabyte, as long as no one writes long comments."""

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
_POSTGRESQL = """
SELECT count(*),
  convert_to(string_agg('{"action":' || to_json(action::text) || ',"actor_id":' || coalesce(actor_id::text, 'null') ||
    ',"actor_label":' || to_json(actor_label::text) || ',"allowed_by":' || to_json(allowed_by) ||
    ',"at":"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00"}', chr(10) ORDER BY sequence),
    'UTF8'),
  convert_to(string_agg(replace(correlation_id::text, '-', ''), chr(10) ORDER BY sequence), 'UTF8'),
  convert_to(string_agg('{"model_name":' || to_json(model_name::text) || ',"payload":' || to_json(payload) ||
    ',"previous_hash":' || to_json(previous_hash::text) || ',"request_id":' || coalesce(request_id::text, 'null') ||
    ',"sequence":' || sequence || ',"target_name":' || to_json(target_name::text) || ',"version_number":' ||
    coalesce(version_number::text, 'null') || '}', chr(10) ORDER BY sequence), 'UTF8'),
  convert_to(string_agg(previous_hash, chr(10) ORDER BY sequence), 'UTF8'),
  convert_to(string_agg(hash, chr(10) ORDER BY sequence), 'UTF8')
FROM approvals_auditevent WHERE sequence BETWEEN %s AND %s
"""


@dataclass(frozen=True, slots=True)
class Block:
    """Events `first` to `last`, all of them."""

    first: int
    last: int
    begins: bytes
    correlations: bytes
    ends: bytes
    previous: bytes
    hashes: bytes

    def ending(self, before: str) -> str | None:
        """The hash of its last event, if it continues from the hash `before` and every row is as it was written."""
        if self.previous.split(b"\n", 1)[0] != before.encode() or self.previous[65:] != self.hashes[:-65]:
            return None
        texts, stored = self.texts(), self.hashes.split(b"\n")
        if texts is None or len(stored) != len(texts):
            return None
        sha256 = hashlib.sha256
        computed = "\n".join([sha256(text).hexdigest() for text in texts])
        return stored[-1].decode() if computed.encode() == self.hashes else None

    def texts(self) -> list[bytes] | None:
        """What the hashes cover, row by row; None where the rows are not what rows of the ledger are."""
        begins, ends = self.begins[:-1].split(b"}\n"), self.ends[1:].split(b"\n{")
        correlations, previous = self.correlations.split(b"\n"), self.previous.split(b"\n")
        count = self.last - self.first + 1
        if not len(begins) == len(ends) == len(correlations) == len(previous) == count:
            return None
        hyphened = {}
        for found in set(correlations):
            if len(found) != 32:
                return None
            hyphened[found] = b"-".join((found[:8], found[8:12], found[12:16], found[16:20], found[20:]))
        ids = map(hyphened.__getitem__, correlations)
        parts = zip(previous, begins, repeat(b',"correlation_id":"'), ids, repeat(b'",'), ends, strict=False)
        return list(map(b"".join, parts))


def blocks(first: int, last: int) -> Iterator[tuple[int, int, Block | None]]:
    """(first number, last number, block), one after the other; None where the database cannot write it, or has not as
    many rows as there are numbers. At most a few blocks are in memory.

    Inside a transaction, whose rows no other connection sees, the caller's own reads them, without threads.
    """
    ranges = ((start, min(start + BLOCK - 1, last)) for start in range(first, last + 1, BLOCK))
    if connection.in_atomic_block or last - first < BLOCK:
        for start, end in ranges:
            yield start, end, _block(connection, start, end)
        return
    with _Readers() as readers:
        asked: deque[tuple[int, int, Future[Block | None]]] = deque()
        for start, end in ranges:
            asked.append((start, end, readers.ask(start, end)))
            if len(asked) > READERS:
                yield _answered(asked)
        while asked:
            yield _answered(asked)


def _answered(asked: "deque[tuple[int, int, Future[Block | None]]]") -> tuple[int, int, Block | None]:
    start, end, answer = asked.popleft()
    return start, end, answer.result()


def _block(database: "BaseDatabaseWrapper | ConnectionProxy[Any]", first: int, last: int) -> Block | None:
    query = _POSTGRESQL if database.vendor == "postgresql" else _SQLITE
    try:
        with database.cursor() as cursor:
            cursor.execute(query, [first, last])
            count, *parts = cursor.fetchone()
    except DatabaseError:  # such as a BLOB in a column of text, which is no JSON
        return None
    return Block(first, last, *map(bytes, parts)) if count == last - first + 1 and None not in parts else None


class _Readers:
    """Threads that ask, each through a connection of its own; the database works without holding Python up."""

    def __init__(self) -> None:
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

    def ask(self, first: int, last: int) -> "Future[Block | None]":
        return self.pool.submit(self._read, first, last)

    def _read(self, first: int, last: int) -> Block | None:
        database = self.free.get()
        try:
            return _block(database, first, last)
        finally:
            self.free.put(database)
