"""Machines are upgraded one after the other: for a while, a process of the release before writes to the new tables."""

import re

import pytest
from django.db.migrations import AddField
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

SINCE = (0, 7)
"""The first release that can be begun while the one before is still running."""


def _release(name: str) -> tuple[int, ...]:
    """Of `0006_version_0_7`; of another name, that of no release."""
    found = re.fullmatch(r"\d+_version_(\d+(?:_\d+)*)", name)
    return tuple(int(each) for each in found[1].split("_")) if found else ()


ADDED = [
    pytest.param(operation, id=f"{label}.{operation.model_name}.{operation.name}")
    for (label, name), migration in sorted(MigrationLoader(None).disk_migrations.items())
    if label in {"accounts", "approvals", "mirror"} and _release(name) >= SINCE
    for operation in migration.operations
    if isinstance(operation, AddField)
]


def test_there_are_columns_to_look_at() -> None:
    assert ADDED


@pytest.mark.parametrize("added", ADDED)
def test_a_row_can_be_written_by_a_process_that_does_not_know_a_new_column(added: AddField) -> None:
    field = added.field
    assert field.null or field.many_to_many or field.db_default is not NOT_PROVIDED
