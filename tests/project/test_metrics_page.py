"""docs/operations.md says what each metric is."""

import re

import pytest

from registry_ui.metrics import database, processes
from tests.project.test_docs import OPERATIONS, section

NAME = re.compile(r"`(countersign_[a-z_]+)`")


@pytest.mark.django_db
def test_every_metric_has_a_row_and_every_row_a_metric() -> None:
    rows = [
        row.split("|")[1] for row in section(OPERATIONS, "Metrics").splitlines() if row.startswith("| `countersign_")
    ]
    named = [name for cell in rows for name in NAME.findall(cell)]
    assert len(named) == len(set(named))
    families = [*database.numbers(), *processes.registry.collect()]
    there = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    # Not there in an installation that has just begun.
    there |= {database.PREFIX + name for name in LATER}
    assert set(named) == there


LATER = (
    "gate_policy_age_seconds",
    "gate_policy_fetch_age_seconds",
    "ledger_intact",
    "checkpoint_age_seconds",
    "checkpoint_events_unsigned",
)
