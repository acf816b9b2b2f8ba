"""The whole room. Guessing passwords: the tries are counted in the database, so every web process knows them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from accounts.models import User
from registry_ui.demo.installation import ROOT
from tests.support.factories import PASSWORD, make_person

LOGIN = "/accounts/login/"
LIMIT = 5
"""django-allauth's: so many wrong passwords for one address within five minutes."""

TOO_MANY = "Too many failed login attempts. Try again later."

# Another web process: the settings, a client, one sign-in.
OTHER_PROCESS = """
import json, sys, django
django.setup()
from django.test import Client
client = Client(headers={"host": "127.0.0.1"}, REMOTE_ADDR=sys.argv[2])
answer = client.post("/accounts/login/", json.loads(sys.argv[1]))
print(json.dumps({"status": answer.status_code, "page": answer.content.decode()}))
"""


def attempt(password: str, address: str = "10.0.0.1") -> Any:
    client = Client(REMOTE_ADDR=address, headers={"host": "127.0.0.1"})
    return client.post(LOGIN, {"login": "rita@example.com", "password": password})


def attempt_elsewhere(password: str, address: str) -> dict[str, Any]:
    given = json.dumps({"login": "rita@example.com", "password": password})
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database_url()}
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, given, address],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def database_url() -> str:
    """Of the database that the tests run on."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    return f"postgresql://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT']}/{given['NAME']}"


@pytest.fixture
def uncounted(committed: None) -> Iterator[None]:
    """The cache is no model's table: emptying the database leaves it."""
    cache.clear()
    yield
    cache.clear()


def test_after_five_wrong_passwords_the_right_one_is_refused_in_every_process(uncounted: None) -> None:
    make_person("Rita Sanz", "requester")
    for number in range(LIMIT):
        assert TOO_MANY not in attempt("wrong", f"10.0.0.{number}").content.decode()
    here = attempt(PASSWORD, "10.0.1.1")
    assert TOO_MANY in here.content.decode()
    there = attempt_elsewhere(PASSWORD, "10.0.1.2")
    assert there["status"] == 200
    assert TOO_MANY in there["page"]


def test_what_another_process_counted_counts_here(uncounted: None) -> None:
    make_person("Rita Sanz", "requester")
    for number in range(LIMIT - 1):
        attempt("wrong", f"10.0.0.{number}")
    attempt_elsewhere("wrong", "10.0.0.9")
    assert TOO_MANY in attempt(PASSWORD, "10.0.1.1").content.decode()


@pytest.mark.django_db
def test_the_limit_is_for_one_address_and_others_still_come_in(rita: User, remy: User) -> None:
    for number in range(LIMIT):
        attempt("wrong", f"10.0.0.{number}")
    answer = Client(REMOTE_ADDR="10.0.1.1").post(LOGIN, {"login": remy.email, "password": PASSWORD})
    assert answer["Location"] == "/home/"


@pytest.mark.django_db
def test_the_limit_ends_when_the_time_is_over(rita: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(LIMIT):
        attempt("wrong", f"10.0.0.{number}")
    assert TOO_MANY in attempt(PASSWORD).content.decode()
    import allauth.core.internal.ratelimit as limits

    now = limits.time.time()
    monkeypatch.setattr(limits.time, "time", lambda: now + 301)
    assert attempt(PASSWORD)["Location"] == "/home/"


@pytest.mark.django_db
def test_one_machine_cannot_try_many_addresses(rita: User) -> None:
    for number in range(10):
        Client(REMOTE_ADDR="10.0.0.1").post(LOGIN, {"login": f"guess{number}@example.com", "password": "wrong"})
    assert TOO_MANY in attempt(PASSWORD, "10.0.0.1").content.decode()
    assert attempt(PASSWORD, "10.0.0.2")["Location"] == "/home/"


@pytest.mark.django_db
def test_a_header_cannot_pretend_another_machine_without_a_trusted_proxy(rita: User) -> None:
    for number in range(10):
        client = Client(REMOTE_ADDR="10.0.0.1", headers={"x-forwarded-for": f"192.0.2.{number}"})
        client.post(LOGIN, {"login": f"guess{number}@example.com", "password": "wrong"})
    assert TOO_MANY in attempt(PASSWORD, "10.0.0.1").content.decode()


@pytest.mark.django_db
def test_a_flood_of_tries_does_not_wash_the_counts_away(rita: User) -> None:
    """Django's cache drops rows beyond 300 as it comes."""
    for number in range(LIMIT):
        attempt("wrong", f"10.0.0.{number}")
    for number in range(400):
        cache.set(f"flood{number}", number)
    assert TOO_MANY in attempt(PASSWORD, "10.0.1.1").content.decode()
