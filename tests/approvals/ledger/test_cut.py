"""An older backup of Countersign is restored: MLflow knows of more than the ledger, and nothing is written to it until
a person says how to go on."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from approvals import administration, delivery, watch, workflow
from approvals.ledger import cut
from approvals.models import (
    Action,
    AuditEvent,
    ChainHead,
    Incident,
    LedgerCut,
    OutboxEntry,
    PromotionRequest,
    Target,
    WatchState,
)
from approvals.workflow import Conflict, Invalid, NotAllowed
from mirror import sync
from mirror.models import MirrorState, ModelVersion
from tests.support.factories import make_policy
from tests.support.monitor import readyz
from tests.support.world import World

pytestmark = pytest.mark.django_db
MODELS = ("churn_predictor", "fraud_card")
WRITES = ("set_stage", "set_alias", "set_tag", "set_description", "delete_tag", "delete_alias")


class Backup:
    """All of the database as it is now. MLflow goes on; `restore` takes the database back."""

    def __init__(self) -> None:
        self.point = transaction.savepoint()
        self.last = max(PromotionRequest.objects.values_list("pk", flat=True), default=0)

    def restore(self) -> None:
        transaction.savepoint_rollback(self.point)
        count_on_from(self.last)


def count_on_from(last: int) -> None:
    """Sequences of PostgreSQL go on, whatever is rolled back; a restored one is where it was."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            name = PromotionRequest._meta.db_table
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [name, max(last, 1)])


@pytest.fixture(scope="module")
def made(kept: None) -> World:
    made = World("churn_predictor", "fraud_card")
    made.observe()
    production = Target.objects.get(name="Production")
    make_policy("*", production, (1, None), on_bypass="put_back")
    for model in ("churn_predictor", "fraud_card"):
        assert made.promote(model, 1, production).status == "applied"
    made.observe()
    return made


@pytest.fixture
def world(db: None, made: World) -> World:
    return copy.deepcopy(made)


@pytest.fixture(scope="module")
def made_and_restored(made: World) -> World:
    """Version 2 of both models was promoted after the backup. The database is as in `made`; MLflow is not."""
    world, production = copy.deepcopy(made), Target.objects.get(name="Production")
    backup = Backup()
    for model in ("churn_predictor", "fraud_card"):
        assert world.promote(model, 2, production).status == "applied"
    world.observe()
    backup.restore()
    world.registry.calls.clear()
    return world


@pytest.fixture
def restored(db: None, made_and_restored: World) -> World:
    count_on_from(max(PromotionRequest.objects.values_list("pk", flat=True)))
    return copy.deepcopy(made_and_restored)


def newest(world: World, tag: str) -> int:
    """The highest number that MLflow knows of: of a request, or of the ledger's head."""
    return max(int(world.registry.version(name, 2).tags[f"countersign.{tag}"].split(":")[0]) for name in MODELS)


def stands(world: World) -> dict[str, tuple[str, int]]:
    return {
        name: (world.registry.version(name, 2).stage, world.registry.model(name).aliases["champion"])
        for name in ("churn_predictor", "fraud_card")
    }


def test_the_watch_puts_nothing_back_and_accuses_nobody(restored: World) -> None:
    sync.pull(restored.registry)
    for _ in range(3):
        restored.observe()
    assert stands(restored) == {"churn_predictor": ("Production", 2), "fraud_card": ("Production", 2)}
    assert restored.registry.count(*WRITES) == 0
    assert Incident.objects.count() == 0
    found = LedgerCut.objects.get()
    assert found.beyond_sequence > found.sequence == ChainHead.objects.get().sequence
    assert found.beyond_request == newest(restored, "request")
    assert "churn_predictor version 2 names request" in " ".join(found.evidence)


@pytest.mark.parametrize("took", [0.1, 15.0])
def test_a_delivery_that_the_backup_still_owes_waits(world: World, production: Target, took: float) -> None:
    """It was approved before the backup and delivered after it; the first thing the worker does is to drain. That a
    slow MLflow is asked seldom makes a mirror of ten minutes ago no newer."""
    request = world.decide(world.ask("fraud_card", 3, production))
    backup = Backup()
    world.work()
    world.promote("churn_predictor", 2, production)
    backup.restore()
    world.registry.calls.clear()
    then = timezone.now() - timedelta(minutes=10)
    due = then + timedelta(seconds=20 * took)
    MirrorState.objects.update(pulled_at=then, swept_at=then, pull_took=[took] * 5, pull_due_at=due)
    OutboxEntry.objects.update(available_at=timezone.now())
    entry = OutboxEntry.objects.open().get(request=request)
    assert delivery.deliver(entry.pk, world.registry) == "waiting"
    entry.refresh_from_db()
    assert entry.last_error == cut.NOTICE
    assert world.registry.count(*WRITES) == 0


def test_a_ledger_that_went_on_after_the_restore_is_known_by_its_hashes(restored: World, production: Target) -> None:
    """People ask and decide before MLflow is read, so the numbers are there again, with other events."""
    beyond, version = newest(restored, "ledger_head"), restored.version("fraud_card", 4)
    opened = workflow.request_promotion(version, production, by=restored.rita, justification="Better.")
    while ChainHead.objects.get().sequence <= beyond + 1:
        workflow.comment(opened, by=restored.remy, body="Looking at it.")
    sync.pull(restored.registry)
    assert cut.look()
    assert "names another event" in " ".join(LedgerCut.objects.get().evidence)


def test_no_number_of_a_request_is_given_twice(restored: World, production: Target) -> None:
    sync.pull(restored.registry)
    assert cut.look()
    asked = restored.ask("fraud_card", 4, production)
    assert asked.pk > newest(restored, "request") + 100


def test_a_number_that_nobody_can_have_given_moves_nothing_and_stops_nothing(world: World) -> None:
    world.registry.set_tag("fraud_card", 4, "countersign.request", "9" * 18)
    world.registry.set_description("fraud_card", 4, "Mine.")
    world.observe()
    assert LedgerCut.objects.count() == 0


def test_everything_well_finds_nothing(world: World, production: Target) -> None:
    world.promote("churn_predictor", 3, production)
    world.observe()
    assert not cut.look()
    assert LedgerCut.objects.count() == 0
    assert MirrorState.objects.current().halt == ""


def test_acknowledged_it_goes_on_with_what_mlflow_has(restored: World, production: Target, ada: User) -> None:
    with pytest.raises(Conflict):
        administration.end_standstill(administration.CUT_LEDGER, by=ada, reason="To be sure.")
    sync.pull(restored.registry)
    restored.observe()
    with pytest.raises(NotAllowed):
        administration.end_standstill(administration.CUT_LEDGER, by=restored.rita, reason="I say so.")
    with pytest.raises(Invalid):
        administration.end_standstill(administration.CUT_LEDGER, by=ada, reason="")
    administration.end_standstill(administration.CUT_LEDGER, by=ada, reason="Disk lost; backup of Monday.")
    event = AuditEvent.objects.get(action=Action.CUT_ACKNOWLEDGED)
    assert (event.actor, event.data["reason"]) == (ada, "Disk lost; backup of Monday.")
    restored.observe(3)
    assert stands(restored) == {"churn_predictor": ("Production", 2), "fraud_card": ("Production", 2)}
    columns = ("place", "before", "after", "response", "is_owed")
    told = Incident.objects.values_list(*columns).order_by("model_name", "place")
    assert list(told) == [(place, [1], [2], "report", False) for _ in range(2) for place in ("@champion", "Production")]
    assert LedgerCut.objects.get().settled_at is not None
    assert not cut.look()
    # And from here on as before: what goes round the gate is put back.
    restored.registry.set_stage("churn_predictor", 4, "Production", archive_existing=True)
    restored.observe(2)
    assert Incident.objects.latest("pk").response == "put_back"
    assert restored.promote("fraud_card", 3, production).status == "applied"


def test_pages_and_readyz_say_so(restored: World, ada: User, client: Any) -> None:
    sync.pull(restored.registry)
    watch.run(restored.registry)
    client.force_login(restored.rita)
    assert "The ledger was cut off" in client.get("/models/").content.decode()
    assert "Acknowledge and resume" not in client.get("/system/").content.decode()
    assert client.post("/standstill/ledger/", {"reason": "x"}).status_code == 403
    assert client.get("/readyz?strict=1").status_code == 503
    assert readyz(client).json()["checks"]["ledger"] == {"ok": False, "detail": cut.NOTICE}
    client.force_login(ada)
    assert "Acknowledge and resume" in client.get("/system/").content.decode()
    client.post("/standstill/ledger/", {"reason": "Backup of Monday."})
    assert "The ledger was cut off" not in client.get("/models/").content.decode()
    assert client.get("/readyz").json()["checks"]["ledger"]["ok"]


def test_the_command_acknowledges_too(restored: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="ledger is complete"):
        call_command("acknowledge_cut", reason="Backup of Monday.")
    sync.pull(restored.registry)
    cut.look()
    call_command("acknowledge_cut", reason="Backup of Monday.")
    assert AuditEvent.objects.get(action=Action.CUT_ACKNOWLEDGED).actor_label == "Countersign command line"


def test_an_idle_look_reads_next_to_nothing(world: World, django_assert_max_num_queries: Any) -> None:
    cut.look()
    assert ModelVersion.objects.count() == 8
    with django_assert_max_num_queries(4):
        assert not cut.look()


def test_a_look_notes_as_seen_what_is_a_second_old_and_reads_the_rest_again(
    world: World, django_assert_max_num_queries: Any
) -> None:
    cut.look()
    seen = WatchState.objects.get().witnessed_at
    for later in (timedelta(milliseconds=500), timedelta(milliseconds=900)):
        ModelVersion.objects.filter(model__name="fraud_card", number=2).update(last_updated_at=seen + later)
        with django_assert_max_num_queries(3):
            assert not cut.look()
        assert WatchState.objects.get().witnessed_at == seen
    # What is read again is held against the ledger again.
    version = ModelVersion.objects.get(model__name="fraud_card", number=2)
    last = max(PromotionRequest.objects.values_list("pk", flat=True))
    version.tags |= {"countersign.request": str(last + 1)}
    version.save(update_fields=["tags"])
    assert cut.look()
    ModelVersion.objects.filter(pk=version.pk).update(last_updated_at=seen + cut.AGAIN)
    cut.look()
    assert WatchState.objects.get().witnessed_at == seen + cut.AGAIN


def test_many_changes_of_one_moment_are_noted_as_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cut.look()
    seen = WatchState.objects.get().witnessed_at
    later = seen + timedelta(milliseconds=500)
    ModelVersion.objects.update(last_updated_at=later)
    monkeypatch.setattr(cut, "MOST_AGAIN", 3)
    assert not cut.look()
    assert WatchState.objects.get().witnessed_at == later


def test_a_request_that_is_made_during_a_look_is_known_to_it(world: World) -> None:
    [version] = ModelVersion.objects.filter(model__name="fraud_card", number=2)
    number = max(PromotionRequest.objects.values_list("pk", flat=True))
    version.tags |= {"countersign.request": str(number)}
    version.save(update_fields=["tags"])
    assert not cut._beyond(ModelVersion.objects.filter(pk=version.pk), [], number - 1).evidence
