"""The whole room. Roll back, break-glass and probation on a real MLflow server."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals import delivery, ledger, tenures, workflow
from approvals.evidence import approval_note
from approvals.models import OutboxEntry, Probation, PromotionRequest, Target
from approvals.policy import ProbationRule
from approvals.selectors import note_claims
from mirror import sweep
from mirror.mlflow.client import MlflowRegistry
from mirror.port import Registry
from tests.support import world
from tests.support.backstage import Backstage
from tests.support.factories import approve, make_person, make_policy
from tests.support.mlflow_server import MlflowServer
from tests.support.world import MODEL, REASON, break_glass, freeze, model, promote, version

pytestmark = [pytest.mark.server, pytest.mark.django_db, pytest.mark.nodb]  # others ask each database
ALSO_GATED = True


@pytest.fixture
def registry(mlflow_server: MlflowServer, settings: Settings) -> Registry:
    settings.MLFLOW_TRACKING_URI = mlflow_server.url
    engineer = Backstage(mlflow_server.url)
    for number in range(1, 5):
        run_id = engineer.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
        engineer.create_version(MODEL, run_id=run_id, description=f"Trained for the {number}th time.")
    found = MlflowRegistry(mlflow_server.url, timeout_seconds=20)
    sweep.sweep(found)
    return found


def held(registry: Registry) -> tuple[list[int], int | None]:
    """What MLflow says: the versions in Production, and whom the alias names."""
    numbers = sorted(each.number for each in registry.versions_in_stage(MODEL, "Production"))
    return numbers, registry.model(MODEL).aliases.get("champion")


def test_there_and_back_again(registry: Registry, rita: User, remy: User, rosa: User, production: Target) -> None:
    otto = make_person("Otto Reyes", "responder")
    for number in (1, 2):
        promote(registry, number, production, by=rita, approvers=(remy, rosa))
    assert held(registry) == ([2], 2)

    # A roll back overtakes what a freeze holds.
    waiting = approve(world.ask(registry, 3, production, by=rita), remy, rosa)
    window = freeze()
    delivery.drain(registry)
    back = workflow.roll_back(model(), production, by=otto, reason=REASON, leaving=2)
    delivery.drain(registry)
    back.refresh_from_db()
    waiting.refresh_from_db()
    assert (back.status, waiting.status) == ("applied", "approved")
    assert held(registry) == ([1], 1)
    assert registry.version(MODEL, 2).stage == "Archived"
    lines = approval_note.notes(registry.version(MODEL, 1).description)
    assert lines[-1].startswith("Rolled back into Production by Otto Reyes")

    # So does break-glass.
    broken = break_glass(4, production, by=otto)
    delivery.drain(registry)
    broken.refresh_from_db()
    assert (broken.status, held(registry)) == ("applied", ([4], 4))
    found = registry.version(MODEL, 4)
    assert approval_note.without_notes(found.description) == "Trained for the 4th time."
    assert approval_note.notes(found.description)[0].startswith("Promoted to Production without approval (break-glass)")
    assert [each.doubt for each in note_claims.check(version(4))] == [""]

    # Probation, and a bad report.
    window.delete()
    OutboxEntry.objects.open().update(available_at=timezone.now(), held_until=None)
    delivery.drain(registry)
    waiting.refresh_from_db()
    assert waiting.status == "pending", "Reviewers compared with version 2."
    make_policy("*", production, (1, None), probation=ProbationRule(1))
    workflow.withdraw(waiting, by=rita)
    provisional = promote(registry, 2, production, by=rita, approvers=(remy,))
    assert held(registry) == ([2], 2)
    row = Probation.objects.get(request=provisional)
    workflow.report_health(row, is_healthy=False, reason="Slow.", reported_by="Grafana", message_id="1")
    delivery.drain(registry)
    assert held(registry) == ([1], 1), "Version 4 held it last, but nobody approved that."
    assert tenures.holders(MODEL, production, "Production") == [1]
    row.refresh_from_db()
    assert row.rollback is not None
    assert PromotionRequest.objects.get(pk=row.rollback.pk).status == "applied"
    assert row.closed_at is not None
    assert row.closed_at - row.started_at < timedelta(minutes=5)
    assert ledger.verify().is_intact
