"""Its own deliveries are never taken for a bypass: a look after every call to MLflow and every commit of a delivery,
with pulls and sweeps in between; deliveries that are killed or fail half way; and real threads."""

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import User
from approvals import tenures, watch, workflow
from approvals.delivery import settlement
from approvals.models import Incident, PromotionRequest, Target, Tenure
from mirror import sync
from mirror.port import Refused, Unreachable
from tests.approvals.watch.race import race
from tests.approvals.watch.watched import Watched, looks
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, approved, deliver, observe, running

DELIVERY = Tenure.Origin.DELIVERY


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
