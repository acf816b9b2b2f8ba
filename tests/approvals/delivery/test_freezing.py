"""Freezes on the real delivery code: held, released at the end, changed, retired, joined, in order."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import administration, delivery
from approvals.models import Action, AuditEvent, FreezeWindow, OutboxEntry, PromotionRequest, Status, Target
from approvals.policy.freezes import Once, Weekly
from approvals.workflow import Invalid, NotAllowed
from mirror.port import Unreachable
from registry_ui.system.work import outbox
from tests.support import world
from tests.support.factories import approve
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, freeze

pytestmark = pytest.mark.django_db


@pytest.fixture
def approved(registry: FakeRegistry, rita: User, remy: User, staging: Target) -> PromotionRequest:
    return world.approved(registry, 1, staging, by=rita, approvers=(remy,))


def entry(request: PromotionRequest) -> OutboxEntry:
    return request.outbox_entries.latest("pk")


def holds(request: PromotionRequest) -> int:
    return request.events.filter(action=Action.DELIVERY_HELD).count()


def pass_time(window: FreezeWindow) -> None:
    """As if the window had ended by itself a minute ago, without anybody touching it."""
    past = timezone.now() - timedelta(minutes=1)
    FreezeWindow.objects.filter(pk=window.pk).update(ends_at=past)
    OutboxEntry.objects.filter(held_until__isnull=False).update(held_until=past, available_at=past)


def test_nothing_is_read_or_written_while_a_freeze_is_on(approved: PromotionRequest, registry: FakeRegistry) -> None:
    window = freeze()
    registry.calls.clear()
    assert delivery.deliver(entry(approved).pk, registry) == "held"
    found = entry(approved)
    assert registry.calls == []
    assert (found.held_by, found.held_until, found.available_at) == ("Christmas", window.ends_at, window.ends_at)
    assert (found.attempts, found.waiting_since, found.last_error, found.is_claimed) == (0, None, "", False)
    event = approved.events.get(action=Action.DELIVERY_HELD)
    assert (event.data["freeze"], event.data["freeze_id"]) == ("Christmas", window.pk)
    assert event.allowed_by.startswith("Remy Ortiz")


def test_a_held_entry_is_recorded_once_and_delivered_when_the_window_ends(
    approved: PromotionRequest, registry: FakeRegistry
) -> None:
    window = freeze()
    for _ in range(3):
        delivery.drain(registry)
        OutboxEntry.objects.update(available_at=timezone.now())
    assert holds(approved) == 1
    pass_time(window)
    delivery.drain(registry)
    approved.refresh_from_db()
    assert approved.status == Status.APPLIED
    assert registry.version(MODEL, 1).stage == "Staging"


@pytest.mark.parametrize("how", ["retired", "shortened", "moved to another target"])
def test_a_window_that_no_longer_holds_lets_go_at_once(
    approved: PromotionRequest, registry: FakeRegistry, production: Target, how: str
) -> None:
    window = freeze()
    delivery.drain(registry)
    assert entry(approved).is_held
    if how == "retired":
        administration.retire_freeze(window, by=None)
    else:
        if how == "shortened":
            window.when = Once(timezone.now() - timedelta(hours=2), timezone.now() - timedelta(hours=1))
        else:
            window.target = production
        administration.save_freeze(window, by=None)
    delivery.drain(registry)
    approved.refresh_from_db()
    assert approved.status == Status.APPLIED


def test_a_window_that_is_prolonged_holds_on_and_says_so(approved: PromotionRequest, registry: FakeRegistry) -> None:
    window = freeze()
    delivery.drain(registry)
    window.when = Once(timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=9))
    administration.save_freeze(window, by=None)
    delivery.drain(registry)
    assert entry(approved).held_until == window.ends_at
    assert holds(approved) == 2


def test_the_drain_frees_what_was_put_aside_for_longer_than_any_window_holds(
    approved: PromotionRequest, registry: FakeRegistry
) -> None:
    window = freeze()
    delivery.drain(registry)
    FreezeWindow.objects.filter(pk=window.pk).update(retired_at=timezone.now())  # in the moment of the worker's hold
    delivery.drain(registry)
    approved.refresh_from_db()
    assert approved.status == Status.APPLIED


def test_two_windows_hold_until_the_later_end(approved: PromotionRequest, registry: FakeRegistry) -> None:
    freeze("First", hours=2)
    second = freeze("Second", hours=4)
    delivery.drain(registry)
    assert (entry(approved).held_by, entry(approved).held_until) == ("Second", second.ends_at)
    administration.retire_freeze(second, by=None)
    delivery.drain(registry)
    assert entry(approved).held_by == "First"


def test_two_requests_of_one_target_leave_a_freeze_in_their_order(
    approved: PromotionRequest, registry: FakeRegistry, rita: User, remy: User, staging: Target
) -> None:
    window = freeze()
    second = world.approved(registry, 2, staging, by=rita, approvers=(remy,))
    delivery.drain(registry)
    assert delivery.deliver(entry(second).pk, registry) == "skipped"  # the older one goes first
    pass_time(window)
    delivery.drain(registry)
    delivery.drain(registry)
    approved.refresh_from_db()
    second.refresh_from_db()
    assert approved.status == Status.APPLIED
    # The second was approved against another champion, so it comes back to be looked at instead of overtaking.
    assert second.status in (Status.CHECKING, Status.PENDING)
    assert registry.version(MODEL, 2).stage == "None"


@pytest.mark.parametrize("scope", ["another target", "another model"])
def test_a_window_for_something_else_holds_nothing(
    approved: PromotionRequest, registry: FakeRegistry, production: Target, scope: str
) -> None:
    if scope == "another target":
        freeze(target=production)
    else:
        freeze(model_pattern="fraud_*")
    assert delivery.deliver(entry(approved).pk, registry) == "applied"


def test_a_freeze_that_begins_between_two_tries_holds_the_second(
    approved: PromotionRequest, registry: FakeRegistry
) -> None:
    registry.fail_next("set_stage", Unreachable("MLflow is away."))
    assert delivery.deliver(entry(approved).pk, registry) == "waiting"
    assert entry(approved).plan is not None
    freeze()
    OutboxEntry.objects.update(available_at=timezone.now())
    assert delivery.deliver(entry(approved).pk, registry) == "held"
    assert registry.version(MODEL, 1).stage == "None"
    assert entry(approved).attempts == 1


def test_a_move_that_had_begun_is_finished_in_spite_of_a_freeze(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = world.approved(registry, 1, production, by=rita, approvers=(remy,))
    approve(request, rosa)
    registry.fail_next("set_alias", Unreachable("MLflow is away."))
    assert delivery.deliver(entry(request).pk, registry) == "waiting"
    assert registry.version(MODEL, 1).stage == "Production"  # half moved
    freeze()
    OutboxEntry.objects.update(available_at=timezone.now())
    assert delivery.deliver(entry(request).pk, registry) == "applied"


def test_what_a_freeze_holds_is_no_delay(approved: PromotionRequest, registry: FakeRegistry) -> None:
    OutboxEntry.objects.update(created_at=timezone.now() - timedelta(days=3))
    assert "Delayed" in str(outbox())
    freeze()
    delivery.drain(registry)
    assert not OutboxEntry.objects.owed(timezone.now()).exists()
    assert "1 approved request is waiting for a freeze to end." in str(outbox())


def weekly(name: str, *terms: object, **fields: object) -> FreezeWindow:
    window = FreezeWindow(name=name, **fields)
    window.when = Weekly(*terms, "Europe/Berlin")  # type: ignore[arg-type]
    return window


def test_a_week_without_a_free_moment_is_refused(db: None, staging: Target) -> None:
    with pytest.raises(Invalid, match="nothing could ever be delivered"):
        administration.save_freeze(weekly("Always", 0, time(8), 0, time(8)), by=None)
    administration.save_freeze(weekly("Weekend", 4, time(16), 0, time(8)), by=None)
    with pytest.raises(Invalid, match=r"together with “Weekend”, so nothing could ever be delivered"):
        administration.save_freeze(weekly("Work", 0, time(8), 4, time(16), target=staging), by=None)
    administration.save_freeze(weekly("Work", 0, time(8), 4, time(15), target=staging), by=None)


def test_administrators_alone_freeze_and_it_is_recorded(db: None, ada: User, remy: User) -> None:
    window = weekly("Weekend", 4, time(16), 0, time(8))
    with pytest.raises(NotAllowed):
        administration.save_freeze(window, by=remy)
    saved = administration.save_freeze(window, by=ada)
    assert saved.as_json()["weekly"] == {"from": "friday 16:00", "until": "monday 08:00", "time_zone": "Europe/Berlin"}
    administration.save_freeze(saved, by=ada)  # unchanged
    with pytest.raises(NotAllowed):
        administration.retire_freeze(saved, by=remy)
    administration.retire_freeze(saved, by=ada)
    told = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
    assert told == [Action.FREEZE_CREATED, Action.FREEZE_RETIRED]
    backwards = FreezeWindow(name="Backwards")
    backwards.when = Once(datetime(2026, 12, 2, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    with pytest.raises(Invalid, match="must end after it begins"):
        administration.save_freeze(backwards, by=ada)
