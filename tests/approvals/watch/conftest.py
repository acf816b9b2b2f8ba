"""A registry with v6 in Production and champion and v7 in Staging, known to the watch, and who asks and approves."""

import pytest

from approvals import watch
from mirror import sync
from tests.approvals.watch.helpers import MODEL, seen
from tests.support.fakes import FakeRegistry


@pytest.fixture
def registry(db: None) -> FakeRegistry:
    fake = FakeRegistry(limit=5000)
    for number in range(1, 9):
        run_id = fake.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
        fake.create_version(MODEL, run_id=run_id, description=f"Trained for the {number}th time.")
    fake.set_stage(MODEL, 6, "Production", archive_existing=False)
    fake.set_alias(MODEL, "champion", 6)
    fake.set_stage(MODEL, 7, "Staging", archive_existing=False)
    sync.sweep(fake)
    assert watch.look(fake).found == 0
    seen(fake)
    return fake
