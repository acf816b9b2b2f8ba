"""The whole room. Sign-up: closed as it comes, and what happens where an operator opens it."""

import re
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.django_db

SIGNUP = "/accounts/signup/"
NINA = {"name": "Nina New", "email": "Nina@Example.com", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def is_open(settings: Any) -> None:
    """As COUNTERSIGN_SIGNUP_OPEN=true sets them; tests/registry_ui/test_settings.py holds the two together."""
    settings.SIGNUP_OPEN = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


def test_closed_sign_up_says_so_and_makes_nobody(client: Client) -> None:
    assert "Sign-up is closed" in client.get(SIGNUP).content.decode()
    assert "Ask an administrator to invite you." in client.post(SIGNUP, NINA).content.decode()
    assert not User.objects.exists()
    assert SIGNUP not in client.get("/accounts/login/").content.decode()


def test_open_sign_up_asks_for_the_name_and_confirms_the_address_before_the_first_sign_in(
    client: Client, is_open: None, ada: User
) -> None:
    assert 'name="name"' in client.get(SIGNUP).content.decode()
    assert client.post(SIGNUP, NINA)["Location"] == "/accounts/confirm-email/"
    nina = User.objects.get(email="nina@example.com")
    assert (nina.name, nina.groups.count(), nina.is_superuser) == ("Nina New", 0, False)

    refused = Client().post("/accounts/login/", {"login": nina.email, "password": PASSWORD}, follow=True)
    assert not refused.wsgi_request.user.is_authenticated
    assert refused.redirect_chain == [("/accounts/confirm-email/", 302)]

    found = re.search(r"http://127.0.0.1:8000(/accounts/confirm-email/\S+)", str(mail.outbox[0].body))
    assert found
    client.post(found[1])
    answer = client.post("/accounts/login/", {"login": nina.email, "password": PASSWORD}, follow=True)
    assert answer.wsgi_request.user == nina
    assert "ada@example.com" in answer.content.decode()


def test_open_sign_up_without_a_name_is_refused(client: Client, is_open: None) -> None:
    answer = client.post(SIGNUP, NINA | {"name": " "})
    assert "This field is required." in answer.content.decode()
    assert not User.objects.exists()


def test_open_sign_up_with_a_taken_address_makes_nobody_and_tells_only_its_owner(
    client: Client, is_open: None, rita: User
) -> None:
    answer = client.post(SIGNUP, NINA | {"email": "RITA@example.com"})
    assert answer["Location"] == "/accounts/confirm-email/"
    assert User.objects.count() == 1
    (sent,) = mail.outbox
    assert sent.to == ["rita@example.com"]


def test_open_sign_up_does_not_take_a_name_that_looks_like_another_person(client: Client, is_open: None) -> None:
    client.post(SIGNUP, NINA | {"name": "Rosa Lind <rosa@example.com>"})
    assert User.objects.get().name == "Rosa Lind rosa@example.com"


def test_people_who_were_invited_sign_in_without_another_mail_where_sign_up_is_open(
    client: Client, is_open: None, rita: User
) -> None:
    client.post("/accounts/password/reset/", {"email": rita.email})
    found = re.search(r"http://127.0.0.1:8000(/accounts/password/reset/key/\S+)", str(mail.outbox[0].body))
    assert found
    form = client.get(found[1], follow=True).request["PATH_INFO"]
    client.post(form, {"password1": "a-fresh-long-password", "password2": "a-fresh-long-password"})
    answer = client.post("/accounts/login/", {"login": rita.email, "password": "a-fresh-long-password"})
    assert answer["Location"] == "/home/"
