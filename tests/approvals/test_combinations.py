"""Several rooms. What the parts do to each other: after each of these, ledger, tenures, MLflow and the auditor's count
agree."""

import copy

import pytest

from approvals import watch, workflow
from approvals.ledger import tables
from approvals.models import AuditEvent, Incident, Probation, PromotionRequest, Target, Tenure, WatchedPlace
from approvals.policy import ProbationRule
from mirror import sync
from tests.support.factories import make_policy
from tests.support.world import World

pytestmark = pytest.mark.django_db
MODEL = "churn_predictor"


@pytest.fixture(scope="module")
def made(kept: None) -> World:
    return built()


@pytest.fixture
def world(db: None, made: World) -> World:
    return copy.deepcopy(made)


def built() -> World:
    for target in Target.objects.filter(name__in=("Production", "Staging")):
        make_policy("*", target, (1, None))
    made = World(MODEL)
    made.registry.set_stage(MODEL, 1, "Production", archive_existing=False)
    made.observe()
    return made


def test_a_renamed_model_is_no_fault_of_ledger_or_population(world: World, production: Target) -> None:
    """What was found, put back and delivered before goes on under the new name."""
    make_policy("*", production, (1, None), on_record=True, on_bypass="put_back")
    world.registry.rename_model(MODEL, "found")
    world.observe(2)
    world.check()
    world.registry.set_stage("found", 3, "Production", archive_existing=True)
    world.observe(2)
    assert Incident.objects.filter(resolution=Incident.Resolution.PUT_BACK).count() == 1
    world.registry.rename_model("found", "restored")
    world.observe(2)
    world.check()
    world.promote("restored", 2, production)
    world.registry.rename_model("restored", "delivered")
    world.observe(2)
    world.check()
    assert Tenure.objects.open().filter(model_name="delivered", origin=Tenure.Origin.DELIVERY).exists()


@pytest.mark.parametrize("is_found", [True, False])
def test_what_was_changed_back_in_mlflow_is_no_fault(world: World, production: Target, is_found: bool) -> None:
    holder = 1
    if not is_found:
        holder = 2
        world.promote(MODEL, 2, production)
    world.registry.set_stage(MODEL, 3, "Production", archive_existing=True)
    world.observe(2)
    world.registry.set_stage(MODEL, holder, "Production", archive_existing=True)
    world.observe(2)
    assert Incident.objects.get().resolution == Incident.Resolution.UNDONE
    world.check()


def test_a_rename_reaches_every_target_and_open_incidents(world: World, production: Target, staging: Target) -> None:
    """One event tells of it; the incident that was open under the old name is not lost to either name."""
    world.promote(MODEL, 2, staging)
    world.registry.set_alias(MODEL, "champion", 3)
    world.observe(2)
    world.registry.rename_model(MODEL, "renamed")
    world.observe(2)
    world.check()
    for name in (MODEL, "renamed"):
        world.check(model=name)


def test_a_tenure_that_claims_a_delivery_on_an_incident_is_a_fault(world: World, production: Target) -> None:
    """Going on is for what was renamed or changed back, not for what somebody put there."""
    world.registry.set_stage(MODEL, 3, "Production", archive_existing=True)
    world.observe(2)
    Tenure.objects.open().filter(version_number=3).update(origin=Tenure.Origin.DELIVERY)
    with pytest.raises(AssertionError, match="does not fit event"):
        world.check()


def test_what_changed_before_the_first_look_adds_up(production: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an update from a release without tenures: promoted through the gate, changed since."""
    with monkeypatch.context() as patched:
        patched.delitem(tables.TABLES, "tenure")  # whose events told of none
        world = built()
        for number in (2, 3):
            world.registry.create_version("other", run_id=world.registry.log_run())
            world.promote(MODEL, number, production)
        world.observe()
        world.promote("other", 1, production)
        Tenure.objects.all().delete()
        WatchedPlace.objects.all().delete()
    world.registry.set_stage(MODEL, 4, "Production", archive_existing=True)
    world.registry.set_stage("other", 1, "Archived", archive_existing=False)
    world.observe(2)
    world.check()
    assert not Incident.objects.exists()
    taken = Tenure.objects.get(version_number=4)
    assert (taken.origin, taken.start_sequence) == (
        Tenure.Origin.FOUND,
        Tenure.objects.get(version_number=3, place="Production").end_sequence,
    )
    assert Tenure.objects.get(version_number=3, place="Production").ended_at == taken.started_at
    assert AuditEvent.objects.filter(payload__contains='"is_gone":true').count() == 1
    assert watch.look(world.registry).found == 0


@pytest.mark.parametrize("response", ["put_back", "review"])
@pytest.mark.parametrize("is_reported", [True, False])
def test_what_is_put_back_does_not_escape_its_probation(
    world: World, production: Target, response: str, is_reported: bool
) -> None:
    """Version 3 is on probation when somebody puts version 4 in its place; it is put back after its time was over."""
    world.promote(MODEL, 2, production)
    make_policy("*", production, (1, None), on_record=True, on_bypass=response, probation=ProbationRule(24))
    asked = world.promote(MODEL, 3, production)
    world.registry.set_stage(MODEL, 4, "Production", archive_existing=True)
    sync.sweep(world.registry)
    assert watch.look(world.registry).found == 1
    if is_reported:
        workflow.report_health(
            asked.probation, is_healthy=False, reason="Slow.", reported_by="Grafana", message_id="1"
        )  # fmt: skip
    world.end_probations()
    assert Probation.objects.get().closed_at is None
    if response == "review":
        world.observe()
        world.decide(PromotionRequest.objects.get(kind="retroactive"), "reject")
    world.observe(3)
    assert Probation.objects.get().outcome == Probation.Outcome.ROLLED_BACK
    assert world.says()[MODEL, "Production", "Production"] == [2]
    world.check()


def test_a_probation_ends_where_what_holds_the_target_now_stays(world: World, production: Target) -> None:
    make_policy("*", production, (1, None), on_record=True, on_bypass="review", probation=ProbationRule(24))
    world.promote(MODEL, 3, production)
    world.registry.set_stage(MODEL, 4, "Production", archive_existing=True)
    world.observe()
    world.end_probations()
    assert Probation.objects.get(request__version__number=3).closed_at is None
    world.decide(PromotionRequest.objects.get(kind="retroactive"))
    world.observe(3)
    assert Probation.objects.get(request__version__number=3).outcome == Probation.Outcome.SUPERSEDED
    assert world.says()[MODEL, "Production", "Production"] == [4]
    world.check()


def test_a_roll_back_that_met_a_change_outside_the_gate_is_tried_again_when_that_is_undone(
    world: World, production: Target
) -> None:
    """The change had not been seen when the time was over; the roll back failed on it."""
    world.promote(MODEL, 2, production)
    make_policy("*", production, (1, None), on_record=True, on_bypass="put_back", probation=ProbationRule(24))
    world.promote(MODEL, 3, production)
    world.registry.set_stage(MODEL, 4, "Production", archive_existing=True)
    world.end_probations()
    world.work()
    rollback = PromotionRequest.objects.get(kind="rollback")
    assert rollback.status == "failed"
    world.work()
    assert rollback.events.filter(action="delivery.retried").count() == 0
    world.observe(3)
    rollback.refresh_from_db()
    assert rollback.status == "applied"
    assert rollback.events.filter(action="delivery.retried").count() == 1
    assert world.says()[MODEL, "Production", "Production"] == [2]
    world.check()
