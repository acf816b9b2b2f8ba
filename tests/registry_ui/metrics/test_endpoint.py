"""Who gets the metrics, and in which format."""

import logging
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError
from django.test import Client
from django.urls import reverse

from accounts import security_log
from accounts.models import User
from registry_ui.metrics import database, processes
from tests.registry_ui.metrics.scrape import parsed, values

pytestmark = pytest.mark.django_db


def scrape(client: Client, token: str) -> Any:
    return client.get("/metrics", headers={"Authorization": f"Bearer {token}"})


def test_without_a_token_in_the_settings_there_are_none(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics").status_code == 404
    assert scrape(client, "").status_code == 404


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "Bearer {token}x", "Basic {token}", "{token}", "Bearer öäü"]
)
def test_without_the_token_they_are_refused(client: Client, token: str, given: str) -> None:
    answer = client.get("/metrics", headers={"Authorization": given.format(token=token)})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"countersign_" not in answer.content


def test_a_session_does_not_serve_whoever_it_is(client: Client, token: str, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/metrics").status_code == 401


def test_the_token_gets_the_database_s_and_the_processes(client: Client, token: str) -> None:
    client.get("/accounts/login/")
    answer = scrape(client, token)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = parsed(answer.content.decode())
    assert found["countersign_ledger_events_total"]
    labels = {"route": "account_login", "method": "GET", "status": "2xx"}
    assert found["countersign_http_request_duration_seconds_count"][frozenset(labels.items())] >= 1


def test_prometheus_inside_the_network_is_not_sent_to_the_proxy(token: str, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert scrape(Client(), token).status_code == 200
    assert [Client().get(path).status_code for path in ("/healthz", "/readyz", "/accounts/login/")] == [200, 200, 301]


def test_it_is_only_read(client: Client, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/metrics", headers=headers).status_code == 405
    assert client.head("/metrics", headers=headers).status_code == 200


def test_a_database_that_is_away_is_503(client: Client, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise DatabaseError("password authentication failed for user countersign")

    monkeypatch.setattr(database.clock, "now", away)
    answer = scrape(client, token)
    assert (answer.status_code, answer.content) == (503, b"The database cannot be used: DatabaseError.\n")


def test_one_that_takes_too_long_is_503_with_a_line_in_the_log(
    client: Client, token: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite is interrupted as PostgreSQL interrupts itself."""
    monkeypatch.setattr(database, "LONGEST_SECONDS", 0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    def slow() -> None:
        with database.connection.cursor() as cursor:
            cursor.execute(endless)

    monkeypatch.setattr(database.clock, "now", slow)
    with caplog.at_level(logging.WARNING):
        assert scrape(client, token).status_code == 503
    assert "metrics.too_slow" in caplog.text
    with pytest.raises(OperationalError):
        database.kept.collect()


def test_names_of_addresses_are_counted_and_never_the_addresses(client: Client, rita: User) -> None:
    client.force_login(rita)
    client.get("/models/secret_project/")
    client.get("/no/such/secret/")
    client.get("/static/secret.css")
    client.generic("BREW", "/healthz")
    found = {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"])
        for family in processes.registry.collect()
        for sample in family.samples
        if "route" in sample.labels
    }
    assert {
        ("model", "GET", "4xx"),
        ("none", "GET", "4xx"),
        ("static", "GET", "4xx"),
        ("healthz", "other", "4xx"),
    } <= found
    assert "secret" not in str(found)


def test_it_has_the_address_that_prometheus_expects() -> None:
    assert reverse("metrics") == "/metrics"


# --- Sign-ins


def sign_ins() -> dict[tuple[str, str], float]:
    found = values(processes.SIGN_INS.collect()).get("countersign_sign_ins_total", {})
    return {(dict(labels)["result"], dict(labels)["method"]): count for labels, count in found.items()}


def test_attempts_to_sign_in_are_counted_by_result_and_method(client: Client, rita: User) -> None:
    before = sign_ins()
    rita.set_password("correct horse battery")
    rita.save()
    for password in ("wrong", "wrong too", "correct horse battery"):
        client.post("/accounts/login/", {"login": rita.email, "password": password})
    more = {key: count - before.get(key, 0) for key, count in sign_ins().items()}
    assert (more["failed", "password"], more["ok", "password"]) == (2, 1)
    security_log.record(security_log.Event.TOKEN_REFUSED)
    assert sum(sign_ins().values()) == sum(before.values()) + 3, "lines on other things are none"
