"""The System page says of each queue's work whether it is late."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from approvals.models import Assessment, Target, WatchState
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
