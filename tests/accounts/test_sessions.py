"""How long a session lasts, where each is, and what ends it."""

import time
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory

from accounts import sessions
from accounts.models import User
from approvals import administration
from approvals.models import Comment, PromotionRequest, Target
from registry_ui.environment import Environment
from tests.support.factories import PASSWORD, make_policy, make_request, make_version

pytestmark = [pytest.mark.django_db, pytest.mark.each_database]

LOGIN, PAGE = "/accounts/login/", "/accounts/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOURS = 3600


def browser(person: User, address: str = "10.0.0.1", told: str = FIREFOX) -> Client:
    """One in which the person has signed in."""
    client = Client(REMOTE_ADDR=address, headers={"user-agent": told})
    assert client.post(LOGIN, {"login": person.email, "password": PASSWORD}).status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get("/preferences/").status_code == 200


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time()
    monkeypatch.setattr(sessions.time, "time", lambda: now + seconds)


# --- How long


def test_a_session_ends_so_long_after_the_sign_in_whatever_is_done_in_it(
    rita: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browser(rita)
    for hour in range(12):
        later(monkeypatch, HOURS if hour else 0)
        assert is_in(client), hour
        client.post("/preferences/", {"theme": "dark"})
    later(monkeypatch, HOURS + 60)
    assert not is_in(client)


@pytest.mark.parametrize("path", ["/nowhere/", "/accounts/password/reset/"])
def test_no_frame_of_a_page_shows_what_waits_when_the_session_is_over(
    rita: User, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    client = browser(rita)
    assert 'id="count-inbox"' in client.get(path).content.decode()
    later(monkeypatch, 13 * HOURS)
    assert 'id="count-inbox"' not in client.get(path).content.decode()


def test_a_session_ends_when_nothing_is_done_in_it(rita: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(rita)
    later(monkeypatch, 119 * 60)
    assert is_in(client)
    later(monkeypatch, 126 * 60)
    assert client.get("/preferences/")["Location"] == f"{LOGIN}?next=/preferences/"


def test_what_a_page_asks_by_itself_does_not_keep_a_session(rita: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(rita)
    later(monkeypatch, 119 * 60)
    assert client.get("/notifications/counts/", headers={"hx-request": "true"}).status_code in (200, 204)
    later(monkeypatch, 7 * 60)
    assert not is_in(client)


def test_that_a_session_is_used_is_written_every_few_minutes(
    rita: User, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    client = browser(rita)
    request = RequestFactory().get("/")
    request.session = client.session
    assert request.session[sessions.STARTED]
    with django_assert_num_queries(0):
        sessions.touch(request)
    later(monkeypatch, sessions.EVERY + 1)
    with django_assert_num_queries(1):  # the session itself is saved with the answer
        sessions.touch(request)
    assert request.session.modified


@pytest.mark.parametrize("seconds", [126 * 60, 12 * HOURS + 1])
def test_what_is_sent_too_late_is_not_done_and_kept(
    rita: User, remy: User, production: Target, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    make_policy("credit_risk", production, (1, None))
    asked: PromotionRequest = make_request(make_version("credit_risk"), production, by=rita)
    client = browser(remy)
    page = asked.get_absolute_url()
    client.get(page)
    with pytest.MonkeyPatch.context() as patch:
        later(patch, seconds)
        typed = {"text": "The threshold is too low."}
        away = client.post(f"{page}comment/", typed, headers={"referer": f"http://testserver{page}"})
    assert away["Location"].startswith(LOGIN)
    assert not Comment.objects.exists()
    assert "Your input is kept" in client.get(away["Location"]).content.decode()
    client.post(LOGIN, {"login": remy.email, "password": PASSWORD})
    assert "The threshold is too low." in client.get(page).content.decode()


def test_a_session_of_before_is_over(rita: User) -> None:
    client = browser(rita)
    session = client.session
    del session[sessions.STARTED]
    session.save()
    assert not is_in(client)


# --- What ends others


def test_a_deactivated_person_begins_anew_when_they_are_back(rita: User, ada: User) -> None:
    client = browser(rita)
    administration.set_active(rita, is_active=False, by=ada)
    administration.set_active(rita, is_active=True, by=ada)
    assert not is_in(client)
    assert not UserSession.objects.exists()
    assert not Session.objects.exists()


def test_a_changed_password_ends_all_other_sessions(rita: User) -> None:
    here, there = browser(rita), browser(rita)
    here.post("/accounts/reauthenticate/", {"password": PASSWORD})
    new = "a-fresh-long-password"
    here.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert (is_in(here), is_in(there)) == (True, False)
    assert [each.session_key for each in UserSession.objects.all()] == [here.session.session_key]


def test_an_added_and_a_removed_factor_end_all_other_sessions(
    rita: User, django_capture_on_commit_callbacks: Any
) -> None:
    here, there = browser(rita), browser(rita)
    here.post("/accounts/reauthenticate/", {"password": PASSWORD})
    TOTP.activate(rita, generate_totp_secret())
    here.post("/accounts/2fa/totp/deactivate/")
    assert (is_in(here), is_in(there)) == (True, False)


def test_of_two_that_end_the_same_at_once_one_does(rita: User) -> None:
    browser(rita)
    assert [sessions.end_all(rita, "a test"), sessions.end_all(rita, "a test")] == [1, 0]


# --- The page


def test_the_page_lists_the_sessions_of_the_person_alone(rita: User, remy: User) -> None:
    here = browser(rita)
    browser(rita, "10.0.0.7", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) AppleWebKit/605 Version/18.0 Safari/604")
    browser(remy, "10.0.0.9")
    page = here.get(PAGE).content.decode()
    assert "Firefox on Linux" in page
    assert "Safari on iPhone" in page
    assert "10.0.0.7" in page
    assert "10.0.0.9" not in page
    assert page.count("This session") == 1


def test_one_session_is_ended(rita: User) -> None:
    here, there, third = browser(rita), browser(rita), browser(rita)
    number = UserSession.objects.get(session_key=there.session.session_key).pk
    answer = here.post(PAGE, {"session": str(number)}, follow=True)
    assert "1 session ended." in answer.content.decode()
    assert [is_in(each) for each in (here, there, third)] == [True, False, True]


def test_all_others_are_ended(rita: User) -> None:
    here, there, third = browser(rita), browser(rita), browser(rita)
    here.post(PAGE, {"session": "others"})
    assert [is_in(each) for each in (here, there, third)] == [True, False, False]
    assert "End all others" not in here.get(PAGE).content.decode()


@pytest.mark.parametrize("sent", ["", "999999", "9" * 40, "-1"])
def test_what_is_no_session_of_theirs_ends_none(rita: User, remy: User, sent: str) -> None:
    here, other = browser(rita), browser(remy)
    number = str(UserSession.objects.get(user=remy).pk)
    for text in (sent, number):
        here.post(PAGE, {"session": text})
    assert (is_in(here), is_in(other)) == (True, True)


def test_the_page_asks_as_often_for_many_sessions(rita: User, django_assert_max_num_queries: Any) -> None:
    here = browser(rita)
    for _ in range(5):
        browser(rita)
    with django_assert_max_num_queries(2):
        assert len(sessions.of(rita, here.session.session_key)) == 6


@pytest.mark.nodb
@pytest.mark.parametrize(
    ("told", "words"), [(FIREFOX, "Firefox on Linux"), ("curl/8.0", "Unknown browser"), ("<b>Edg/1", "Edge")]
)
def test_what_a_browser_says_of_itself_in_words(told: str, words: str) -> None:
    assert sessions.browser_of(told) == words


# --- Cookies and what stays in the browser


def test_signing_out_clears_what_the_browser_kept(rita: User) -> None:
    client = browser(rita)
    assert "Clear-Site-Data" not in client.get("/preferences/").headers
    assert client.post("/accounts/logout/")["Clear-Site-Data"] == '"cache", "storage"'
    assert not UserSession.objects.exists()


def test_with_https_browsers_take_the_cookies_from_this_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setenv("COUNTERSIGN_SITE_URL", "https://countersign.example.com")
    monkeypatch.setattr("registry_ui.environment.configure_logging", lambda **_: None)
    found = importlib.util.find_spec("registry_ui.settings")
    assert found is not None
    assert found.loader is not None
    read = importlib.util.module_from_spec(found)
    found.loader.exec_module(read)
    assert (read.SESSION_COOKIE_NAME, read.CSRF_COOKIE_NAME) == (
        "__Host-countersign_session",
        "__Host-countersign_csrf",
    )
    assert (read.SESSION_COOKIE_SECURE, read.CSRF_COOKIE_SECURE) == (True, True)
    assert isinstance(read.env, Environment)


def test_messages_are_in_the_session_and_in_no_cookie(client: Client, rita: User) -> None:
    answer = client.post("/preferences/", {"theme": "dark"})
    assert "messages" not in answer.cookies
    assert "nothing was recorded" in client.get(LOGIN).content.decode()
