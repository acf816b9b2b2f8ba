"""What an identity provider says of a person, through the whole dance: believed as far as it can be used, and never a
server error. The provider of these tests sends whatever it is told to."""

from importlib import import_module
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.core import mail
from django.test import Client

from accounts import claims
from accounts.models import User
from tests.accounts.provider import Provider
from tests.accounts.test_openid_connect import LOGIN, dance, signed_in

pytestmark = pytest.mark.django_db

UNVERIFIED: list[Any] = ["false", "no", "0", "1", "true ", 1, [True]]


def failed(answer: Any) -> str:
    """The page "Sign-in failed"."""
    html = answer.content.decode()
    assert answer.status_code == 401
    assert "<h1>Sign-in failed</h1>" in html
    return str(html)


# --- Verified ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", UNVERIFIED)
def test_only_true_verifies_the_address_of_somebody_known(
    client: Client, provider: Provider, remy: User, said: Any
) -> None:
    provider.person |= {"sub": "evil", "email": remy.email, "email_verified": said}
    answer = dance(client)
    assert answer.status_code == 403
    assert "has not verified this address" in answer.content.decode()
    assert not signed_in(client).is_authenticated
    assert not SocialAccount.objects.exists()
    remy.refresh_from_db()
    assert remy.has_usable_password()


@pytest.mark.parametrize("said", UNVERIFIED)
def test_only_true_verifies_the_address_of_somebody_new(client: Client, provider: Provider, said: Any) -> None:
    provider.person |= {"email_verified": said}
    assert dance(client)["Location"] == "/accounts/confirm-email/"
    assert not signed_in(client).is_authenticated
    assert not EmailAddress.objects.get(email="nina@example.com").verified
    assert [sent.to for sent in mail.outbox] == [["nina@example.com"]]


@pytest.mark.parametrize("said", [True, "true", "True", "TRUE"])
def test_true_and_its_word_verify(client: Client, provider: Provider, remy: User, said: Any) -> None:
    provider.person |= {"email_verified": said}
    assert dance(client)["Location"] == "/welcome/"
    nina = User.objects.get(email="nina@example.com")
    assert signed_in(client) == nina
    assert EmailAddress.objects.get(user=nina).verified is True
    other = Client()
    provider.person |= {"sub": "2", "email": remy.email}
    dance(other)
    assert signed_in(other) == remy


@pytest.mark.parametrize("said", UNVERIFIED)
def test_an_unverified_address_confirms_nothing_for_an_account_that_is_linked(
    client: Client, provider: Provider, remy: User, said: Any
) -> None:
    SocialAccount.objects.create(user=remy, provider="oidc", uid="1")
    provider.person |= {"email": remy.email, "email_verified": said}
    dance(client)
    assert not EmailAddress.objects.filter(user=remy, verified=True).exists()


@pytest.mark.parametrize(
    ("id_token", "userinfo"),
    [
        ({"email_verified": False}, {}),
        ({}, {"email_verified": "false"}),
        ({"email": "mallory@example.com"}, {}),
        ({}, {"email": None, "email_verified": False}),
        ({"email": None}, {"email_verified": None}),
    ],
)
def test_token_and_user_info_that_contradict_each_other_verify_nothing(
    client: Client, provider: Provider, remy: User, id_token: dict[str, Any], userinfo: dict[str, Any]
) -> None:
    provider.person |= {"sub": "evil", "email": remy.email}
    provider.claims, provider.userinfo = id_token, userinfo
    assert dance(client).status_code == 403
    assert not signed_in(client).is_authenticated


@pytest.mark.parametrize(
    ("id_token", "userinfo"),
    [({"email": None, "email_verified": None}, {}), ({}, {"email": None, "email_verified": None})],
)
def test_one_of_the_two_is_enough(
    client: Client, provider: Provider, remy: User, id_token: dict[str, Any], userinfo: dict[str, Any]
) -> None:
    provider.person |= {"email": remy.email}
    provider.claims, provider.userinfo = id_token, userinfo
    dance(client)
    assert signed_in(client) == remy


def test_the_programs_own_account_is_nobodys(client: Client, provider: Provider) -> None:
    own = User.objects.countersign()
    provider.person |= {"email": own.email}
    assert dance(client).status_code == 403
    assert not SocialAccount.objects.exists()


# --- What cannot be used ----------------------------------------------------------------------------------------------

NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"sub": None}, "did not identify you clearly."),
    ({"sub": ""}, "did not identify you clearly."),
    ({"sub": "s" * 300}, "sent a claim of 300 characters, and at most 191 can be used: sub."),
    ({"sub": {"id": 1}}, "sent a claim that is no text: sub."),
    ({"sub": True}, "sent a claim that is no text: sub."),
    ({"sub": 1.5}, "sent a claim that is no text: sub."),
    ({"sub": "1\x00"}, "sent a claim with characters that cannot be used: sub."),
    ({"sub": " 1"}, "sent a claim with characters that cannot be used: sub."),
    ({"email": {"value": "remy@example.com"}}, "sent a claim that is no text: email."),
    ({"email": ["remy@example.com"]}, "sent a claim that is no text: email."),
    ({"email": f"{'r' * 250}@example.com"}, "sent a claim of 262 characters, and at most 254 can be used: email."),
    ({"email": "remy@example.com\x00"}, "sent a claim with characters that cannot be used: email."),
    ({"email": "remy@example.com\n"}, "sent a claim with characters that cannot be used: email."),
    ({"email": "remy at example"}, "sent an e-mail address that is none."),
    ({"name": {"first": "Nina"}}, "sent a claim that is no text: name."),
    ({"name": ["Nina"]}, "sent a claim that is no text: name."),
    ({"name": 7}, "sent a claim that is no text: name."),
    ({"given_name": {}, "name": ""}, "sent a claim that is no text: given_name."),
]


@pytest.mark.parametrize(("said", "reason"), NONSENSE)
def test_claims_that_cannot_be_used_end_with_the_reason(
    client: Client, provider: Provider, said: dict[str, Any], reason: str
) -> None:
    # PyJWT refuses a subject that is no text before anything of ours reads it.
    provider.claims = {"sub": "1"} if not isinstance(said.get("sub", ""), str) else {}
    provider.person |= said
    assert f"Example ID {reason} Nothing was changed." in failed(dance(client))
    assert not User.objects.exists()
    assert not signed_in(client).is_authenticated


@pytest.mark.parametrize(("said", "reason"), NONSENSE)
def test_the_same_for_somebody_whose_address_is_known(
    client: Client, provider: Provider, remy: User, said: dict[str, Any], reason: str
) -> None:
    SocialAccount.objects.create(user=remy, provider="oidc", uid="1")
    provider.claims = {"sub": "1"} if not isinstance(said.get("sub", ""), str) else {}
    provider.person |= {"email": remy.email} | said
    assert reason in failed(dance(client))
    assert not signed_in(client).is_authenticated
    assert User.objects.count() == 1


def test_an_address_that_lower_case_turns_into_another_is_refused(client: Client, provider: Provider) -> None:
    """The Kelvin sign is a small k in lower case."""
    kim = User.objects.create_user(email="kim@example.com", name="Kim Holt", password="a-long-enough-password")
    provider.person |= {"email": "\u212aim@example.com"}
    assert "sent an e-mail address that is none." in failed(dance(client))
    assert not SocialAccount.objects.filter(user=kim).exists()


def test_user_info_about_somebody_else_is_not_used(client: Client, provider: Provider, remy: User) -> None:
    provider.userinfo = {"sub": "2", "email": remy.email}
    assert "did not identify you clearly." in failed(dance(client))
    assert not signed_in(client).is_authenticated


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"name": "N\x00i\x1bn\u202ea New"}, "N i n a New"),
        ({"name": None, "given_name": "Nina\x00", "family_name": "New"}, "Nina New"),
        ({"name": "\x00\x01"}, "nina@example.com"),
        ({"name": "N" * 100_000}, "N" * 120),
        ({"name": "Nina New", "given_name": "G" * 300, "family_name": "F" * 300}, "Nina New"),
    ],
)
def test_names_are_made_one_line_that_fits(client: Client, provider: Provider, said: Any, kept: str) -> None:
    provider.person |= said
    dance(client)
    assert User.objects.get().name == kept


@pytest.mark.parametrize("subject", [7, 2**63])
def test_a_subject_that_is_a_number_is_kept_as_its_digits(provider: Provider, subject: int) -> None:
    assert claims.read({"sub": subject}, {"sub": str(subject)})["sub"] == str(subject)


def test_somebody_without_an_address_is_asked_for_one(client: Client, provider: Provider) -> None:
    provider.person |= {"email": None, "email_verified": None}
    provider.claims = {"email": None, "email_verified": None}
    answer = dance(client)
    assert answer["Location"] == "/accounts/3rdparty/signup/"
    assert client.get(answer["Location"]).status_code == 200
    assert not User.objects.exists()
    sent = client.post(answer["Location"], {"email": "nina@example.com", "name": "Nina"})
    assert sent["Location"] == "/accounts/confirm-email/"
    assert not signed_in(client).is_authenticated


@pytest.mark.parametrize(
    "said",
    [
        {"groups": ["a"] * 10_000},
        {"extra": "\x00"},
        {"extra": {"deep": [float("nan"), float("inf")]}},
        {"auth_time": float("nan")},
        {"auth_time": 10**400},
        {"auth_time": "now"},
        {"auth_time": {"at": 1}},
        {"picture": 5, "preferred_username": {"a": "\x00"}, "user_id": []},
    ],
)
def test_what_is_not_used_is_neither_kept_nor_an_error(client: Client, provider: Provider, said: Any) -> None:
    provider.person |= said
    provider.claims = said
    assert dance(client)["Location"] == "/welcome/"
    kept = {"sub": "1", "email": "nina@example.com", "email_verified": True, "name": "Nina New"}
    assert SocialAccount.objects.get().extra_data == {"id_token": kept}


@pytest.mark.parametrize(
    "said",
    [
        {"exp": "tomorrow"},
        {"exp": float("inf")},
        {"exp": {"at": 1}},
        {"exp": "4000000000", "jti": "1"},
        {"aud": {"a": 1}},
        {"nonce": {"a": 1}},
        {"nonce": "ü\x00"},
    ],
)
def test_a_token_of_another_shape_ends_on_the_page(client: Client, provider: Provider, said: dict[str, Any]) -> None:
    provider.claims = said
    failed(dance(client))
    assert not User.objects.exists()


@pytest.mark.parametrize("path", ["/token", "/userinfo", "/.well-known/openid-configuration"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"access_token": "t", "id_token": 7}',
        b'{"access_token": "t", "id_token": "not.a.token"}',
        b'{"access_token": {"a": 1}, "expires_in": "soon"}',
        b"[" * 100_000,
        b'{"sub": ' + b"1" * 5000 + b"}",
    ],
)
def test_answers_of_another_shape_end_on_the_page(client: Client, provider: Provider, path: str, body: bytes) -> None:
    provider.answers[path] = body
    failed(client.post(LOGIN) if "openid-configuration" in path else dance(client))
    assert not User.objects.exists()
    assert not signed_in(client).is_authenticated


def test_the_configuration_may_be_nonsense_on_the_way_back_too(client: Client, provider: Provider) -> None:
    there = client.post(LOGIN)
    provider.answers["/.well-known/openid-configuration"] = b"[]"
    state = there["Location"].partition("state=")[2].partition("&")[0]
    html = failed(client.get("/accounts/oidc/oidc/login/callback/", {"code": "c", "state": state}))
    assert "Example ID sent a configuration that cannot be read." in html


def test_user_info_alone_is_no_sign_in(client: Client, provider: Provider) -> None:
    """Only the ID token says for whom it was made."""
    provider.answers["/token"] = b'{"access_token": "t", "token_type": "Bearer"}'
    assert "sent an ID token that cannot be read" in failed(dance(client))


def test_a_provider_without_user_info_is_enough(client: Client, provider: Provider) -> None:
    config = provider._configuration()
    del config["userinfo_endpoint"]
    provider.answers["/.well-known/openid-configuration"] = str(config).replace("'", '"').encode()
    assert dance(client)["Location"] == "/welcome/"


def test_what_failed_is_logged_without_the_claims(
    client: Client, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.person |= {"name": {"secret": "word"}}
    dance(client)
    assert "sent a claim that is no text: name." in caplog.text
    assert "word" not in caplog.text


def test_links_that_were_made_by_the_word_false_end_with_the_upgrade(remy: User, rosa: User, rita: User) -> None:
    for person, said in ((remy, "false"), (rosa, "True"), (rita, True)):
        told = {"userinfo": {"sub": "x", "email": person.email, "email_verified": said}}
        SocialAccount.objects.create(user=person, provider="oidc", uid=str(person.pk), extra_data=told)
    SocialAccount.objects.create(user=rosa, provider="oidc", uid="older", extra_data={"email_verified": "no"})
    import_module("accounts.migrations.0002_version_0_4").unlink(apps, None)
    assert {account.user for account in SocialAccount.objects.all()} == {rosa, rita}
    assert not SocialAccount.objects.filter(uid="older").exists()
