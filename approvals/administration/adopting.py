"""What the upgrade to version 0.4 found: rows from before events kept how they left theirs."""

from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from approvals import ledger
from approvals.ledger import sealed
from approvals.ledger.tables import TABLES
from approvals.models import Action, ChainHead

PORTION = 500
"""Rows in one event."""

UPGRADE = "Countersign upgrade"


@transaction.atomic
def adopt(**_: Any) -> int:
    """Receiver of post_migrate: has the ledger keep every row of an installation that is older than the seals, as it is
    now. Once; returns how many rows there were. Later changes of them are found, earlier ones are not."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return 0  # tables are not what this version reads
    head = ChainHead.objects.select_for_update().filter(pk=1).first()
    if head is None or head.sequence == 0 or sealed.is_sealed_throughout():
        return 0  # None: a database that was just emptied
    count = 0
    for label, table in TABLES.items():
        rows = iter(list(table.rows.order_by("pk").only("pk")))
        while portion := list(islice(rows, PORTION)):
            count += len(portion)
            data = {"adopted": label, "count": len(portion)}
            ledger.record(Action.ROWS_SEALED, actor=None, acting=UPGRADE, data=data, rows=portion, in_short=True)
    return count
