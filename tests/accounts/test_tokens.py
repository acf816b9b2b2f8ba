"""API tokens: how they look, which are good, what is written about their use; and that service accounts sign in by
nothing else."""

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.models import ApiToken, User
from approvals import administration
from tests.support.factories import PASSWORD, make_person, make_service_account, make_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def robot(rita: User, ada: User) -> User:
    return make_service_account(owner=rita)


def code_of(text: str, address: str = "203.0.113.7") -> str:
    found = tokens.authenticate(text, address=address)
    return found.code if isinstance(found, tokens.Refusal) else ""


def identity_of(text: str, address: str = "203.0.113.7") -> tokens.Identity:
    found = tokens.authenticate(text, address=address)
    assert isinstance(found, tokens.Identity)
    return found


# --- How one looks ----------------------------------------------------------------------------------------------------


def test_a_token_is_long_random_and_ends_with_its_checksum() -> None:
    made = {tokens.generate() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch("csn_[0-9A-Za-z]{46}", each) for each in made)
    assert {code_of(each) for each in made} == {"token_unknown"}


@pytest.mark.each_database
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + "x",
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text[:10] + ("A" if text[10] != "A" else "B") + text[11:],
        lambda text: text.upper(),
        lambda text: "",
        lambda text: f" {text}",
        lambda text: text + "\n",
        lambda text: "csn_" + "é" * 46,
        lambda text: "csn_" + "\0" * 46,
    ],
)
def test_what_is_no_token_costs_no_query(rita: User, django_assert_num_queries: Any, change: Any) -> None:
    text = make_token(rita)
    with django_assert_num_queries(0):
        assert code_of(change(text)) == "token_malformed"


def test_what_is_stored_does_not_have_the_token(rita: User) -> None:
    text = make_token(rita)
    row = ApiToken.objects.values().get()
    assert row["digest"] == tokens.digest_of(text)
    assert row["prefix"] == text[:10]
    assert not any(text[10:] in str(value) for value in row.values())


# --- Which are good ---------------------------------------------------------------------------------------------------


def test_a_good_one_says_who_and_what(rita: User) -> None:
    found = identity_of(make_token(rita, "read", "requests:write"))
    assert (found.user, found.scopes) == (rita, {"read", "requests:write"})
    assert tokens.lacks(found, "read") is None
    refused = tokens.lacks(found, "gate")
    assert refused is not None
    assert (refused.code, "lacks the scope gate" in refused.detail) == ("scope_missing", True)


def test_each_reason_has_its_own_code(robot: User, rita: User, ada: User) -> None:
    text = make_token(robot)
    expired, revoked = make_token(rita, name="old"), make_token(rita, name="lost")
    assert code_of(text) == ""
    ApiToken.objects.filter(name="old").update(expires_at=timezone.now())
    administration.revoke_token(ApiToken.objects.get(name="lost"), by=rita)
    User.objects.filter(pk=rita.pk).update(is_active=False)
    assert [code_of(each) for each in (expired, revoked, text)] == ["token_expired", "token_revoked", "owner_inactive"]
    User.objects.filter(pk=rita.pk).update(is_active=True)
    User.objects.filter(pk=robot.pk).update(owner=None)
    assert code_of(text) == "owner_inactive"
    User.objects.filter(pk=robot.pk).update(is_active=False)
    assert code_of(text) == "account_inactive"


def test_a_program_answers_for_no_other(robot: User, rita: User, remy: User, ada: User) -> None:
    text = make_token(robot)
    administration.set_person(rita, groups=[], mlflow_names=[], is_service_account=True, owner=remy, by=ada)
    assert code_of(text) == "owner_inactive"


def test_all_that_are_known_cost_the_same(robot: User, rita: User, django_assert_num_queries: Any) -> None:
    good, expired, unknown = make_token(robot), make_token(rita, name="old"), tokens.generate()
    ApiToken.objects.filter(name="old").update(expires_at=timezone.now())
    code_of(good)
    for text, code in ((good, ""), (expired, "token_expired"), (unknown, "token_unknown")):
        with django_assert_num_queries(1):
            assert code_of(text) == code


def test_a_service_account_has_no_scope_of_persons(robot: User, rita: User) -> None:
    text = make_token(rita)
    assert "reviews:write" in identity_of(text).scopes
    User.objects.filter(pk=rita.pk).update(is_service_account=True, owner=robot.pk)
    User.objects.filter(pk=robot.pk).update(owner=None, is_service_account=False)
    found = identity_of(text)
    assert "reviews:write" not in found.scopes
    refused = tokens.lacks(found, "reviews:write")
    assert refused is not None
    assert refused.code == "persons_only"


# --- Use --------------------------------------------------------------------------------------------------------------


def test_use_is_written_once_an_hour(
    rita: User, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = datetime(2026, 11, 27, 19, 13, tzinfo=UTC)
    now = made
    monkeypatch.setattr(timezone, "now", lambda: now)
    text = make_token(rita)
    now = made + timedelta(minutes=1)
    assert ApiToken.objects.get().last_used_at is None
    with django_assert_num_queries(2):
        code_of(text)
    now = made + timedelta(minutes=46)
    with django_assert_num_queries(1):
        code_of(text, "203.0.113.8")
    used = ApiToken.objects.get()
    assert used.last_used_from == "203.0.113.7"
    assert used.last_used_at == made + timedelta(minutes=1), "a moment of use, so never before it was made"
    now = made + timedelta(minutes=47)
    code_of(text, "203.0.113.8")
    used = ApiToken.objects.get()
    assert (used.last_used_at, used.last_used_from) == (now, "203.0.113.8")


def test_who_is_refused_has_not_used_it(rita: User) -> None:
    text = make_token(rita)
    ApiToken.objects.update(expires_at=timezone.now())
    code_of(text)
    assert ApiToken.objects.get().last_used_at is None


def test_nothing_of_it_is_logged(rita: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    text = make_token(rita)
    code_of(text)
    code_of(text[:-1] + "0")
    assert text[10:-1] not in caplog.text


@pytest.mark.parametrize("link", ["https://ci.example.com/runs/7?x=1#s", "http://[::1]:8080/a", " https://ci/x ", ""])
def test_a_link_to_the_run(link: str) -> None:
    assert tokens.run_link(link) == link.strip()


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "//ci.example.com/x",
        "https://user:secret@ci.example.com/x",
        "https://ci.example.com/a b",
        'https://ci.example.com/"><script>',
        "https://ci.example.com:port/",
        "https://ci.example.com/\u202e",
        "https:///nowhere",
        "https://[::1/",
        "https://ci.example.com/" + "x" * 500,
    ],
)
def test_what_is_no_link_to_a_run(link: str) -> None:
    with pytest.raises(ValueError, match="must be an http or https URL"):
        tokens.run_link(link)


# --- Service accounts do not sign in ----------------------------------------------------------------------------------


@pytest.fixture
def former(rita: User, ada: User) -> User:
    """A service account that was a person: has a password, and a session."""
    made = make_person("Ci Robot", "requester")
    EmailAddress.objects.create(user=made, email=made.email, verified=True, primary=True)
    return made


def programmed(person: User, owner: User, ada: User) -> None:
    administration.set_person(person, groups=[], mlflow_names=[], is_service_account=True, owner=owner, by=ada)


def test_not_with_a_password(former: User, rita: User, ada: User, client: Client) -> None:
    given = {"login": former.email, "password": PASSWORD}
    assert client.post("/accounts/login/", given).status_code == 302
    client.logout()
    programmed(former, rita, ada)
    answer = client.post("/accounts/login/", given)
    assert answer.status_code == 403
    assert "Service accounts cannot sign in" in answer.content.decode()
    assert client.get("/history/").status_code == 302


def test_not_with_a_session_from_before(former: User, rita: User, ada: User, client: Client) -> None:
    client.post("/accounts/login/", {"login": former.email, "password": PASSWORD})
    assert client.get("/preferences/").status_code == 200
    programmed(former, rita, ada)
    assert client.get("/preferences/").status_code == 302


def test_not_with_a_link_by_mail(former: User, rita: User, ada: User, client: Client) -> None:
    client.post("/accounts/password/reset/", {"email": former.email})
    link = re.search(r"/accounts/password/reset/key/\S+", str(mail.outbox[-1].body))
    assert link
    programmed(former, rita, ada)
    mail.outbox.clear()
    client.post("/accounts/password/reset/", {"email": former.email})
    assert not mail.outbox
    page = client.get(link[0], follow=True)
    client.post(page.redirect_chain[-1][0], {"password1": "another-long-one", "password2": "another-long-one"})
    assert client.get("/preferences/").status_code == 302
    assert client.post("/accounts/login/", {"login": former.email, "password": "another-long-one"}).status_code == 403


def test_a_new_one_has_no_password_and_no_mail(robot: User) -> None:
    assert not robot.has_usable_password()
    assert robot.email.endswith(".invalid")
    assert not EmailAddress.objects.filter(user=robot).exists()
