"""Several rooms. Hosts whose clocks differ: what is due when is reckoned by the database's clock, and a difference is
called out."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import delivery
from approvals.models import OutboxEntry, Target
from mirror import clock, sync
from mirror.models import MirrorState
from tests.support.fakes import FakeRegistry
from tests.support.world import World

pytestmark = pytest.mark.django_db


def ahead(monkeypatch: pytest.MonkeyPatch, **by: float) -> None:
    """This process is on a host whose clock is wrong."""
    monkeypatch.setattr(timezone, "now", lambda: clock.now() + timedelta(**by))


def checks(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/readyz").json()["checks"]
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
