"""Several rooms. Hosts whose clocks differ: what is due when is reckoned by the database's clock, and a difference is
called out."""

import socket
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import delivery, ledger, notifications
from approvals.models import Action, AuditEvent, Kind, Notification, OutboxEntry, Target
from mirror import clock, sync
from mirror.models import Alias, MirrorState, ModelVersion, Outage
from tests.support.fakes import FakeRegistry
from tests.support.monitor import readyz
from tests.support.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.each_database]


def ahead(monkeypatch: pytest.MonkeyPatch, **by: float) -> None:
    """This process is on a host whose clock is wrong."""
    monkeypatch.setattr(timezone, "now", lambda: clock.now() + timedelta(**by))


def checks(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = readyz(client).json()["checks"]
    return found


def test_the_databases_clock_is_now() -> None:
    assert abs((clock.now() - timezone.now()).total_seconds()) < 5
    assert clock.now().tzinfo is not None
    assert abs(clock.skew()) < 5


def test_an_approval_of_a_web_host_that_is_an_hour_ahead_is_delivered_at_once(
    staging: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World("churn_predictor")
    sync.sweep(world.registry)
    request = world.ask("churn_predictor", 1, staging)
    with monkeypatch.context() as web:
        ahead(web, hours=1)
        world.decide(request)
    assert OutboxEntry.objects.get().available_at <= clock.now()
    assert delivery.drain(world.registry) == 1
    assert world.registry.version("churn_predictor", 1).stage == "Staging"


def test_a_worker_that_is_an_hour_behind_leaves_no_lease_in_the_past(
    staging: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World("churn_predictor")
    sync.sweep(world.registry)
    world.decide(world.ask("churn_predictor", 1, staging))
    entry = OutboxEntry.objects.get()
    with monkeypatch.context() as worker:
        ahead(worker, hours=-1)
        claimed = OutboxEntry.objects.claim(entry.pk, by="slow", lease=timedelta(seconds=120))
    assert claimed is not None
    assert OutboxEntry.objects.claim(entry.pk, by="other", lease=timedelta(seconds=120)) is None


def test_what_a_host_that_is_ahead_has_mirrored_is_overwritten_by_what_mlflow_said_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World("churn_predictor")
    world.registry.set_description("churn_predictor", 1, "Trained again.")
    world.registry.set_model_tag("churn_predictor", "team", "growth")
    with monkeypatch.context() as worker:
        ahead(worker, seconds=25)
        sync.sweep(world.registry)
    world.registry.set_stage("churn_predictor", 1, "Staging", archive_existing=False)
    world.registry.set_alias("churn_predictor", "champion", 1)
    sync.refresh_model(world.registry, "churn_predictor")  # by a worker whose clock is right
    assert ModelVersion.objects.get(model__name="churn_predictor", number=1).stage == "Staging"
    assert Alias.objects.get(model__name="churn_predictor").number == 1


def test_two_hosts_that_pull_in_turns_make_no_outage_of_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = World("churn_predictor").registry
    sync.sweep(registry)
    for seconds in (0, 300, 0, -300, 0):
        with monkeypatch.context() as worker:
            ahead(worker, seconds=seconds)
            sync.pull(registry)
    assert not Outage.objects.exists()
    assert (clock.now() - MirrorState.objects.get().pulled_at).total_seconds() < 60


def test_events_have_the_databases_time_whoever_records_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded(**by: float) -> AuditEvent:
        with monkeypatch.context() as host, transaction.atomic():
            ahead(host, **by)
            return ledger.record(Action.GROUP_CREATED, actor=None, data={"group": "ml"})

    events = [recorded(minutes=20), recorded(minutes=-20), recorded()]
    assert [each.at for each in events] == sorted(each.at for each in events)
    assert all(abs((each.at - clock.now()).total_seconds()) < 60 for each in events)
    assert [each.at for each in AuditEvent.objects.order_by("-pk")[:3]] == [each.at for each in reversed(events)]


def test_a_worker_that_is_ahead_tells_nobody_of_a_verdict_that_can_still_be_undone(
    staging: Target, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UNDO_SECONDS = 600
    world = World("churn_predictor")
    sync.sweep(world.registry)
    world.decide(world.ask("churn_predictor", 1, staging))
    ahead(monkeypatch, hours=1)
    notifications.collect()
    assert not Notification.objects.filter(kind=Kind.DECIDED).exists()


def test_periodic_messages_outlive_clocks_that_are_called_well(settings: Any) -> None:
    """A worker reckons by its own clock whether a message of beat's host is over."""
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        assert entry["options"]["expires"] >= entry["schedule"] + clock.MOST_SECONDS


def test_each_host_of_workers_is_held_against_the_databases_clock(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = FakeRegistry()
    for host, seconds in (("gate-1", 0.2), ("gate-2", 44.0)):
        with monkeypatch.context() as there:
            there.setattr(socket, "gethostname", lambda host=host: host)
            there.setattr(clock, "skew", lambda seconds=seconds: seconds)
            registry.skew_seconds = -seconds
            sync.sweep(registry)
    said = "The worker on gate-2 is 44 seconds ahead of the database."
    assert checks(client)["clocks"]["detail"] == said
    client.force_login(ada)
    page = client.get("/system/").content.decode()
    assert said in page
    assert "On gate-1, gate-2 in the last 10 minutes; last pull" in page
    # One that was taken away is forgotten.
    later = clock.now() + timedelta(minutes=11)
    assert MirrorState.objects.current().workers(later) == {}


def test_negative_seconds_are_not_ok(client: Client) -> None:
    far = clock.now() + timedelta(seconds=3397)
    MirrorState.objects.record(pulled_at=far, swept_at=far)
    found = checks(client)
    for name in ("mirror", "sweep"):
        assert not found[name]["ok"]
        assert "seconds ahead of the database's clock: clocks differ." in found[name]["detail"]
        assert "-" not in found[name]["detail"]


def test_a_moment_ahead_is_no_skew(client: Client) -> None:
    MirrorState.objects.record(pulled_at=clock.now() + timedelta(seconds=2), swept_at=clock.now())
    assert checks(client)["mirror"] == {"ok": True, "detail": "0 seconds old."}


@pytest.mark.parametrize(("seconds", "words"), [(3600.0, "3600 seconds ahead of"), (-40.0, "40 seconds behind")])
def test_mlflow_whose_clock_is_off_is_called_out(client: Client, ada: User, seconds: float, words: str) -> None:
    fake = FakeRegistry()
    fake.skew_seconds = seconds
    sync.sweep(fake)
    detail = checks(client)["clocks"]["detail"]
    assert f"MLflow is {words} the database." in detail
    assert client.get("/readyz?strict=1").status_code == 503
    client.force_login(ada)
    assert f"MLflow is {words} the database." in client.get("/system/").content.decode()


def test_this_hosts_clock_is_held_against_the_databases(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def there() -> datetime:
        return datetime.now(timezone.get_default_timezone()) - timedelta(hours=1)

    monkeypatch.setattr(clock, "now", there)  # the database is another host
    assert "This host is 3600 seconds ahead of the database." in checks(client)["clocks"]["detail"]


def test_on_postgresql_it_is_the_servers() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_TIMESTAMP")
        assert cursor.fetchone()[0]
    assert abs((clock.now() - datetime.now(timezone.get_default_timezone())).total_seconds()) < 60
