"""That programs read the history is on the record, and does not fill it."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from approvals import administration, workflow
from approvals.administration import readings
from approvals.models import Action, AuditEvent


def read(by: User, after: int = 0) -> int:
    administration.record_reading(by=by, after=after)
    return AuditEvent.objects.filter(action=Action.HISTORY_EXPORTED, actor=by).count()


def test_it_is_recorded_once_a_day_for_each_account(
    vera: User, ada: User, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert [read(vera), read(vera), read(ada)] == [1, 1, 1]
    with django_assert_num_queries(1):
        administration.record_reading(by=vera, after=7)
    tomorrow = timezone.now() + timedelta(days=1, seconds=1)
    monkeypatch.setattr(readings.timezone, "now", lambda: tomorrow)
    assert read(vera) == 2


def test_what_lies_before_what_was_noted_is_noted(vera: User) -> None:
    """Else the record would say that little was read of what was read from the first event on."""
    administration.record_export(by=vera, filters={"Model": "churn_predictor"})
    assert [read(vera, after) for after in (9000, 9001, 3, 3, 8000, 0, 0)] == [2, 2, 3, 3, 3, 4, 4]
    told = AuditEvent.objects.order_by("sequence").last()
    assert told is not None
    assert told.data["filters"] == {"After event": "0"}


def test_it_is_for_those_who_may_export(rita: User) -> None:
    with pytest.raises(workflow.NotAllowed, match="Only auditors and administrators"):
        read(rita)
    assert not AuditEvent.objects.exists()
