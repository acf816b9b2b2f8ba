"""MLflow is asked about the versions themselves before anybody is accused or anything is put back: listings that are
behind, and looks that are half."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import watch
from approvals.models import Incident, Target, Tenure
from mirror import rows, sync
from mirror.models import ModelVersion
from mirror.port import ModelSnapshot
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, answered_by, approved, deliver, observe, only_incident, running

pytestmark = pytest.mark.django_db
DELIVERY, FOUND = Tenure.Origin.DELIVERY, Tenure.Origin.FOUND


@pytest.mark.parametrize("is_everything_behind", [False, True])
def test_a_replica_that_is_behind_a_delivery_accuses_nobody_and_nothing_is_written(
    registry: FakeRegistry, production: Target, rita: User, remy: User, is_everything_behind: bool
) -> None:
    answered_by("put_back", production)
    request = approved(registry, 8, production, by=rita, approvers=(remy,))
    with registry.behind(everything=is_everything_behind):
        before = registry._replica
        registry._replica = None
        assert deliver(request, registry) == "applied"
        registry._replica = before
        writes = registry.count("set_stage", "set_alias")
        sync.sweep(registry)
        sync.pull(registry)
        assert not ModelVersion.objects.filter(number=8, stage="Production").exists(), "the mirror believes the listing"
        assert watch.run(registry) == 0
        assert registry.count("set_stage", "set_alias") == writes
    assert observe(registry) == 0
    assert Incident.objects.count() == 0
    assert running("Production") == running("@champion") == {8: DELIVERY}


def test_a_delivery_is_not_sent_back_to_review_by_a_listing_that_is_behind(
    registry: FakeRegistry, production: Target, rita: User, remy: User
) -> None:
    answered_by("report", production)
    assert deliver(approved(registry, 7, production, by=rita, approvers=(remy,)), registry) == "applied"
    request = approved(registry, 8, production, by=rita, approvers=(remy,))
    behind = (
        dict(registry._models),
        {
            key: replace(each, stage={7: "Staging", 6: "Production"}.get(each.number, each.stage))
            for key, each in registry._versions.items()
        },
    )
    with registry.behind():
        registry._replica = behind
        assert deliver(request, registry) == "applied", "the versions themselves were asked"
    assert observe(registry) == 0
    assert Incident.objects.count() == 0


def test_a_sweep_that_writes_an_older_answer_between_asking_and_judging_accuses_nobody(registry: FakeRegistry) -> None:
    stale = replace(registry.model(MODEL), aliases={"champion": 5})
    rows.put_models([stale], timezone.now())
    ask = registry.version

    def overtaken(model: str, number: int) -> Any:
        rows.put_models([stale], timezone.now() + timedelta(milliseconds=200))  # asked for later, written first
        return ask(model, number)

    registry.version = overtaken  # type: ignore[method-assign]
    found = watch.look(registry)
    assert (found.found, found.passed) == (0, (MODEL,)), "looked at again next time"
    registry.version = ask  # type: ignore[method-assign]
    time.sleep(0.3)
    assert observe(registry) == 0
    assert Incident.objects.count() == 0


def test_a_real_change_right_after_a_delivery_is_found_at_once(
    registry: FakeRegistry, production: Target, rita: User, remy: User
) -> None:
    answered_by("report", production)
    assert deliver(approved(registry, 8, production, by=rita, approvers=(remy,)), registry) == "applied"
    registry.set_stage(MODEL, 6, "Production", archive_existing=True)
    assert observe(registry) == 1
    assert (only_incident().before, only_incident().after) == ([8], [6])


def test_a_replica_that_is_behind_a_put_back_is_waited_for(registry: FakeRegistry, production: Target) -> None:
    answered_by("put_back", production)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    sync.sweep(registry)
    with registry.behind(everything=True):
        before = registry._replica
        registry._replica = None
        assert watch.run(registry) == 1
        registry._replica = before
        assert Incident.objects.get().resolution == "put_back"
        sync.sweep(registry)
        assert watch.run(registry) == 0
    assert observe(registry) == 0
    assert registry.version(MODEL, 6).stage == "Production"


def test_a_put_back_believes_no_listing(registry: FakeRegistry, production: Target) -> None:
    """Somebody has put it right in MLflow by themself; the listing does not know yet."""
    answered_by("put_back", production)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    sync.sweep(registry)
    assert watch.look(registry).found == 1
    with registry.behind():
        registry.set_stage(MODEL, 6, "Production", archive_existing=True)
        writes = registry.count("set_stage", "set_alias")
        assert watch.restore(only_incident().pk, registry) == "changed"
        assert registry.count("set_stage", "set_alias") == writes


def test_mlflow_restored_to_before_a_promotion_is_one_look_not_the_steps_of_a_sweep(
    registry: FakeRegistry, production: Target, rita: User, remy: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered_by("report", production)
    backup = dict(registry._models), dict(registry._versions)
    assert deliver(approved(registry, 8, production, by=rita, approvers=(remy,)), registry) == "applied"
    assert observe(registry) == 0
    registry._models, registry._versions = backup
    Tenure.objects.open().update(started_at=timezone.now() - timedelta(minutes=5))
    found = []
    for step in ("put_models", "put_versions"):
        put = getattr(rows, step)

        def put_and_look(*values: Any, put: Any = put) -> None:
            put(*values)
            if not found:
                found.append(0)
                found[0] = watch.look(registry).found

        monkeypatch.setattr(rows, step, put_and_look)
    sync.sweep(registry)
    assert found == [2], "after the first step of the sweep"
    assert observe(registry) == 0
    told = [(each.place, each.before, each.after) for each in Incident.objects.order_by("place")]
    assert told == [("@champion", [8], [6]), ("Production", [8], [6])]
    assert running("Production").keys() == running("@champion").keys() == {6}


def test_half_a_sweep_opens_no_incident_of_a_state_that_never_was(registry: FakeRegistry) -> None:
    """The model has been read with its alias, the versions have not."""
    registry.create_version(MODEL)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    registry.set_alias(MODEL, "champion", 8)
    snapshot: ModelSnapshot = registry.model(MODEL)
    rows.put_models([replace(snapshot, aliases={"champion": 8})], timezone.now())
    assert watch.look(registry).found == 2
    told = [(each.place, each.before, each.after) for each in Incident.objects.order_by("place")]
    assert told == [("@champion", [6], [8]), ("Production", [6], [8])]


def test_nobody_is_accused_while_mlflow_does_not_answer(registry: FakeRegistry) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    sync.sweep(registry)
    registry.is_down = True
    looked = watch.look(registry)
    assert (looked.found, looked.passed) == (0, (MODEL,))
    registry.is_down = False
    assert watch.look(registry).found == 1
