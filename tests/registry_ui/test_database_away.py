"""Several rooms. The database is away or busy: a page that says so, with a pause after which to try again, and no wrong
reason."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.utils import timezone

from accounts import tasks
from components import database_away
from registry_ui.demo.installation import ROOT
from tests.support.factories import PASSWORD, make_person

# A process whose PostgreSQL is not there: every address, as somebody whose browser has a session.
AWAY = """
import json, re, django
django.setup()
from django.test import Client
from django.urls import URLResolver, get_resolver

def walk(patterns, before=""):
    for each in patterns:
        route = before + re.sub(r"<(\\w+):\\w+>", lambda found: "1" if found[1] == "int" else "x", str(each.pattern))
        if isinstance(each, URLResolver):
            yield from walk(each.url_patterns, route)
        elif not set("^\\\\(<") & set(route):
            yield "/" + route

answers = {}
for path in walk(get_resolver().url_patterns):
    for method in ("get", "post"):
        client = Client(raise_request_exception=False, headers={"host": "127.0.0.1"})
        client.cookies["countersign_session"] = "s" * 32
        answer = getattr(client, method)(path)
        answers[f"{method} {path}"] = [
            answer.status_code, answer.headers.get("Retry-After", ""), answer.headers["Content-Type"],
            b"database does not answer" in answer.content,
        ]
print(json.dumps(answers))
"""
NEED_NO_DATABASE = {"get /healthz", "post /healthz", "post /readyz", "get /metrics", "post /metrics"}
"""Metrics: because no token is set, of which there are none then."""


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", AWAY],
        cwd=ROOT,
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": "postgresql://nobody:hush@127.0.0.1:9/none"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "hush" not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_page_answers_503_with_a_pause(answers: dict[str, Any]) -> None:
    assert len(answers) > 150
    # 501: MLflow's webhooks are not set up, which the settings say.
    assert {
        path: answer[0] for path, answer in answers.items() if answer[0] >= 500 and answer[0] not in (501, 503)
    } == {}
    for path in (
        "get /",
        "post /requests/1/review/",
        "get /models/x/",
        "get /history/",
        "get /people/",
        "get /system/",
    ):
        status, pause, kind, is_said = answers[path]
        assert (status, pause, is_said) == (503, "10", True), path
        assert kind.startswith("text/html")
    # What answers otherwise needs no database for what it says: a redirect, a refused method, a page without content.
    others = {path for path, answer in answers.items() if answer[0] != 503} - NEED_NO_DATABASE
    # The API: without a token, of which each address gets few answers; a body that is none is told before it is read.
    assert all(answers[path][0] in (200, 302, 400, 401, 403, 404, 405, 429, 501) for path in others)
    doors = ("accounts/", "callbacks/", "gate/", "api/", "databricks/")
    assert not {path for path in others if not any(door in path for door in doors)}


@pytest.mark.parametrize("path", ["get /history/at.json", "get /history/audit/export/population.jsonl"])
def test_programs_get_json(answers: dict[str, Any], path: str) -> None:
    status, pause, kind, is_said = answers[path]
    assert (status, pause, kind, is_said) == (503, "10", "application/json", True)


def test_readyz_goes_on_saying_it_in_its_own_words(answers: dict[str, Any]) -> None:
    assert answers["get /readyz"][0] == 503


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (OperationalError("database is locked"), True),
        (OperationalError("server closed the connection unexpectedly"), True),
        (InterfaceError("connection already closed"), True),
        (OperationalError("no such table: accounts_user"), False),
        (ValueError("x"), False),
        (None, False),
    ],
)
def test_only_a_database_that_is_away_or_busy_asks_to_try_again(error: Exception | None, is_away: bool) -> None:
    assert database_away.is_away(error) is is_away


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Somebody else writes for longer than this connection waits."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout=50" if connection.vendor == "sqlite" else "SET lock_timeout = '50ms'")
    if connection.vendor == "sqlite":
        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
    else:
        other = connection.copy()
        other.set_autocommit(False)
        other.cursor().execute("LOCK TABLE countersign_cache")
    try:
        yield
    finally:
        other.rollback()
        other.close()
        connection.close()


def test_a_busy_database_during_a_sign_in_is_not_called_too_many_requests(committed: None) -> None:
    make_person("Rita Sanz", "requester")
    client = Client(raise_request_exception=False)
    with locked():
        answer = client.post("/accounts/login/", {"login": "rita@example.com", "password": PASSWORD})
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    html = answer.content.decode()
    assert "The database does not answer" in html
    assert "Too many" not in html
    assert client.post("/accounts/login/", {"login": "rita@example.com", "password": PASSWORD}).status_code == 302


# --- Sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.each_database
@pytest.mark.django_db
def test_sessions_that_ended_are_deleted_after_the_stated_time(settings: Any) -> None:
    now = timezone.now()
    for key, hours in (("running", -1), ("ended", 23), ("old", 25)):
        Session.objects.create(session_key=key, session_data="", expire_date=now - timedelta(hours=hours))
    assert tasks.prune_sessions() == 1
    assert set(Session.objects.values_list("session_key", flat=True)) == {"running", "ended"}
    settings.PRUNE_SESSIONS_HOURS = 0
    assert tasks.prune_sessions() == 1
    assert list(Session.objects.values_list("session_key", flat=True)) == ["running"]


def test_beat_does_so(settings: Any) -> None:
    assert settings.CELERY_BEAT_SCHEDULE["accounts.prune_sessions"]["task"] == tasks.prune_sessions.name


@pytest.mark.each_database
@pytest.mark.django_db
def test_the_database_gives_up_a_host_that_went_away_in_the_middle() -> None:
    """And with it the locks that it held: PostgreSQL's own way is to wait for two hours."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's file is on this host.")
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}")
        assert cursor.fetchone() == ("5", "5", "2", "15000")
