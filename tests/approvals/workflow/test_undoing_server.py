"""What a real MLflow server has while a verdict can be undone, and after: nothing of it."""

import time

import pytest
from pytest_django import Settings

from accounts.models import User
from approvals import delivery, ledger, workflow
from approvals.models import OutboxEntry, PromotionRequest, Target
from mirror import clock, sweep
from mirror.mlflow.client import MlflowRegistry
from mirror.port import Registry, VersionSnapshot
from tests.support import world
from tests.support.backstage import Backstage
from tests.support.factories import approve
from tests.support.mlflow_server import MlflowServer
from tests.support.world import MODEL

pytestmark = [pytest.mark.server, pytest.mark.django_db, pytest.mark.nodb]  # others ask each database
ALSO_GATED = True


@pytest.fixture
def registry(mlflow_server: MlflowServer, settings: Settings) -> Registry:
    settings.MLFLOW_TRACKING_URI = mlflow_server.url
    engineer = Backstage(mlflow_server.url)
    for number in (1, 2):
        run_id = engineer.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
        engineer.create_version(MODEL, run_id=run_id, description=f"Trained for the {number}th time.")
    found = MlflowRegistry(mlflow_server.url, timeout_seconds=20)
    sweep.sweep(found)
    return found


def has(registry: Registry) -> tuple[VersionSnapshot, dict[str, int]]:
    """Stage, tags, description and all else of the version that is asked for, and the model's aliases."""
    return registry.version(MODEL, 2), dict(registry.model(MODEL).aliases)


def undo(request: PromotionRequest, person: User) -> None:
    workflow.undo_review(request, by=person, review=request.reviews.live().latest("pk").pk)
    request.refresh_from_db()


def test_nothing_of_an_approval_that_is_undone_reaches_mlflow(
    registry: Registry, ada: User, rita: User, remy: User, rosa: User, production: Target, settings: Settings
) -> None:
    request = world.ask(registry, 2, production, by=rita)
    before = has(registry)
    settings.UNDO_SECONDS = 2
    approve(request, remy, rosa)
    entry = OutboxEntry.objects.get()
    assert delivery.deliver(entry.pk, registry) == "skipped"
    assert delivery.drain(registry, first=entry.pk) == 0
    assert has(registry) == before
    undo(request, rosa)
    assert request.status == "pending"
    # Past the moment at which it would have been due.
    time.sleep(2.1)
    assert clock.now() > entry.available_at
    assert delivery.deliver(entry.pk, registry) == "skipped"
    assert delivery.drain(registry, first=entry.pk) == 0
    assert has(registry) == before
    # Approved anew, it is delivered when the time is over, and not before.
    approve(request, rosa)
    anew = OutboxEntry.objects.open().get()
    assert delivery.drain(registry, first=anew.pk) == 0
    assert has(registry) == before
    time.sleep(2.1)
    assert delivery.drain(registry) == 1
    request.refresh_from_db()
    assert request.status == "applied"
    version, aliases = has(registry)
    assert (version.stage, aliases) == ("Production", {"champion": 2})
    assert ledger.verify(with_references=True).is_intact
