"""The whole room. What the System page says of each part."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals.models import Assessment, Enforcement, PolicyFeed, Target, WatchState
from mirror.models import MirrorState
from registry_ui import database_roles, system
from registry_ui.database_roles import OWNS, RunningRole
from tests.support.factories import make_request, make_version

pytestmark = pytest.mark.django_db


def part(name: str) -> system.Part:
    return next(each for each in system.parts() if each.name == name)


@pytest.mark.parametrize(
    ("swept", "age", "word"), [(5, 5, "On time"), (200, 100, "Late"), (100, None, "Late"), (5, None, "Not yet")]
)
def test_a_watch_that_stands_still_is_called_late(swept: int, age: int | None, word: str) -> None:
    now = timezone.now()
    assert part("Watch").word == "Not yet"
    MirrorState.objects.record(pulled_at=now, swept_at=now - timedelta(seconds=swept))
    looked_at = None if age is None else now - timedelta(seconds=age)
    WatchState.objects.update_or_create(pk=1, defaults={"looked_at": looked_at})
    assert (part("Watch").word, part("Watch").at) == (word, looked_at)


def test_who_runs_this_is_said_to_do_too_much_where_it_owns_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    said = part("Database role")
    if connection.vendor == "sqlite":
        assert said.word == "Does not apply"
    else:  # the suite makes its own tables
        assert (said.word, said.detail.partition(")")[0]) == ("Can do too much", OWNS.partition(")")[0])
        assert "deploy/docker/move-to-roles.sql" in said.remedy
    monkeypatch.setattr(database_roles, "running_role", lambda: RunningRole("countersign_app", False, ""))
    assert part("Database role").word == "OK"
    held = RunningRole("countersign_app", False, "auth_permission")
    monkeypatch.setattr(database_roles, "running_role", lambda: held)
    said = part("Database role")
    assert (said.word, said.remedy.partition(":")[0]) == (
        "Can do too much",
        "Run manage.py migrate as countersign_owner",
    )


def test_checks_that_nobody_looks_at_are_called_late(rita: User, staging: Target) -> None:
    assert part("Checks").word == "None waiting"
    request = make_request(make_version(), staging, by=rita, is_checked=False)
    assert part("Checks").word == "In progress"
    Assessment.objects.update(due_at=timezone.now() - timedelta(seconds=100))
    late = part("Checks")
    assert late.word == "Late"
    assert f"request #{request.pk}" in late.detail
    assert "worker must read this queue" in late.remedy


def test_the_policy_for_mlflow_is_told_from_the_key_to_its_arrival(settings: Settings, production: Target) -> None:
    def said() -> tuple[str, str]:
        found = part("Policy for MLflow")
        return found.word, found.detail

    settings.GATE_TOKEN = ""
    assert "Policy for MLflow" not in [each.name for each in system.parts()]
    Target.objects.filter(pk=production.pk).update(enforcement=Enforcement.ENFORCE)
    assert said() == ("No token", "Production is enforced.")
    settings.GATE_TOKEN = "a-token-of-the-gate"
    assert said()[0] == "Not signed"
    now = timezone.now()
    row = PolicyFeed.objects.create(pk=1, serial=12, issued_at=now)
    assert said() == ("Not fetched", "Production is enforced. Policy 12; MLflow has never fetched it.")
    PolicyFeed.objects.update(fetched_at=now)
    assert said() == ("Fetched", "Production is enforced. Policy 12; MLflow last fetched it")
    PolicyFeed.objects.update(fetched_at=now - timedelta(minutes=6))
    assert said()[0] == "Not fetched"
    PolicyFeed.objects.update(issued_at=now - timedelta(minutes=6))
    assert said()[0] == "Late"
    PolicyFeed.objects.filter(pk=row.pk).update(problem="The worker has no key.")
    assert (said()[0], part("Policy for MLflow").error) == ("Not signed", "The worker has no key.")
    Target.objects.filter(name="Staging").update(enforcement=Enforcement.OBSERVE)
    assert said()[1] == "Staging is observed. Production is enforced."


def test_how_often_mlflow_is_asked_is_told_with_the_reason(settings: Settings) -> None:
    settings.PULL_SECONDS, settings.SWEEP_SECONDS, settings.DRAIN_SECONDS = 5, 600, 5
    make_version()
    now = timezone.now()
    MirrorState.objects.record(pulled_at=now, swept_at=now, pull_took=[0.05], sweep_took=[30.0])
    assert part("Mirror").detail == (
        "Pulled every 5 seconds. A stage changed in MLflow is seen within 10 seconds. Last pull"
    )
    assert part("Sweep").detail == (
        "All models and versions are read every 10 minutes. An alias or tag changed in MLflow, or a deletion, is seen "
        "within 11 minutes. Last one finished"
    )
    MirrorState.objects.record(pull_took=[2.06], sweep_took=[480.0])
    assert part("Mirror").detail == (
        "Pulled every 45 seconds, not every 5 seconds: MLflow takes 2.1 seconds to list what changed, and this keeps "
        "below 5 % of one of its processors. A stage changed in MLflow is seen within 52 seconds. Last pull"
    )
    assert part("Sweep").detail == (
        "All models and versions are read every 80 minutes, not every 10 minutes: MLflow takes 8 minutes to list them, "
        "and this keeps below 10 % of one of its processors. An alias or tag changed in MLflow, or a deletion, is seen "
        "within 88 minutes. With MLflow's webhooks, an alias is seen at once. Last one finished"
    )
    settings.PULL_SECONDS_MOST = 10
    assert (
        "by COUNTERSIGN_PULL_SECONDS_MOST it is asked this often all the same, for 21 % of one" in part("Mirror").detail
    )


def test_a_mirror_that_is_pulled_seldom_is_not_called_stale(settings: Settings) -> None:
    settings.STALE_AFTER_SECONDS, settings.PULL_SECONDS = 60, 5
    make_version()
    before = timezone.now() - timedelta(seconds=100)
    MirrorState.objects.record(pulled_at=before, swept_at=before, pull_took=[0.01])
    assert (part("Mirror").word, part("Worker").word) == ("Stale", "Silent")
    MirrorState.objects.record(pull_took=[2.0])
    assert (part("Mirror").word, part("Worker").word) == ("Fresh", "OK")
