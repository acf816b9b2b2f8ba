"""The whole room. Sign-in through an identity provider, the whole dance against a provider that really answers on this
machine."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.test import Client

from accounts.models import User
from approvals import administration
from registry_ui import sign_in
from registry_ui.environment import Environment
from tests.accounts.provider import Provider
from tests.support.factories import PASSWORD, make_person

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/oidc/oidc/login/?process=login"


def dance(client: Client, login: str = LOGIN) -> Any:
    """From the button on the sign-in page to the provider and back; what the callback answers."""
    there = client.post(login)
    assert there.status_code == 302, there.content
    back = requests.get(there["Location"], allow_redirects=False, timeout=5)
    assert back.status_code == 302, back.text
    return client.get(back.headers["Location"])


def test_a_stranger_who_said_the_address_first_does_not_come_along_with_its_owner(provider: Provider) -> None:
    """Some providers let people type any address, and say that they have not verified it."""
    strangers, owners = {"sub": "stranger", "email_verified": False}, {"sub": "owner", "email_verified": True}
    owner = Client()
    for client, told in ((Client(), strangers), (owner, owners)):
        provider.person |= told
        dance(client)
    assert signed_in(owner).is_authenticated
    assert list(SocialAccount.objects.values_list("uid", flat=True)) == ["owner"]
    again = Client()
    provider.person |= strangers
    dance(again)
    assert not signed_in(again).is_authenticated


def signed_in(client: Client) -> User | AnonymousUser:
    user: User | AnonymousUser = client.get("/accounts/login/").wsgi_request.user
    return user


def test_the_sign_in_page_offers_the_provider_by_its_name(client: Client, provider: Provider) -> None:
    page = client.get("/accounts/login/").content.decode()
    assert f'action="{LOGIN}"' in page
    assert "Continue with Example ID" in page


def test_the_sign_in_page_names_no_provider_where_none_is_configured(client: Client) -> None:
    assert "Continue with" not in client.get("/accounts/login/").content.decode()
    assert client.post(LOGIN).status_code == 404


def test_the_request_to_the_provider_carries_state_challenge_and_our_address(
    client: Client, provider: Provider
) -> None:
    there = urlsplit(client.post(LOGIN)["Location"])
    asked = parse_qs(there.query)
    assert f"{there.scheme}://{there.netloc}{there.path}" == f"{provider.issuer}/authorize"
    assert asked["redirect_uri"] == ["http://testserver/accounts/oidc/oidc/login/callback/"]
    assert set(asked["scope"][0].split()) == {"openid", "email", "profile", "groups"}
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["state"][0]) >= 8


def test_a_new_person_gets_an_account_without_roles_and_is_told_who_gives_them(
    client: Client, provider: Provider, ada: User
) -> None:
    answer = dance(client)
    assert provider.refused == []
    assert answer["Location"] == "/welcome/"
    nina = User.objects.get(email="nina@example.com")
    assert (nina.name, nina.groups.count(), nina.has_usable_password()) == ("Nina New", 0, False)
    assert EmailAddress.objects.filter(user=nina, email=nina.email, verified=True).exists()
    page = client.get("/welcome/").content.decode()
    assert "Ada Brandt" in page
    assert "ada@example.com" in page


def test_the_second_sign_in_reaches_the_same_account_even_with_another_address(
    client: Client, provider: Provider
) -> None:
    dance(client)
    client.post("/accounts/logout/")
    provider.person |= {"email": "renamed@example.com"}
    dance(client)
    assert [user.email for user in User.objects.all()] == ["nina@example.com"]
    assert signed_in(client) == User.objects.get()


@pytest.mark.parametrize("spelling", ["remy@example.com", "Remy@Example.COM"])
def test_a_verified_address_connects_to_the_account_that_has_it(
    client: Client, provider: Provider, remy: User, spelling: str
) -> None:
    provider.person |= {"email": spelling, "name": "Somebody Else"}
    answer = dance(client)
    assert answer["Location"] == "/home/"
    assert signed_in(client) == remy
    assert SocialAccount.objects.get().user == remy
    remy.refresh_from_db()
    assert (User.objects.count(), remy.name, remy.email) == (1, "Remy Ortiz", "remy@example.com")


def test_a_password_behind_a_confirmed_address_still_works_after_connecting(
    client: Client, provider: Provider, remy: User
) -> None:
    EmailAddress.objects.create(user=remy, email=remy.email, primary=True, verified=True)
    provider.person |= {"email": remy.email}
    dance(client)
    remy.refresh_from_db()
    assert remy.check_password(PASSWORD)


def test_a_password_behind_an_unconfirmed_address_ends_when_its_owner_comes(
    client: Client, provider: Provider, remy: User
) -> None:
    """Somebody else may have made the account and wait for the owner."""
    provider.person |= {"email": remy.email}
    dance(client)
    remy.refresh_from_db()
    assert not remy.has_usable_password()


@pytest.mark.parametrize("claim", [{"email_verified": False}, {"email_verified": None}, {}])
def test_an_unverified_address_of_somebody_known_is_refused_with_the_reason(
    client: Client, provider: Provider, remy: User, claim: dict[str, Any]
) -> None:
    provider.person = {"sub": "evil", "email": "remy@example.com", "name": "Mallory"} | claim
    answer = dance(client)
    assert answer.status_code == 403
    assert "has not verified this address" in answer.content.decode()
    assert not signed_in(client).is_authenticated
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1


def test_an_address_that_somebody_has_yet_to_confirm_does_not_lead_to_their_account(
    client: Client, provider: Provider, remy: User
) -> None:
    EmailAddress.objects.create(user=remy, email="remy@example.com", primary=True, verified=True)
    EmailAddress.objects.create(user=remy, email="nina@example.com", primary=False, verified=False)
    dance(client)
    assert not SocialAccount.objects.filter(user=remy).exists()
    assert signed_in(client) != remy


def test_a_new_person_with_an_unverified_address_confirms_it_by_mail_first(client: Client, provider: Provider) -> None:
    provider.person |= {"email_verified": False}
    answer = dance(client)
    assert answer["Location"] == "/accounts/confirm-email/"
    assert not signed_in(client).is_authenticated
    (sent,) = mail.outbox
    assert sent.to == ["nina@example.com"]


def test_new_people_are_refused_readably_where_the_provider_makes_no_accounts(
    client: Client, provider: Provider, settings: Any
) -> None:
    settings.OIDC_SIGNUP_OPEN = False
    answer = dance(client)
    assert "Ask an administrator to invite you." in answer.content.decode()
    assert not User.objects.exists()
    assert not signed_in(client).is_authenticated


def test_known_people_still_come_in_where_the_provider_makes_no_accounts(
    client: Client, provider: Provider, settings: Any, remy: User
) -> None:
    settings.OIDC_SIGNUP_OPEN = False
    provider.person |= {"email": remy.email}
    dance(client)
    assert signed_in(client) == remy


def test_a_deactivated_person_is_refused_readably(client: Client, provider: Provider) -> None:
    make_person("Remy Ortiz", "reviewer", is_active=False)
    provider.person |= {"email": "remy@example.com"}
    answer = dance(client)
    assert "Your account is deactivated" in client.get(answer["Location"]).content.decode()
    assert not signed_in(client).is_authenticated


def test_a_token_for_another_client_is_refused(client: Client, provider: Provider) -> None:
    provider.audience = "somebody-else"
    answer = dance(client)
    assert "Sign-in failed" in answer.content.decode()
    assert not User.objects.exists()


def test_an_answer_that_nobody_asked_for_is_refused(client: Client, provider: Provider) -> None:
    begun = client.post(LOGIN)["Location"]
    back = requests.get(begun, allow_redirects=False, timeout=5).headers["Location"]
    victim = Client()
    assert "Sign-in failed" in victim.get(back).content.decode()
    assert not User.objects.exists()
    assert not signed_in(victim).is_authenticated


def test_a_provider_that_is_away_gives_a_page_and_no_error(client: Client, provider: Provider, settings: Any) -> None:
    (app,) = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    app["settings"]["server_url"] = "http://127.0.0.1:9"
    assert "Sign-in failed" in client.post(LOGIN).content.decode()


@pytest.mark.parametrize(
    ("claimed", "kept"),
    [
        ("Rosa Lind <rosa@example.com>", "Rosa Lind rosa@example.com"),
        ("  Nina\n\tNew  ", "Nina New"),
        ("N" * 300, "N" * 120),
        ("", "nina@example.com"),
    ],
)
def test_a_name_from_the_provider_cannot_pass_for_another_person(
    client: Client, provider: Provider, claimed: str, kept: str
) -> None:
    provider.person |= {"name": claimed}
    dance(client)
    assert User.objects.get().name == kept


def test_the_content_policy_lets_the_form_lead_to_the_provider_and_those_behind_it(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setenv("COUNTERSIGN_OIDC_EXTRA_ORIGINS", "https://login.example.com, https://other.example.com:8443")
    env = Environment()
    origins = sign_in.origins(env, sign_in.openid_connect(env))
    env.refuse_nonsense()
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": directives | {"form-action": ["'self'", *origins]}}
    policy = client.get("/accounts/login/")["Content-Security-Policy"]
    allowed = f"form-action 'self' {provider.issuer} https://login.example.com https://other.example.com:8443"
    assert allowed in policy.split("; ")


def test_a_service_account_is_refused_readably(client: Client, provider: Provider, rita: User, ada: User) -> None:
    """Linked from when it was a person, or by its address alone."""
    dance(client)
    person = User.objects.get(pk=signed_in(client).pk)
    client.logout()
    administration.set_person(person, groups=[], mlflow_names=[], is_service_account=True, owner=rita, by=ada)
    answer = dance(client)
    assert (answer.status_code, "Service accounts cannot sign in" in answer.content.decode()) == (403, True)
    SocialAccount.objects.all().delete()
    assert dance(client).status_code == 403
    assert not SocialAccount.objects.exists()
    assert client.get("/preferences/").status_code == 302


def test_a_person_sees_which_accounts_they_sign_in_with(client: Client, provider: Provider) -> None:
    dance(client)
    page = client.get("/accounts/3rdparty/").content.decode()
    assert "You can sign in through these:" in page
    assert "Example ID" in page
    assert "Connect a provider" in page


def test_without_a_provider_none_is_offered(client: Client, rita: User, settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = {}
    client.force_login(rita)
    page = client.get("/accounts/3rdparty/").content.decode()
    assert "None is connected to your account." in page
    assert "Connect a provider" not in page
