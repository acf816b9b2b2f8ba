"""`manage.py sweep` as an operator sees it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from approvals.models import Action, AuditEvent
from mirror import connect
from mirror.models import MirrorState, ModelVersion
from tests.support.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    fake = FakeRegistry()
    for _ in range(2):
        fake.create_version("churn_predictor", run_id=fake.log_run({"auc_roc": 0.9}))
    monkeypatch.setattr(connect, "connect", lambda: fake)
    return fake


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("sweep", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_sweep_shows_progress_and_ends_with_a_summary(registry: FakeRegistry) -> None:
    out, err = run()
    assert "1 models, 0 versions, 0 run facts\n1 models, 2 versions, 0 run facts\n" in err
    assert "1 models, 2 versions, 2 run facts\n" in err
    assert out.startswith("1 models and 2 versions in MLflow, read in ")
    assert out.endswith("2 versions added, 0 changed, 0 deleted; 2 run facts read.\n")
    assert ModelVersion.objects.count() == 2


def test_dry_run_prints_each_change_and_writes_nothing(registry: FakeRegistry) -> None:
    run()
    registry.set_stage("churn_predictor", 2, "Staging", archive_existing=False)
    registry.delete_version("churn_predictor", 1)
    out, _ = run("--dry-run")
    assert "churn_predictor version 2: stage None → Staging\n" in out
    assert "churn_predictor version 1: deleted\n" in out
    assert out.endswith("Would be: 0 versions added, 1 changed, 1 deleted.\n")
    assert set(ModelVersion.objects.values_list("stage", "deleted_at")) == {("None", None)}


def test_outage_ends_the_command_with_mlflows_message(registry: FakeRegistry) -> None:
    registry.is_down = True
    with pytest.raises(CommandError, match="MLflow cannot be reached"):
        run()
    assert MirrorState.objects.current().sweep_error.startswith("MLflow cannot be reached")


def test_much_missing_is_confirmed_with_a_reason(registry: FakeRegistry) -> None:
    for _ in range(40):
        registry.create_version("fraud")
    run()
    for number in range(1, 31):
        registry.delete_version("fraud", number)
    with pytest.raises(CommandError, match="30 of 42 versions"):
        run()
    with pytest.raises(CommandError, match="Enter"):
        run("--confirm-deletions", " ")
    out, _ = run("--confirm-deletions", "Old versions were purged.")
    assert "30 deleted" in out
    told = AuditEvent.objects.get(action=Action.DELETIONS_CONFIRMED)
    assert (told.data["versions"], told.data["reason"]) == (30, "Old versions were purged.")
    assert told.actor_label == "Countersign command line"
    with pytest.raises(CommandError, match="Nothing to confirm"):
        run("--confirm-deletions", "Again.")


def test_second_sweep_at_the_same_time_is_refused(registry: FakeRegistry) -> None:
    MirrorState.objects.claim("sweeping_until", seconds=60)
    with pytest.raises(CommandError, match="Another sweep is running"):
        run()
    assert registry.calls == []
    run("--dry-run")
