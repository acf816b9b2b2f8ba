"""/healthz and /readyz: each part well and not well, and what it means for the answer."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import OutboxEntry, Target
from mirror import health as mirror_health
from mirror.models import MirrorState
from mirror.port import Refused, Unreachable
from tests.support.factories import make_request, make_version
from tests.support.monitor import TOKEN, readyz

pytestmark = [pytest.mark.django_db, pytest.mark.each_database]


@pytest.fixture
def filled() -> None:
    """MLflow answered just now."""
    mirror_health.answered(pulled_at=timezone.now())
    mirror_health.swept(swept_at=timezone.now(), server_version="3.17.2")


@contextmanager
def broker_at(url: str) -> Iterator[None]:
    before = current_app.conf.broker_url, current_app.conf.broker_write_url
    current_app.conf.update(
        broker_url=url, broker_write_url=url, broker_transport_options={"socket_connect_timeout": 2}
    )
    try:
        yield
    finally:
        current_app.conf.update(broker_url=before[0], broker_write_url=before[1], broker_transport_options={})


def ask(client: Client, query: str = "", token: str = TOKEN) -> tuple[int, dict[str, Any]]:
    answer = readyz(client, query, token=token)
    found: dict[str, Any] = json.loads(answer.content)
    return answer.status_code, found


def told(client: Client, name: str) -> tuple[bool, str]:
    check = ask(client)[1]["checks"][name]
    return check["ok"], check["detail"]


def test_healthz_answers_without_login_or_database(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_healthz_and_readyz_only_read(client: Client) -> None:
    assert [client.post("/healthz").status_code, client.post("/readyz").status_code] == [405, 405]


def test_everything_well_is_ready_with_strict_too(client: Client, filled: None) -> None:
    status, answer = ask(client, "?strict=1")
    assert (status, answer["status"]) == (200, "ready")
    assert {name: check["ok"] for name, check in answer["checks"].items()} == dict.fromkeys(
        (
            *("database", "broker", "mlflow", "registry", "ledger", "rights", "gate", "clocks"),
            *("mirror", "sweep", "outbox"),
        ),
        True,
    )
    assert answer["checks"]["mlflow"]["detail"] == "Version 3.17.2."
    assert answer["checks"]["outbox"]["detail"] == "Empty."


@pytest.mark.parametrize("given", ["", "wrong"])
def test_strangers_read_names_and_yes_or_no_only(client: Client, filled: None, settings: Any, given: str) -> None:
    mirror_health.failed(Unreachable("MLflow at http://mlflow.internal:5000 cannot be reached."))
    status, answer = ask(client, token=given)
    assert (status, answer["status"]) == (200, "degraded")
    assert answer["checks"]["mlflow"] == {"ok": False}
    assert {frozenset(check) for check in answer["checks"].values()} == {frozenset({"ok"})}
    assert ask(client, "?strict=1", token=given)[0] == 503
    assert "mlflow.internal" in ask(client)[1]["checks"]["mlflow"]["detail"]
    settings.METRICS_TOKEN = ""
    assert client.get("/readyz").json() == answer


def test_a_mirror_that_was_never_filled_degrades_and_names_the_worker(client: Client) -> None:
    assert told(client, "mirror") == (False, "Never filled: is a worker with beat running?")
    assert told(client, "mlflow") == (False, "Not contacted yet.")
    assert ask(client)[0] == 200
    assert ask(client)[1]["status"] == "degraded"
    assert ask(client, "?strict=1")[0] == 503
    assert ask(client, "?strict=0")[0] == 200


@pytest.mark.parametrize(("age", "is_ok"), [(50, True), (90, False)])
def test_a_mirror_is_stale_after_the_time_that_is_set(client: Client, settings: Any, age: int, is_ok: bool) -> None:
    settings.STALE_AFTER_SECONDS = 60
    mirror_health.answered(pulled_at=timezone.now() - timedelta(seconds=age))
    ok, detail = told(client, "mirror")
    assert ok is is_ok
    assert detail in {f"{age} seconds old.", f"{age + 1} seconds old."}


def test_an_mlflow_that_fails_is_told_with_since_when_and_its_words(client: Client, filled: None) -> None:
    mirror_health.failed(Unreachable("MLflow did not answer within 15 seconds."))
    ok, detail = told(client, "mlflow")
    assert not ok
    assert detail.startswith("Has not answered since 20")
    assert detail.endswith("UTC: MLflow did not answer within 15 seconds.")
    assert ask(client)[0] == 200
    assert ask(client, "?strict=1")[0] == 503


def test_an_mlflow_that_is_back_is_well_again(client: Client, filled: None) -> None:
    mirror_health.failed(Unreachable("Connection refused."))
    mirror_health.answered(pulled_at=timezone.now())
    assert told(client, "mlflow")[0]


@pytest.mark.parametrize(("age", "is_ok"), [(1700, True), (1900, False)])
def test_a_sweep_is_judged_by_its_own_age(client: Client, filled: None, settings: Any, age: int, is_ok: bool) -> None:
    settings.SWEEP_SECONDS = 600
    mirror_health.swept(swept_at=timezone.now() - timedelta(seconds=age))
    assert told(client, "sweep")[0] is is_ok
    assert told(client, "mirror")[0], "the pull is fresh"


def test_a_sweep_that_fails_is_told_though_pulls_succeed(client: Client, filled: None) -> None:
    mirror_health.sweep_failed(Refused("Permission denied"))
    mirror_health.answered(pulled_at=timezone.now())
    ok, detail = told(client, "sweep")
    assert (ok, detail.endswith("UTC: Permission denied")) == (False, True)
    assert told(client, "mlflow")[0]
    assert ask(client, "?strict=1")[0] == 503


def test_a_pull_that_stands_still_is_told_though_sweeps_succeed(client: Client, filled: None, settings: Any) -> None:
    settings.STALE_AFTER_SECONDS = 60
    MirrorState.objects.record(pulled_at=timezone.now() - timedelta(seconds=90), swept_at=timezone.now())
    assert (told(client, "mirror")[0], told(client, "sweep")[0]) == (False, True)


# --- Broker


def test_a_broker_that_refuses_degrades_at_once(client: Client, filled: None) -> None:
    begun = time.monotonic()
    with broker_at("redis://127.0.0.1:9/0"):
        ok, detail = told(client, "broker")
        assert ask(client)[0] == 200
    assert not ok
    assert detail == "Cannot be reached (OperationalError); deliveries wait for the drain."
    assert time.monotonic() - begun < 3


def test_a_broker_that_says_nothing_is_given_up_within_three_seconds(client: Client, filled: None) -> None:
    """It accepts no connection: its queue of them is full, as of a machine that hangs."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        begun = time.monotonic()
        with broker_at(f"redis://127.0.0.1:{address[1]}/0"):
            ok, _ = told(client, "broker")
        took = time.monotonic() - begun
        for each in waiting:
            each.close()
    assert not ok
    assert took < 3


# --- Outbox


@pytest.fixture
def entry(rita: User, remy: User, staging: Target) -> OutboxEntry:
    request = make_request(make_version(), staging, by=rita)
    workflow.review(request, by=remy, verdict="approve")
    return OutboxEntry.objects.get()


def test_a_delivery_on_its_way_is_well(client: Client, filled: None, entry: OutboxEntry) -> None:
    ok, detail = told(client, "outbox")
    assert ok
    assert detail.startswith("1 waiting, the oldest for ")


def test_a_delivery_that_waits_too_long_degrades(client: Client, filled: None, entry: OutboxEntry) -> None:
    OutboxEntry.objects.update(created_at=timezone.now() - timedelta(seconds=300))
    ok, detail = told(client, "outbox")
    assert not ok
    assert detail in {f"1 waiting, the oldest for {seconds} seconds." for seconds in (300, 301)}
    assert ask(client)[1]["status"] == "degraded"


# --- Database


def test_missing_migrations_make_it_unready(client: Client, filled: None) -> None:
    MigrationRecorder.Migration.objects.filter(app="approvals").delete()
    status, answer = ask(client)
    assert (status, answer["status"]) == (503, "unready")
    assert answer["checks"] == {"database": {"ok": False, "detail": "Migrations are missing: run manage.py migrate."}}


def test_a_database_that_is_away_makes_it_unready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise DatabaseError("password authentication failed for user countersign")

    monkeypatch.setattr(connection, "cursor", away)
    status, answer = ask(client)
    assert (status, answer["status"]) == (503, "unready")
    assert answer["checks"] == {"database": {"ok": False, "detail": "Cannot be used: DatabaseError."}}


def test_readiness_never_asks_mlflow(client: Client, filled: None, settings: Any) -> None:
    with socket.socket() as mlflow:
        mlflow.bind(("127.0.0.1", 0))
        mlflow.listen()
        mlflow.settimeout(0.3)
        settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{mlflow.getsockname()[1]}"
        calls: list[object] = []
        listener = threading.Thread(target=lambda: _accept(mlflow, calls))
        listener.start()
        ask(client)
        listener.join()
    assert calls == []


def _accept(server: socket.socket, calls: list[object]) -> None:
    try:
        link, address = server.accept()
    except TimeoutError:
        return
    calls.append(address)
    link.close()
