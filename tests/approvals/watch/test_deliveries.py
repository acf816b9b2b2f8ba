"""Its own deliveries are never taken for a bypass: a look after every call to MLflow and every commit of a delivery,
with pulls and sweeps in between; deliveries that are killed or fail half way; and real threads."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import User
from approvals import tenures, watch, workflow
from approvals.delivery import settlement
from approvals.models import Incident, PromotionRequest, Status, Target, Tenure
from mirror import sync
from mirror.port import Refused, Unreachable
from tests.approvals.watch.race import race
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, approved, deliver, observe, running

DELIVERY = Tenure.Origin.DELIVERY


class Watched:
    """The registry, with somebody looking before and after every call."""

    def __init__(self, registry: FakeRegistry, look: Callable[[], object]) -> None:
        self.registry, self.look, self.looks = registry, look, 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.registry, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._look()
            result = call(*args, **kwargs)
            self._look()
            return result

        return watched

    def _look(self) -> None:
        if threading.current_thread() is threading.main_thread():  # the files are read in others
            self.looks += 1
            self.look()


class Killed(BaseException):
    """Stands for SIGKILL."""


def looks(registry: FakeRegistry) -> dict[str, Callable[[], object]]:
    return {
        "look alone": lambda: watch.look(registry),
        "pull": lambda: (sync.pull(registry), watch.look(registry)),
        "sweep": lambda: (sync.sweep(registry), watch.look(registry)),
        "refresh": lambda: (sync.refresh_model(registry, MODEL), watch.look(registry), watch.follow()),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["look alone", "pull", "sweep", "refresh"])
def test_a_look_after_every_call_of_a_delivery_finds_nothing(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User, how: str
) -> None:
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    watched: Any = Watched(registry, looks(registry)[how])
    assert deliver(request, watched) == "applied"
    assert watched.looks > 30
    assert observe(registry) == 0
    assert Incident.objects.count() == 0
    assert running("Production") == running("@champion") == {7: DELIVERY}
    assert running("Staging") == {}


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["pull", "sweep"])
@pytest.mark.parametrize("at", range(1, 31))
def test_a_delivery_that_is_killed_anywhere_and_resumed_is_no_bypass(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User, at: int, how: str
) -> None:
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    left, look = at, looks(registry)[how]

    def count_down() -> None:
        nonlocal left
        look()
        left -= 1
        if left == 0:
            raise Killed

    with contextlib.suppress(Killed):
        deliver(request, Watched(registry, count_down))  # type: ignore[arg-type]
    for _ in range(2):
        look()
        watch.follow()
    assert Incident.objects.count() == 0
    request.refresh_from_db()
    if request.status != Status.APPLIED:
        assert deliver(request, registry) == "applied"
    assert observe(registry) == 0
    assert Incident.objects.count() == 0
    assert running("Production") == {7: DELIVERY}


@pytest.mark.django_db
def test_a_look_in_the_middle_of_settling_finds_nothing(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every statement of the transaction, as a worker on another connection would see it: all or nothing."""
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    settle, looked = settlement.settle, []

    def settled(*args: Any, **kwargs: Any) -> None:
        sync.sweep(registry)
        looked.append(watch.look(registry))
        settle(*args, **kwargs)
        looked.append(watch.look(registry))

    monkeypatch.setattr("approvals.delivery.attempt.settle", settled)
    assert deliver(request, registry) == "applied"
    assert [each.found for each in looked] == [0, 0]
    assert [each.passed for each in looked] == [(MODEL,), ()]


# --- Deliveries that end half way


@pytest.fixture
def half_moved(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User, monkeypatch: pytest.MonkeyPatch
) -> PromotionRequest:
    """MLflow went away after the stage was set, so that nobody could look what it has."""
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))

    def goes_away(*_: Any, **__: Any) -> None:
        registry.is_down = True
        raise Unreachable("MLflow cannot be reached: Connection refused.")

    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_alias", goes_away)
        assert deliver(request, registry) == "waiting"
    registry.is_down = False
    return request


@pytest.mark.django_db
def test_a_half_done_delivery_waits_for_its_next_try(registry: FakeRegistry, half_moved: PromotionRequest) -> None:
    assert observe(registry) == 0
    assert watch.look(registry).passed == (MODEL,)
    assert deliver(half_moved, registry) == "applied"
    assert observe(registry) == 0
    assert Incident.objects.count() == 0


@pytest.mark.django_db
def test_a_half_that_is_settled_is_watched_while_it_waits(registry: FakeRegistry, half_moved: PromotionRequest) -> None:
    registry.fail_next("set_alias", Refused("Not you."))
    assert deliver(half_moved, registry) == "waiting"
    assert watch.look(registry).passed == ()
    assert observe(registry) == 0
    assert running("Production") == {7: DELIVERY}
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1


@pytest.mark.django_db
def test_a_half_done_delivery_that_is_withdrawn_is_an_incident_that_says_so(
    registry: FakeRegistry, half_moved: PromotionRequest, rita: User
) -> None:
    assert observe(registry) == 0
    workflow.withdraw(half_moved, by=rita, reason="Enough.")
    assert observe(registry) == 2  # the stage it took, and the one it left
    assert {each.details["half_done"] for each in Incident.objects.all()} == {half_moved.pk}


@pytest.mark.django_db
def test_an_approval_that_waits_for_mlflow_hides_nothing(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    registry.is_down = True
    assert deliver(request, registry) == "waiting"
    registry.is_down = False
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    assert deliver(request, registry) == "reopened"


# --- Real commits


@pytest.mark.usefixtures("committed")
def test_deliveries_pulls_sweeps_and_looks_at_once_open_no_incident() -> None:
    registry = FakeRegistry(limit=5000)
    models = [f"model_{number}" for number in range(4)]
    race(registry, registry, models, versions=5)


@pytest.mark.usefixtures("committed")
def test_settling_waits_for_a_look_that_has_begun() -> None:
    """What the order of the reads rests on, on PostgreSQL: no tenure changes while the head of the chain is held."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                tenures.hold_settlements()
                held.set()
                assert not done.wait(0.3)
        finally:
            connection.close()

    def settle() -> None:
        try:
            held.wait(5)
            with transaction.atomic():
                tenures.hold_settlements()
                done.set()
        finally:
            connection.close()

    threads = [threading.Thread(target=hold), threading.Thread(target=settle)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert done.is_set()
