"""What the tests of the mirror begin with, where they say nothing else."""

from itertools import count

import pytest

from mirror import sync
from tests.support.fakes import FakeRegistry


@pytest.fixture
def registry() -> FakeRegistry:
    ticks = count(1_750_000_000_000)
    return FakeRegistry(clock=lambda: next(ticks))


@pytest.fixture
def churn(registry: FakeRegistry) -> FakeRegistry:
    """churn_predictor with two mirrored versions, the first in Production."""
    for metric in (0.90, 0.93):
        run_id = registry.log_run({"auc_roc": metric}, {"max_depth": "8"}, tags={"mlflow.source.git.commit": "abc"})
        registry.create_version("churn_predictor", run_id=run_id)
    registry.set_stage("churn_predictor", 1, "Production", archive_existing=False)
    registry.set_alias("churn_predictor", "champion", 1)
    sync.sweep(registry)
    registry.calls.clear()
    return registry
