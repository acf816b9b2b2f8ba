"""Reads the chain fast: the database writes each row's canonical JSON, a block of rows an answer, in threads beside the
one that hashes.

The text of a block is, row by row, what the hash covers, a line feed, and the hash that is stored. JSON has no line
feed in it, and every column goes through the database's own JSON quoting, so two different rows never give the same
text: what fits here fits `rows.digest` as well. What does not fit proves nothing yet (a database may hold a value in
another form than it is written in); `chain` looks at such a block again, row by row.
"""

import hashlib
import queue
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionProxy

BLOCK = 1000
"""Events an answer: about half a megabyte, as long as nobody writes long comments."""

READERS = 2

_SQLITE = """
SELECT count(*), group_concat(
  previous_hash || json_object(
    'action', action, 'actor_id', actor_id, 'actor_label', actor_label, 'allowed_by', allowed_by,
    'at', replace(at, ' ', 'T') || CASE length(at) WHEN 19 THEN '.000000+00:00' ELSE '+00:00' END,
    'correlation_id', substr(correlation_id, 1, 8) || '-' || substr(correlation_id, 9, 4) || '-' ||
      substr(correlation_id, 13, 4) || '-' || substr(correlation_id, 17, 4) || '-' || substr(correlation_id, 21),
    'model_name', model_name, 'payload', payload, 'previous_hash', previous_hash, 'request_id', request_id,
    'sequence', sequence, 'target_name', target_name, 'version_number', version_number
  ) || char(10) || hash, char(10))
FROM approvals_auditevent WHERE sequence BETWEEN %s AND %s
"""
_POSTGRESQL = """
SELECT count(*), string_agg(
  previous_hash || '{"action":' || to_json(action::text) || ',"actor_id":' || coalesce(actor_id::text, 'null') ||
  ',"actor_label":' || to_json(actor_label::text) || ',"allowed_by":' || to_json(allowed_by) ||
  ',"at":"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00","correlation_id":"' ||
  correlation_id || '","model_name":' || to_json(model_name::text) || ',"payload":' || to_json(payload) ||
  ',"previous_hash":' || to_json(previous_hash::text) || ',"request_id":' || coalesce(request_id::text, 'null') ||
  ',"sequence":' || sequence || ',"target_name":' || to_json(target_name::text) ||
  ',"version_number":' || coalesce(version_number::text, 'null') || '}' || chr(10) || hash,
  chr(10) ORDER BY sequence)
FROM approvals_auditevent WHERE sequence BETWEEN %s AND %s
"""


def blocks(first: int, last: int) -> Iterator[tuple[int, int, bytes | None]]:
    """(first number, last number, text) of one block after the other; text None where the database cannot write it, or
    has not as many rows as there are numbers. At most a few blocks are in memory.

    Inside a transaction, whose rows no other connection sees, the caller's own reads them, without threads.
    """
    ranges = ((start, min(start + BLOCK - 1, last)) for start in range(first, last + 1, BLOCK))
    if connection.in_atomic_block or last - first < BLOCK:
        for start, end in ranges:
            yield start, end, _text(connection, start, end)
        return
    with _Readers() as readers:
        asked: deque[tuple[int, int, Future[bytes | None]]] = deque()
        for start, end in ranges:
            asked.append((start, end, readers.ask(start, end)))
            if len(asked) > READERS:
                start, end, answer = asked.popleft()
                yield start, end, answer.result()
        while asked:
            start, end, answer = asked.popleft()
            yield start, end, answer.result()


def fits(text: bytes, previous: str, count: int) -> str | None:
    """The last hash of a block that goes on from `previous` and has `count` rows, each as it was written; else None."""
    lines = text.split(b"\n")
    covered, stored = lines[::2], lines[1::2]
    if len(lines) != 2 * count:
        return None
    before = [previous.encode(), *stored[:-1]]
    if [line[:64] for line in covered] != before:
        return None
    sha256 = hashlib.sha256
    computed = "\n".join([sha256(line).hexdigest() for line in covered])
    return stored[-1].decode() if computed.encode() == b"\n".join(stored) else None


def _text(database: BaseDatabaseWrapper | ConnectionProxy, first: int, last: int) -> bytes | None:
    query = _POSTGRESQL if database.vendor == "postgresql" else _SQLITE
    try:
        with database.cursor() as cursor:
            cursor.execute(query, [first, last])
            count, text = cursor.fetchone()
    except (DatabaseError, UnicodeDecodeError):  # such as a BLOB in a column of text, which is no JSON
        return None
    return text.encode() if count == last - first + 1 and isinstance(text, str) else None


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

    def ask(self, first: int, last: int) -> "Future[bytes | None]":
        return self.pool.submit(self._read, first, last)

    def _read(self, first: int, last: int) -> bytes | None:
        database = self.free.get()
        try:
            return _text(database, first, last)
        finally:
            self.free.put(database)
