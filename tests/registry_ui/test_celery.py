"""What the beat calls every few seconds costs the same whatever there is, as long as there is nothing to do."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

import approvals.tasks
import mirror.tasks
from accounts.models import User
from approvals.models import PromotionRequest, Target, Tenure
from mirror.models import MirrorState
from registry_ui.celery import app
from tests.support.factories import make_policy, make_request
from tests.support.fakes import FakeRegistry
from tests.support.world import version

pytestmark = pytest.mark.django_db

SIZES = (1, 3, 9)
"""Models, each with what waits; those after the first were changed outside Countersign, with an open incident each."""


def grow(registry: FakeRegistry, first: int, last: int) -> None:
    """Models of three versions, of which one holds Production and one Staging."""
    for index in range(first, last):
        name = f"model_{index}"
        for _ in range(3):
            run_id = registry.log_run({"auc_roc": 0.9}, {"max_depth": "8"})
            registry.create_version(name, run_id=run_id, description="Trained.")
        registry.set_stage(name, 1, "Production", archive_existing=False)
        registry.set_alias(name, "champion", 1)
        registry.set_stage(name, 2, "Staging", archive_existing=False)


def run(task: str) -> int:
    """The queries of one call, as if it were due."""
    MirrorState.objects.update(pull_due_at=None, sweep_due_at=None)
    with CaptureQueriesContext(connection) as queries:
        app.tasks[task].run()
    return len(queries)


def test_a_task_with_nothing_to_do_asks_as_much_for_many_as_for_few(
    rita: User, production: Target, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    make_policy("*", production, (1, None))
    settings.CHECKPOINT_KEY = b"k" * 32
    app.loader.import_default_modules()
    registry = FakeRegistry()
    for module, name in ((approvals.tasks, "_registry"), (mirror.tasks, "_registry"), (mirror.tasks, "connect")):
        monkeypatch.setattr(module, name, lambda: registry)
    asked: dict[str, list[int]] = {task: [] for task in settings.CELERY_BEAT_SCHEDULE}
    there = 0
    for size in SIZES:
        grow(registry, there, size)
        run("mirror.sweep")
        for index in range(there, size):
            make_request(version(3, f"model_{index}"), production, by=rita)
        there = size
        for _ in range(2):  # what there is to do is done: holders found, files read, people told
            for task in asked:
                run(task)
        for task, counts in asked.items():
            counts.append(run(task))
        assert PromotionRequest.objects.filter(status="pending").count() == size
        assert Tenure.objects.open().count() == 3 * size
    few, many = ({task: counts[place] for task, counts in asked.items()} for place in (1, 2))
    assert many == few
    assert all(many.values()), "a task that asks nothing was not reached"
    assert max(many.values()) < 60
