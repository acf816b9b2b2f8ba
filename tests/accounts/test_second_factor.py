"""A role that needs a second factor leads whoever came without one to the page that adds it, and nowhere else."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.messages import get_messages
from django.test import Client

from accounts import second_factor
from accounts.models import User
from tests.accounts.conftest import Configure
from tests.accounts.provider import Provider
from tests.accounts.test_openid_connect import dance
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.django_db

TO_ADD = "/accounts/2fa/"


@pytest.fixture(autouse=True)
def default(settings: Any) -> None:
    settings.MFA_REQUIRED_FOR = ["administrator", "responder"]
    settings.OIDC_MFA_TRUSTED = True


@pytest.mark.parametrize("path", ["/nowhere/", "/accounts/password/reset/"])
def test_no_frame_of_a_page_shows_what_waits_before_the_factor(client: Client, ada: User, path: str) -> None:
    """Neither where there is no page, nor where anybody may come."""
    sign_in(client, ada)
    assert 'id="count-inbox"' not in client.get(path).content.decode()
    add_factor(ada)
    assert 'id="count-inbox"' in client.get(path).content.decode()


def sign_in(client: Client, person: User) -> None:
    client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})


def prove(client: Client) -> None:
    """allauth asks for the password once more before it adds or removes a factor."""
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})


def add_factor(person: User) -> None:
    TOTP.activate(person, generate_totp_secret())


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", ["/models/", "/people/", "/accounts/password/change/", "/preferences/tokens/new/"])
def test_an_administrator_with_a_password_alone_reaches_no_page(
    client: Client, ada: User, path: str, method: str
) -> None:
    sign_in(client, ada)
    answer = getattr(client, method)(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, TO_ADD)
    assert "Your role needs a second factor" in str(next(iter(get_messages(answer.wsgi_request))))


def test_the_pages_that_add_one_and_the_way_out_stay_open(client: Client, ada: User) -> None:
    sign_in(client, ada)
    assert "Your role needs a second factor" in client.get("/models/", follow=True).content.decode()
    prove(client)
    for path in (TO_ADD, f"{TO_ADD}totp/activate/", "/accounts/logout/"):
        answer = client.get(path)
        assert (answer.status_code, 'href="/models/"' in answer.content.decode()) == (200, False), path


def test_with_the_factor_the_same_session_goes_on(client: Client, ada: User) -> None:
    sign_in(client, ada)
    assert client.get("/models/").status_code == 302
    add_factor(ada)
    assert client.get("/models/").status_code == 200
    assert second_factor.KEY not in client.session


def test_recovery_codes_alone_are_no_factor(client: Client, ada: User) -> None:
    Authenticator.objects.create(user=ada, type=Authenticator.Type.RECOVERY_CODES, data={})
    client.force_login(ada)
    session = client.session
    session[second_factor.KEY] = True
    session.save()
    assert client.get("/models/").status_code == 302


def test_who_removes_the_last_one_is_asked_again(client: Client, ada: User) -> None:
    sign_in(client, ada)
    add_factor(ada)
    client.get("/models/")
    prove(client)
    assert client.post(f"{TO_ADD}totp/deactivate/").status_code == 302
    assert client.get("/models/")["Location"] == TO_ADD


def test_other_roles_are_not_asked_until_they_get_one_that_needs_it(client: Client, rita: User, settings: Any) -> None:
    sign_in(client, rita)
    assert client.get("/models/").status_code == 200
    settings.MFA_REQUIRED_FOR = ["requester"]
    assert client.get("/models/").status_code == 302


def test_none_is_no_role(client: Client, ada: User, settings: Any) -> None:
    settings.MFA_REQUIRED_FOR = ["none"]
    sign_in(client, ada)
    assert client.get("/models/").status_code == 200


@pytest.mark.parametrize(
    ("is_trusted", "amr", "comes_in"),
    [
        (True, None, True),
        (False, None, False),
        (False, ["pwd"], False),
        (False, ["pwd", "mfa"], True),
        (False, ["hwk"], True),
        (False, ["otp", 5], True),
        (False, "mfa", False),
    ],
)
def test_a_provider_is_trusted_or_says_how_it_asked(
    client: Client,
    provider: Provider,
    configure: Configure,
    ada: User,
    settings: Any,
    is_trusted: bool,
    amr: Any,
    comes_in: bool,
) -> None:
    settings.OIDC_MFA_TRUSTED = is_trusted
    provider.person |= {"email": ada.email, "amr": amr}
    dance(client)
    assert client.get("/models/").status_code == (200 if comes_in else 302)
