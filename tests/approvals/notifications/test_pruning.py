"""What is taken away after a time, and what stays because a page, the watch, a reminder or the ledger needs it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import notifications, tasks
from approvals.ledger import sealed
from approvals.models import Kind, Notification, OutboxEntry, PromotionRequest, Target, Tenure, WatchState
from approvals.workflow import outbox
from tests.approvals.watch.conftest import kept_registry as kept_registry  # noqa: PLC0414  a fixture
from tests.approvals.watch.conftest import registry as registry  # noqa: PLC0414  a fixture
from tests.support.factories import approve, make_request
from tests.support.fakes import FakeRegistry
from tests.support.pages import text_of
from tests.support.world import approved, deliver, observe, version

pytestmark = pytest.mark.django_db
LONG_AGO = timezone.now() - timedelta(days=100)


@pytest.fixture
def delivered(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, production: Target
) -> tuple[PromotionRequest, PromotionRequest]:
    """Version 7, and then version 8, which holds Production now."""
    first = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    assert deliver(first, registry) == "applied"
    second = approved(registry, 8, production, by=rita, approvers=(remy, rosa))
    assert deliver(second, registry) == "applied"
    assert observe(registry) == 0
    return first, second


def age(**fields: Any) -> None:
    """As if all was closed long ago; the seals of the ledger keep the true time."""
    OutboxEntry.objects.filter(**fields).exclude(closed_at=None).update(closed_at=LONG_AGO)


def test_closed_deliveries_go_and_what_holds_a_target_stays(
    client: Client, vera: User, delivered: tuple[PromotionRequest, PromotionRequest]
) -> None:
    assert outbox.prune() == 0
    age()
    assert tasks.prune() == 1
    assert OutboxEntry.objects.get().request == delivered[1]
    assert Tenure.objects.open().filter(request=delivered[1]).exists()
    client.force_login(vera)
    answer = client.get(delivered[0].get_absolute_url())
    assert answer.status_code == 200
    assert "Applied" in text_of(answer.content.decode())


def test_the_ledger_does_not_miss_them_and_misses_one_that_is_open(
    delivered: tuple[PromotionRequest, PromotionRequest], rita: User, remy: User, staging: Target
) -> None:
    age(request=delivered[0])
    assert outbox.prune() == 1
    assert missed() == []
    waiting = approve(make_request(version(1), staging, by=rita), remy)
    entry = waiting.outbox_entries.get()
    OutboxEntry.objects.filter(pk=entry.pk).delete()
    assert len(missed()) == 1


def missed() -> list[str]:
    """What verification says of rows that are not there any more."""
    found = [each[0].problem for each in sealed.faults([]) if each is not None]
    return [words for words in found if "is not there any more" in words]


def test_a_move_that_was_left_half_done_and_an_open_request_keep_theirs(
    registry: FakeRegistry, delivered: tuple[PromotionRequest, PromotionRequest], rita: User, staging: Target
) -> None:
    OutboxEntry.objects.filter(request=delivered[0]).update(outcome="failed")
    age()
    assert outbox.prune() == 0
    OutboxEntry.objects.filter(request=delivered[0]).update(outcome="applied")
    PromotionRequest.objects.filter(pk=delivered[0].pk).update(status="failed", closed_at=None)
    assert outbox.prune() == 0


def test_before_the_watch_has_looked_nothing_goes(delivered: tuple[PromotionRequest, PromotionRequest]) -> None:
    age()
    WatchState.objects.update(looked_at=None)
    assert outbox.prune() == 0


def test_notifications_go_when_they_are_old_and_nothing_of_an_open_request(
    rita: User, remy: User, delivered: tuple[PromotionRequest, PromotionRequest], staging: Target
) -> None:
    Notification.objects.all().delete()
    open_one = make_request(version(1), staging, by=rita)
    for key, fields in {
        "sent": {"sent_at": LONG_AGO},
        "dropped": {"dropped_at": LONG_AGO},
        "of a closed request": {"sent_at": LONG_AGO, "request": delivered[0]},
        "kept: new": {"sent_at": timezone.now()},
        "kept: unsent": {"created_at": LONG_AGO},
        "kept: of an open request": {"sent_at": LONG_AGO, "request": open_one},
    }.items():
        Notification.objects.create(key=key, recipient=remy, kind=Kind.COMMENTED, title=key, **fields)
    assert notifications.prune() == 3
    assert all(key.startswith("kept") for key in Notification.objects.values_list("key", flat=True))
    assert Notification.objects.count() == 3
