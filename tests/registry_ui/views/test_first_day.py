"""The checklist of the first day: what is done and what is left, for administrators until they hide it."""

from smtplib import SMTPException
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from approvals.models import Signing, Target
from mirror.models import SetupCheck
from registry_ui import first_day
from tests.support.factories import make_person
from tests.support.pages import text_of
from tests.support.world import freeze

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client: Client) -> User:
    person = make_person("Ada Brandt", "administrator")
    client.force_login(person)
    return person


def overview(client: Client) -> str:
    return text_of(client.get("/overview/").content.decode())


def test_an_administrator_sees_what_is_left(client: Client, ada: User, production: Target) -> None:
    text = overview(client)
    assert "Reviewers invited 0 of 2." in text
    assert "Rights in MLflow checked Not checked." in text
    assert "held through approval" not in text
    assert "No model holds a target yet." in text


def test_what_is_done_is_marked(ada: User, remy: User, rosa: User, production: Target, settings: Any) -> None:
    SetupCheck.objects.create(pk=1, at=ada.joined_at, is_good=True)
    freeze("Year end")
    Signing.objects.create(pk=1, key="the worker's")
    done = {step.title: step.is_done for step in first_day.steps(ada)}
    assert done == {
        "Reviewers invited": True,
        "Policy for Production": False,
        "Mail works": False,
        "Rights in MLflow checked": True,
        "Checkpoint key": True,
        "Freeze planned": True,
    }


def test_a_test_mail_goes_to_who_asks_for_it(client: Client, ada: User, settings: Any) -> None:
    with mock.patch.object(first_day, "_NOWHERE", ()):
        assert "Send test mail" in overview(client)
        client.post("/overview/first-day/", {"do": "mail"})
        assert [message.to for message in mail.outbox] == [[ada.email]]
        text = overview(client)
        assert f"A test mail was sent to {ada.email}." in text
        assert "The mail server has taken mail." in text


def test_a_mail_server_that_refuses_is_told(client: Client, ada: User) -> None:
    with mock.patch("django.core.mail.EmailMessage.send", side_effect=SMTPException("No such user.")):
        client.post("/overview/first-day/", {"do": "mail"})
    assert "The test mail was not sent: No such user." in overview(client)


def test_without_a_mail_server_it_says_what_to_set(client: Client, ada: User) -> None:
    assert "No mail server is set. Set EMAIL_URL and restart." in overview(client)


def test_it_is_hidden_for_good(client: Client, ada: User) -> None:
    client.post("/overview/first-day/", {"do": "hide"})
    assert "First day" not in overview(client)
    assert "The checklist is hidden." not in overview(client)


def test_others_see_a_sentence_and_change_nothing(client: Client, vera: User) -> None:
    client.force_login(vera)
    text = overview(client)
    assert "First day" not in text
    assert "No model holds a target yet." in text
    assert client.post("/overview/first-day/", {"do": "mail"}).status_code == 403
    assert mail.outbox == []
