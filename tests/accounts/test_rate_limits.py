"""The whole room. Guessing passwords: the tries are counted in the database, so every web process knows them."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory

import registry_ui.cache
from accounts import attempts, devices, limits
from accounts.models import User
from accounts.security_log import Event
from registry_ui import middleware
from registry_ui.demo.installation import ROOT
from tests.accounts.conftest import Lines
from tests.support.factories import PASSWORD, make_person
from tests.support.threads import at_once

pytestmark = pytest.mark.each_database

LOGIN = "/accounts/login/"
STRANGERS = attempts.BY_STRANGERS[0]
TOO_MANY = "There were too many tries."

# Another web process: the settings, a client, one sign-in.
OTHER_PROCESS = """
import json, sys, django
django.setup()
from django.test import Client, RequestFactory
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


def test_beyond_the_limit_the_right_password_is_refused_in_every_process(uncounted: None) -> None:
    make_person("Rita Sanz", "requester")
    for number in range(STRANGERS):
        assert TOO_MANY not in attempt("wrong", f"10.0.0.{number}").content.decode()
    here = attempt(PASSWORD, "10.0.1.1")
    assert TOO_MANY in here.content.decode()
    there = attempt_elsewhere(PASSWORD, "10.0.1.2")
    assert there["status"] == 200
    assert TOO_MANY in there["page"]


def test_what_another_process_counted_counts_here(uncounted: None) -> None:
    make_person("Rita Sanz", "requester")
    for number in range(STRANGERS - 1):
        attempt("wrong", f"10.0.0.{number}")
    attempt_elsewhere("wrong", "10.0.0.9")
    assert TOO_MANY in attempt(PASSWORD, "10.0.1.1").content.decode()


@pytest.mark.django_db
def test_the_limit_is_for_one_address_and_others_still_come_in(rita: User, remy: User) -> None:
    for number in range(STRANGERS):
        attempt("wrong", f"10.0.0.{number}")
    answer = Client(REMOTE_ADDR="10.0.1.1").post(LOGIN, {"login": remy.email, "password": PASSWORD})
    assert answer["Location"] == "/home/"


@pytest.mark.django_db
def test_the_limit_ends_when_the_time_is_over(rita: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(STRANGERS):
        attempt("wrong", f"10.0.0.{number}")
    page = attempt(PASSWORD, "10.0.1.1").content.decode()
    assert "Try again in 60 min" in page
    now = time.time()
    monkeypatch.setattr(registry_ui.cache.time, "time", lambda: now + 3601)
    assert attempt(PASSWORD)["Location"] == "/home/"


@pytest.mark.django_db
def test_a_right_password_is_no_try(rita: User) -> None:
    for number in range(STRANGERS + 1):
        assert attempt(PASSWORD, f"10.0.0.{number}")["Location"] == "/home/"


@pytest.mark.django_db
def test_strangers_cannot_keep_a_person_out_of_the_browser_where_they_are_known(rita: User) -> None:
    known = Client(REMOTE_ADDR="10.0.0.1", headers={"host": "127.0.0.1"})
    credentials = {"login": rita.email, "password": PASSWORD}
    known.post(LOGIN, credentials)
    known.post("/accounts/logout/")
    for number in range(STRANGERS + 5):
        attempt("wrong", f"10.0.1.{number}")
    for number in range(12):  # and from the same office
        Client(REMOTE_ADDR="10.0.0.1").post(LOGIN, {"login": f"guess{number}@example.com", "password": "wrong"})
    assert TOO_MANY in attempt(PASSWORD, "10.0.2.1").content.decode()
    assert known.post(LOGIN, credentials)["Location"] == "/home/"


@pytest.mark.django_db
def test_a_known_browser_has_few_tries_and_is_of_one_person_with_one_password(rita: User, remy: User) -> None:
    known = Client(headers={"host": "127.0.0.1"})
    known.post(LOGIN, {"login": rita.email, "password": PASSWORD})
    known.post("/accounts/logout/")
    for _ in range(5):
        assert TOO_MANY not in known.post(LOGIN, {"login": rita.email, "password": "wrong"}).content.decode()
    assert "Try again in 5 min" in known.post(LOGIN, {"login": rita.email, "password": PASSWORD}).content.decode()
    request = RequestFactory().get("/")
    request.COOKIES |= {name: morsel.value for name, morsel in known.cookies.items()}
    assert devices.of(request, rita)
    assert not devices.of(request, remy)
    rita.set_password("a-fresh-long-password")
    assert not devices.of(request, rita)
    request.COOKIES[devices.name()] = request.COOKIES[devices.name()].replace(f"{rita.pk}:", f"{remy.pk}:", 1)
    assert not devices.of(request, remy)


@pytest.mark.django_db
def test_a_new_password_by_mail_lets_the_person_in_again(rita: User) -> None:
    for number in range(STRANGERS):
        attempt("wrong", f"10.0.0.{number}")
    attempts.forget(rita)
    assert attempt(PASSWORD, "10.0.1.1")["Location"] == "/home/"


def test_of_tries_at_the_same_moment_no_more_pass_than_the_limit(uncounted: None) -> None:
    """Each has a count of its own, though all of them began before the first had an answer."""
    counts = at_once(*[lambda: limits.hit("together", 60)[0] for _ in range(8)])
    assert sorted(map(str, counts)) == [str(number) for number in range(1, 9)]


@pytest.mark.django_db
def test_a_count_begins_anew_after_its_time_and_goes_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    assert [limits.hit("k", 60)[0], limits.hit("k", 60, 5)[0], limits.hit("other", 600)[0]] == [1, 6, 1]
    now = time.time()
    monkeypatch.setattr(registry_ui.cache.time, "time", lambda: now + 61)
    assert limits.hit("k", 60)[0] == 1
    monkeypatch.setattr(registry_ui.cache.time, "time", lambda: now + 200)
    assert cache.drop_expired() == 1  # type: ignore[attr-defined]
    assert limits.hit("other", 600)[0] == 2


@pytest.mark.django_db
def test_a_try_beyond_the_limit_costs_a_stranger_more_than_us(rita: User, django_assert_max_num_queries: Any) -> None:
    for number in range(11):
        Client(REMOTE_ADDR="10.0.0.1").post(LOGIN, {"login": f"guess{number}@example.com", "password": "wrong"})
    hashed: list[str] = []
    with pytest.MonkeyPatch.context() as patch, django_assert_max_num_queries(3):
        patch.setattr("accounts.models.User.check_password", lambda *_: hashed.append("") or True)
        attempt(PASSWORD, "10.0.0.1")
    assert hashed == [], "No password is computed."


# --- Proofs in a session


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/accounts/reauthenticate/", "/accounts/2fa/reauthenticate/"])
def test_five_wrong_proofs_end_the_session(client: Client, rita: User, page: str) -> None:
    TOTP.activate(rita, generate_totp_secret())
    client.force_login(rita)
    sent = {"password": "wrong", "code": "000000"}
    assert [client.post(page, sent).status_code for _ in range(4)] == [200] * 4
    assert client.post(page, sent)["Location"] == LOGIN
    assert client.get("/models/").status_code == 302
    assert "too many wrong proofs" in client.get(LOGIN).content.decode()


@pytest.mark.django_db
def test_the_present_password_cannot_be_tried_out_where_it_is_changed(client: Client, rita: User, lines: Lines) -> None:
    client.force_login(rita)
    page, new = "/accounts/password/change/", {"password1": "another-one-9", "password2": "another-one-9"}
    for _ in range(4):
        assert client.post(page, {"oldpassword": "wrong", **new}).status_code == 200
    assert [line["person"] for line in lines(Event.REAUTH_FAILED)] == [rita.pk] * 4
    assert client.post(page, {"oldpassword": "wrong", **new})["Location"] == LOGIN
    assert client.get("/models/").status_code == 302


@pytest.mark.django_db
def test_who_knows_the_present_password_may_try_more_new_ones(client: Client, rita: User, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": None, "change_password": None}
    client.force_login(rita)
    for _ in range(6):
        client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": "123", "password2": "123"})
    assert client.get("/models/").status_code == 200


@pytest.mark.django_db
def test_a_right_proof_forgets_the_wrong_ones(client: Client, rita: User) -> None:
    client.force_login(rita)
    for _ in range(2):
        for _ in range(4):
            client.post("/accounts/reauthenticate/", {"password": "wrong"})
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert client.get("/models/").status_code == 200


@pytest.mark.django_db
def test_proofs_that_are_tried_at_once_are_refused_beyond_the_limit(client: Client, rita: User) -> None:
    """Even the right one, which may be the lucky guess of many sent together."""
    client.force_login(rita)
    limits.hit(f"proofs:{hashlib.sha256(client.session.session_key.encode()).hexdigest()}", 3600, 5)
    assert client.post("/accounts/reauthenticate/", {"password": PASSWORD})["Location"] == LOGIN


# --- What a person sends


@pytest.mark.django_db
def test_who_sends_too_much_gets_a_page_that_says_when_to_go_on(
    client: Client, rita: User, remy: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CHANGES_PER_MINUTE = 10
    monkeypatch.setattr(middleware, "LIMITER", limits.Limiter(lambda: 1_000_000_040.0))
    client.force_login(rita)
    for _ in range(10):
        assert client.post("/preferences/", {"theme": "dark"}).status_code != 429
    answer = client.post("/preferences/", {"theme": "dark"})
    page = answer.content.decode()
    assert (answer.status_code, answer["Retry-After"]) == (429, "40")
    assert "try again in 40 seconds" in page
    assert client.get("/preferences/").status_code == 200, "Reading goes on."
    asks_json = client.post("/preferences/", headers={"accept": "application/json"})
    assert asks_json.json()["error"] == "Too many requests. Try again in 40 seconds."
    client.force_login(remy)
    assert client.post("/preferences/", {"theme": "dark"}).status_code != 429


@pytest.mark.django_db
def test_a_flood_of_changes_asks_little(
    client: Client, rita: User, settings: Any, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    settings.CHANGES_PER_MINUTE = 10
    monkeypatch.setattr(middleware, "LIMITER", limits.Limiter(lambda: 1_000_000_040.0))
    client.force_login(rita)
    for _ in range(10):
        client.post("/preferences/", {"theme": "dark"})
    with django_assert_num_queries(2):  # session and person
        assert client.post("/preferences/", {"theme": "dark"}).status_code == 429


@pytest.mark.django_db
def test_the_limits_of_django_allauth_answer_with_the_same_page(rita: User) -> None:
    for _ in range(5):
        Client().post("/accounts/password/reset/", {"email": rita.email})
    answer = Client().post("/accounts/password/reset/", {"email": rita.email})
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")
    assert "try again in 60 seconds" in answer.content.decode()


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
    for number in range(STRANGERS):
        attempt("wrong", f"10.0.0.{number}")
    for number in range(400):
        cache.set(f"flood{number}", number)
    assert TOO_MANY in attempt(PASSWORD, "10.0.1.1").content.decode()
