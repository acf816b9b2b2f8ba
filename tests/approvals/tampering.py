"""What somebody with the database's own password could do to the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from approvals import ledger, triggers
from approvals.models import AuditEvent


@contextmanager
def without_triggers() -> Iterator[None]:
    """Inside a test's transaction, which a schema editor used as context manager would refuse on SQLite."""
    connection.check_constraints()
    editor = connection.SchemaEditorClass(connection, atomic=False)
    triggers.remove(editor)
    yield
    connection.check_constraints()
    triggers.install(editor)


def alter(sequence: int, *, with_fitting_hash: bool = False, **fields: Any) -> None:
    """`fields` by the names of the columns."""
    stored = {"actor_label": "stored_actor", "allowed_by": "stored_allowed_by"}
    changed = {stored.get(name, name): value for name, value in fields.items()}
    with without_triggers():
        AuditEvent.objects.filter(sequence=sequence).update(**changed)
        if with_fitting_hash:
            event = AuditEvent.objects.get(sequence=sequence)
            AuditEvent.objects.filter(sequence=sequence).update(hash=ledger.digest(event))


def delete(sequence: int) -> None:
    with without_triggers():
        AuditEvent.objects.filter(sequence=sequence).delete()
