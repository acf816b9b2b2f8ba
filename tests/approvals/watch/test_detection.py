"""What the watch finds, and what it writes down: on the fake, without anybody in between."""

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import ledger, watch
from approvals.models import Action, AuditEvent, Incident, Target, Tenure, WatchedPlace
from approvals.watch import baseline
from mirror import sync
from mirror.models import MirrorState, ModelVersion, RegisteredModel
from tests.support.factories import make_version
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, answered_by, approved, deliver, ended, observe, only_incident, running, version

pytestmark = pytest.mark.django_db
FOUND, OUTSIDE, DELIVERY = Tenure.Origin.FOUND, Tenure.Origin.OUTSIDE, Tenure.Origin.DELIVERY


# --- The first look


def test_nothing_is_looked_at_before_the_mirror_has_seen_all_of_mlflow() -> None:
    make_version(number=1, stage="Production")
    assert watch.look().found == 0
    assert (WatchedPlace.objects.count(), Tenure.objects.count()) == (0, 0)


def test_what_is_there_on_the_first_look_was_held_before_the_gate(registry: FakeRegistry) -> None:
    assert running("Production") == {6: FOUND}
    assert running("@champion") == {6: FOUND}
    assert running("Staging") == {7: FOUND}
    assert Incident.objects.count() == 0
    told = AuditEvent.objects.filter(action=Action.TENURE_FOUND)
    assert sorted((event.version_number, event.data["place"]) for event in told) == [
        (6, "@champion"),
        (6, "Production"),
        (7, "Staging"),
    ]
    assert Tenure.objects.filter(started_after__isnull=False).count() == 0
    assert ledger.verify().is_intact


def test_a_second_look_finds_nothing_new(registry: FakeRegistry) -> None:
    before = (Tenure.objects.count(), AuditEvent.objects.count())
    assert observe(registry) == 0
    assert (Tenure.objects.count(), AuditEvent.objects.count()) == before


def test_the_first_look_asks_as_much_of_many_models_as_of_few() -> None:
    changed = timezone.now() - timedelta(minutes=1)  # all at once, so that no look notes a later change as seen

    def asked(first: int, last: int) -> int:
        for number in range(first, last):
            make_version(f"model {number}", stage="Production", last_updated_at=changed)
        MirrorState.objects.update_or_create(pk=1, defaults={"swept_at": timezone.now()})
        WatchedPlace.objects.all().delete()
        with CaptureQueriesContext(connection) as queries:
            watch.look()
        appended = ("INSERT INTO approvals_auditevent", "UPDATE approvals_chainhead")
        return sum(not each["sql"].startswith(appended) for each in queries)

    asked(0, 1)
    few = asked(1, 3)
    assert asked(3, baseline.CHUNK) == few
    assert Tenure.objects.filter(origin=FOUND, end="").count() == baseline.CHUNK
    assert Tenure.objects.filter(version_created_at=None).count() == 0
    assert ledger.verify(with_references=True).problem == ""


def test_a_model_that_comes_later_and_is_put_straight_into_place_is_a_bypass(registry: FakeRegistry) -> None:
    registry.create_version("fraud")
    registry.set_stage("fraud", 1, "Production", archive_existing=False)
    assert observe(registry) == 1
    assert (only_incident().model_name, only_incident().before, only_incident().after) == ("fraud", [], [1])
    assert running("Production", "fraud") == {1: OUTSIDE}


def test_promotions_from_before_there_were_tenures_are_read_back(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    for number in (7, 8):
        assert deliver(approved(registry, number, production, by=rita, approvers=(remy, rosa)), registry) == "applied"
    Tenure.objects.all().delete()
    WatchedPlace.objects.all().delete()
    assert watch.look(registry).found == 0
    assert running("Production") == {8: DELIVERY}
    assert ended("Production") == [(7, "replaced")]
    assert running("@champion") == {8: DELIVERY}
    assert Incident.objects.count() == 0


def test_a_target_that_retires_ends_its_tenures_and_its_incidents(registry: FakeRegistry, production: Target) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    Target.objects.filter(pk=production.pk).update(retired_at=timezone.now())
    watch.look(registry)
    assert running("Production") == {}
    assert ("retired" in dict(ended("@champion")).values()) is True
    assert only_incident().resolution == "explained"
    assert set(WatchedPlace.objects.values_list("place", flat=True)) == {"Staging"}


def test_a_target_that_means_another_alias_is_watched_anew(registry: FakeRegistry, production: Target) -> None:
    registry.set_alias(MODEL, "live", 5)
    Target.objects.filter(pk=production.pk).update(alias="live")
    assert observe(registry) == 0
    assert running("@live") == {5: FOUND}
    assert running("@champion") == {}


# --- What is found


def test_a_moved_stage_is_one_incident_with_the_time_between_two_observations(registry: FakeRegistry) -> None:
    known = MirrorState.objects.current().stages_asked_at
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    sync.pull(registry)
    assert watch.look(registry).found == 1
    found = only_incident()
    assert (found.kind, found.place, found.before, found.after) == ("moved", "Production", [6], [8])
    assert found.not_before == known
    assert known < found.seen_at <= timezone.now()
    assert found.approved == [6]
    assert "mlflow_updated_at" in found.details
    assert running("Production") == {8: OUTSIDE}
    assert ended("Production") == [(6, "outside")]
    old, new = Tenure.objects.get(version_number=6, place="Production"), Tenure.objects.get(version_number=8)
    assert (old.ended_after, new.started_after) == (known, known)
    assert old.ended_at <= timezone.now()
    event = AuditEvent.objects.get(action=Action.INCIDENT_OPENED)
    assert event.data["incident"] == found.pk
    assert (event.data["before"], event.data["after"], event.data["response"]) == ([6], [8], "report")
    assert (found.opened_sequence, old.end_sequence, new.start_sequence) == (event.sequence,) * 3
    assert ledger.verify().is_intact


def test_a_second_holder_beside_the_first_is_found(registry: FakeRegistry) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=False)
    assert observe(registry) == 1
    assert (only_incident().before, only_incident().after) == ([6], [6, 8])
    assert running("Production") == {6: FOUND, 8: OUTSIDE}


def test_an_alias_is_found_by_the_sweep_and_not_by_the_pull(registry: FakeRegistry) -> None:
    known = MirrorState.objects.current().aliases_asked_at
    registry.set_alias(MODEL, "champion", 5)
    sync.pull(registry)
    assert watch.look(registry).found == 0
    assert observe(registry) == 1
    assert (only_incident().place, only_incident().before, only_incident().after) == ("@champion", [6], [5])
    assert only_incident().not_before == known


def test_a_deleted_alias_and_a_demotion_are_found(registry: FakeRegistry) -> None:
    registry.delete_alias(MODEL, "champion")
    registry.set_stage(MODEL, 6, "None", archive_existing=False)
    assert observe(registry) == 2
    assert {each.place: each.after for each in Incident.objects.all()} == {"@champion": [], "Production": []}
    assert set(Incident.objects.values_list("kind", flat=True)) == {"moved"}


def test_a_deleted_holder_is_found(registry: FakeRegistry) -> None:
    registry.delete_version(MODEL, 6)
    assert observe(registry) == 2
    assert set(Incident.objects.values_list("kind", "place")) == {("deleted", "@champion"), ("deleted", "Production")}
    assert ended("Production") == [(6, "deleted")]


def test_a_model_deleted_and_registered_anew_is_another_version_under_the_same_number(registry: FakeRegistry) -> None:
    registry.delete_model(MODEL)
    time.sleep(0.003)
    for _ in range(6):
        registry.create_version(MODEL)
    registry.set_stage(MODEL, 6, "Production", archive_existing=False)
    registry.set_alias(MODEL, "champion", 6)
    assert observe(registry) == 3
    kinds = {each.place: (each.kind, each.before, each.after) for each in Incident.objects.all()}
    assert kinds["Production"] == ("exchanged", [6], [6])
    assert kinds["@champion"] == ("exchanged", [6], [6])
    assert kinds["Staging"] == ("deleted", [7], [])
    assert running("Production") == {6: OUTSIDE}


@pytest.mark.parametrize("is_pulled_first", [True, False])
def test_a_renamed_model_is_one_incident_and_its_tenures_go_on(registry: FakeRegistry, is_pulled_first: bool) -> None:
    registry.rename_model(MODEL, "churn_two")
    if is_pulled_first:
        sync.pull(registry)
        assert watch.look(registry).found == 1
    assert observe(registry) == (0 if is_pulled_first else 1)
    found = only_incident()
    assert (found.kind, found.model_name, found.approved) == ("renamed", "churn_two", [6])
    assert (found.details["old_name"], found.details["new_name"]) == (MODEL, "churn_two")
    assert found.details["places"] == ["@champion", "Production", "Staging"]
    assert running("Production", "churn_two") == {6: FOUND}
    assert running("@champion", "churn_two") == {6: FOUND}
    assert running("Staging", "churn_two") == {7: FOUND}
    assert set(dict(ended("Production")).values()) == {"renamed"}
    assert observe(registry) == 0
    assert ledger.verify(with_references=True).problem == ""
    row = Tenure.objects.filter(model_name="churn_two", place="Production")
    row.update(origin=Tenure.Origin.IMPORTED)  # what was imported does not go on under another name
    assert "which it begins with: that is incident.opened." in ledger.verify(with_references=True).problem
    row.update(origin=FOUND, model_name="churn_three")
    assert "that is about another model or target." in ledger.verify(with_references=True).problem


def test_an_open_incident_goes_on_under_the_new_name_and_so_does_what_was_approved(
    registry: FakeRegistry, production: Target
) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    registry.rename_model(MODEL, "churn_two")
    assert observe(registry) == 1
    moved = Incident.objects.get(kind="moved")
    assert (moved.model_name, moved.details["found_under"]) == ("churn_two", MODEL)
    assert running("Production", "churn_two") == {8: OUTSIDE}
    answered_by("put_back", production)
    registry.set_stage("churn_two", 5, "Production", archive_existing=True)
    assert observe(registry) == 1
    assert Incident.objects.latest("pk").approved == [6]
    assert watch.restore_due(registry) == 1
    assert registry.version("churn_two", 6).stage == "Production"
    assert running("Production", "churn_two") == {6: Tenure.Origin.RESTORED}
    assert set(Incident.objects.filter(kind="moved").values_list("resolution", flat=True)) == {"put_back"}
    assert observe(registry) == 0


def test_a_renamed_model_waits_while_mlflow_does_not_answer(registry: FakeRegistry) -> None:
    registry.rename_model(MODEL, "churn_two")
    sync.pull(registry)
    registry.is_down = True
    look = watch.look(registry)
    assert (look.found, look.passed) == (0, ("churn_two",))
    registry.is_down = False
    assert watch.look(registry).found == 1


def test_a_copy_of_a_model_is_not_taken_for_a_renamed_one(registry: FakeRegistry) -> None:
    time.sleep(0.003)
    for _ in range(6):
        registry.create_version("copy")
    registry.set_stage("copy", 6, "Production", archive_existing=False)
    assert observe(registry) == 1
    assert (only_incident().kind, only_incident().model_name) == ("moved", "copy")


def test_a_change_of_what_no_target_means_is_nobodys_business(registry: FakeRegistry) -> None:
    registry.set_alias(MODEL, "shadow", 3)
    registry.set_stage(MODEL, 2, "Archived", archive_existing=False)
    assert observe(registry) == 0


# --- What comes after


def test_what_is_changed_back_by_itself_is_undone(registry: FakeRegistry) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    registry.set_stage(MODEL, 6, "Production", archive_existing=True)
    assert observe(registry) == 0
    found = only_incident()
    assert found.resolution == "undone"
    assert running("Production") == {6: FOUND}
    assert ended("Production") == [(6, "outside"), (8, "outside")]
    resolved = AuditEvent.objects.get(action=Action.INCIDENT_RESOLVED)
    assert resolved.data == {"incident": found.pk, "resolution": "undone", "reason": ""}


def test_a_delivered_version_that_comes_back_has_its_request_behind_it(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    assert deliver(request, registry) == "applied"
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    registry.set_stage(MODEL, 7, "Production", archive_existing=True)
    assert observe(registry) == 0
    back = Tenure.objects.open().get(place="Production")
    assert (back.version_number, back.origin, back.request_id) == (7, OUTSIDE, request.pk)


def test_a_change_made_and_undone_between_two_looks_is_not_seen(registry: FakeRegistry) -> None:
    """Said in docs/security.md: MLflow keeps no history, so what nobody looked at is gone."""
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    registry.set_stage(MODEL, 6, "Production", archive_existing=True)
    registry.set_stage(MODEL, 8, "None", archive_existing=False)
    assert observe(registry) == 0
    assert running("Production") == {6: FOUND}


def test_a_change_of_a_change_is_one_more_incident_with_the_same_approved_holder(registry: FakeRegistry) -> None:
    for number in (8, 5):
        registry.set_stage(MODEL, number, "Production", archive_existing=True)
        assert observe(registry) == 1
    first, second = Incident.objects.order_by("pk")
    assert (first.before, first.after, second.before, second.after) == ([6], [8], [8], [5])
    assert first.approved == second.approved == [6]
    registry.set_stage(MODEL, 6, "Production", archive_existing=True)
    assert observe(registry) == 0
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"undone"}


def test_a_promotion_takes_the_place_of_what_came_from_outside(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    registry.set_alias(MODEL, "champion", 8)
    assert observe(registry) == 2
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    assert deliver(request, registry) == "applied"
    assert observe(registry) == 0
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"superseded"}
    assert running("Production") == running("@champion") == {7: DELIVERY}


def test_a_change_that_a_delivery_overwrote_before_anybody_looked_is_found_by_its_plan(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    registry.set_alias(MODEL, "champion", 5)  # the champion of the target is what has the stage
    assert deliver(request, registry) == "applied"
    assert observe(registry) == 1
    found = only_incident()
    assert (found.place, found.before, found.after, found.resolution) == ("@champion", [6], [5], "superseded")
    assert found.details["overwritten_by"] == request.pk
    assert observe(registry) == 0


# --- Cost


def test_a_look_at_many_versions_asks_a_bounded_number_of_times(registry: FakeRegistry) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            watch.look(registry)
        return len(found)

    few, now = queries(), timezone.now()
    models = RegisteredModel.objects.bulk_create(
        [RegisteredModel(name=f"m{n}", created_at=now, last_updated_at=now) for n in range(200)]
    )
    ModelVersion.objects.bulk_create(
        [
            ModelVersion(model=model, number=number, created_at=now, last_updated_at=now)
            for model in models
            for number in range(1, 51)
        ]
    )
    assert queries() <= few + 1, "how far MLflow's changes were held against the ledger is noted"


def test_the_interval_of_a_model_that_was_passed_over_goes_back_to_before_that(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    entry = request.outbox_entries.get()
    known = MirrorState.objects.current().stages_asked_at
    watch.look(registry)
    entry.plan = {"champion": 6, "in_stage": [6], "alias_holder": 6}
    entry.save()
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    for _ in range(3):
        sync.pull(registry)
        assert watch.look(registry).passed == (MODEL,)
    entry.plan = None
    entry.save()
    assert watch.look(registry).found == 1
    assert abs(only_incident().not_before - known) < timedelta(seconds=5)
    assert only_incident().not_before < MirrorState.objects.current().stages_asked_at
    assert version(8).read_at == only_incident().seen_at
