"""Several rooms. A worker that is killed after any call, delivering or putting back, and one that resumes its work:
nobody who looks in between sees a bypass. All cases begin with one world, made once."""

import contextlib
import copy

import pytest

from approvals import watch
from approvals.models import Action, AuditEvent, Incident, PromotionRequest, Status, Target, Tenure
from mirror import sync
from tests.approvals.watch.test_restoring import restore, stages
from tests.approvals.watch.watched import Killed, Watched, killed_at, looks
from tests.support.factories import make_person
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, answered_by, approved, deliver, observe, running, watched_registry


@pytest.fixture(scope="module")
def made(kept: None) -> tuple[FakeRegistry, PromotionRequest]:
    """Version 7 approved for Production, where 6 is."""
    rita = make_person("Rita Sanz", "requester")
    approvers = (make_person("Remy Ortiz", "reviewer"), make_person("Rosa Lind", "reviewer"))
    fake, production = watched_registry(), Target.objects.get(name="Production")
    return fake, approved(fake, 7, production, by=rita, approvers=approvers)


@pytest.fixture
def registry(db: None, made: tuple[FakeRegistry, PromotionRequest]) -> FakeRegistry:
    return copy.deepcopy(made[0])


@pytest.mark.parametrize("how", ["pull", "sweep"])
@pytest.mark.parametrize("at", range(1, 31))
def test_a_delivery_that_is_killed_anywhere_and_resumed_is_no_bypass(
    registry: FakeRegistry, made: tuple[FakeRegistry, PromotionRequest], at: int, how: str
) -> None:
    request = PromotionRequest.objects.get(pk=made[1].pk)
    look = looks(registry)[how]
    with contextlib.suppress(Killed):
        deliver(request, Watched(registry, killed_at(at, look)))  # type: ignore[arg-type]
    for _ in range(2):
        look()
        watch.follow()
    assert Incident.objects.count() == 0
    request.refresh_from_db()
    if request.status != Status.APPLIED:
        assert deliver(request, registry) == "applied"
    assert observe(registry) == 0
    assert Incident.objects.count() == 0
    assert running("Production") == {7: Tenure.Origin.DELIVERY}


@pytest.mark.parametrize("place", ["stage", "alias"])
@pytest.mark.parametrize("at", range(1, 16))
def test_putting_back_that_is_killed_anywhere_and_resumed_is_no_bypass(
    registry: FakeRegistry, production: Target, staging: Target, at: int, place: str
) -> None:
    answered_by("put_back", production, (2, None))
    answered_by("put_back", staging)
    if place == "stage":
        registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    else:
        registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 1

    def look() -> None:
        sync.sweep(registry)
        watch.look(registry)

    with contextlib.suppress(Killed):
        restore(Watched(registry, killed_at(at, look)))
    look()
    restore(registry)
    assert Incident.objects.get().resolution == "put_back"
    assert stages(registry)[6] == "Production"
    assert registry.model(MODEL).aliases == {"champion": 6}
    assert running("Production" if place == "stage" else "@champion") == {6: Tenure.Origin.RESTORED}
    assert AuditEvent.objects.filter(action=Action.VERSION_RESTORED).count() == 1
    assert observe(registry) == 0
