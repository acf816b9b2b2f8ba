"""What somebody with the database's own password could do to the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from approvals import ledger
from approvals.ledger import triggers
from approvals.models import AuditEvent, ChainHead, defaults


@contextmanager
def without_triggers() -> Iterator[None]:
    """Inside a test's transaction, which a schema editor used as context manager would refuse on SQLite."""
    connection.check_constraints()
    editor = connection.SchemaEditorClass(connection, atomic=False)
    triggers.remove(editor)
    yield
    connection.check_constraints()
    triggers.install(editor)


STORED = {"actor_label": "stored_actor", "allowed_by": "stored_allowed_by"}


def _stored(columns: dict[str, Any]) -> dict[str, Any]:
    """By the names of the fields: `fields` of the functions below have the names of the columns."""
    return {STORED.get(name, name): value for name, value in columns.items()}


def alter(sequence: int, *, with_fitting_hash: bool = False, **fields: Any) -> None:
    with without_triggers():
        AuditEvent.objects.filter(sequence=sequence).update(**_stored(fields))
        if with_fitting_hash:
            event = AuditEvent.objects.get(sequence=sequence)
            AuditEvent.objects.filter(sequence=sequence).update(hash=ledger.digest(event))


def delete(sequence: int) -> None:
    with without_triggers():
        AuditEvent.objects.filter(sequence=sequence).delete()


def rewrite(since: int, **fields: Any) -> None:
    """Changes one event and computes every hash from it on anew, the head too: the chain fits again."""
    with without_triggers():
        AuditEvent.objects.filter(sequence=since).update(**_stored(fields))
        _seal(since)


def insert(after: int, **fields: Any) -> None:
    """Puts an event of one's own in, moves the others up and computes all hashes anew."""
    with without_triggers():
        last = ChainHead.objects.get().sequence
        for sequence in range(last, after, -1):
            AuditEvent.objects.filter(sequence=sequence).update(sequence=sequence + 1)
        copied = AuditEvent.objects.get(sequence=after)
        copied.sequence, copied.hash = after + 1, "f" * 64
        for name, value in _stored(fields).items():
            setattr(copied, name, value)
        copied.save(force_insert=True)
        _seal(after + 1)


def swap(first: int, second: int) -> None:
    """Two events change places, with the hashes that they have."""
    with without_triggers():
        AuditEvent.objects.filter(sequence=first).update(sequence=10**6)
        AuditEvent.objects.filter(sequence=second).update(sequence=first)
        AuditEvent.objects.filter(sequence=10**6).update(sequence=second)


def cut_off(since: int) -> None:
    """The end is gone, and the head is set back as if it had never been."""
    with without_triggers():
        AuditEvent.objects.filter(sequence__gte=since).delete()
        last = AuditEvent.objects.order_by("-sequence").first()
        ChainHead.objects.update(sequence=last.sequence if last else 0, hash=last.hash if last else defaults.GENESIS)


def _seal(since: int) -> None:
    before = AuditEvent.objects.filter(sequence=since - 1).first()
    previous = before.hash if before else defaults.GENESIS
    for event in AuditEvent.objects.filter(sequence__gte=since).order_by("sequence"):
        event.previous_hash = previous
        previous = ledger.digest(event)
        AuditEvent.objects.filter(sequence=event.sequence).update(previous_hash=event.previous_hash, hash=previous)
    last = AuditEvent.objects.order_by("-sequence")[0]
    ChainHead.objects.update(sequence=last.sequence, hash=last.hash)
