"""The System page says of each queue's work whether it is late."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals.models import Assessment, Enforcement, PolicyFeed, Target, WatchState
from mirror.models import MirrorState
from registry_ui import system
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
