"""A mail for each change of an account, in words of ours; that of the address to the old one."""

import re
import smtplib
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts import notices
from accounts.models import User
from registry_ui.demo.installation import ROOT
from tests.support.factories import PASSWORD

NEW = "a-fresh-long-password"


@pytest.fixture
def inside(client: Client, rita: User) -> Client:
    EmailAddress.objects.create(user=rita, email=rita.email, primary=True, verified=True)
    client.force_login(rita)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def change_password(client: Client) -> Any:
    return client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW})


@pytest.mark.django_db
def test_a_changed_address_is_told_to_the_old_one(inside: Client, rita: User) -> None:
    inside.post("/accounts/email/", {"action_add": "", "email": "sanz@example.com"})
    link = re.search(r"/accounts/confirm-email/\S+", str(mail.outbox[-1].body))
    assert link is not None
    inside.post(link[0])
    told = [each for each in mail.outbox if "was changed" in each.subject]
    assert [(each.to, each.subject) for each in told] == [
        (["rita@example.com"], "[Countersign] Your e-mail address was changed")
    ]
    assert "from rita@example.com to sanz@example.com" in str(told[0].body)


@pytest.mark.django_db
def test_a_changed_password_is_told_with_where_from_and_what_to_do(inside: Client) -> None:
    change_password(inside)
    (sent,) = mail.outbox
    body = str(sent.body)
    assert (sent.to, sent.subject) == (["rita@example.com"], "[Countersign] Your password was changed")
    assert "from 127.0.0.1" in body
    assert "http://127.0.0.1:8000/accounts/password/reset/" in body
    assert "http://127.0.0.1:8000/accounts/sessions/" in body


@pytest.mark.django_db
def test_a_mail_server_that_is_away_does_not_undo_the_change(
    inside: Client, rita: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise smtplib.SMTPServerDisconnected("gone")

    monkeypatch.setattr("django.core.mail.EmailMessage.send", fail)
    assert change_password(inside).status_code == 302
    rita.refresh_from_db()
    assert rita.check_password(NEW)
    assert "notice_not_sent" in caplog.text


def test_every_mail_that_django_allauth_sends_of_a_change_has_its_words() -> None:
    import allauth

    sources = [path.read_text() for path in (ROOT / allauth.__file__).parent.rglob("*.py")]
    sent = {
        found
        for text in sources
        for found in re.findall(r"send_notification_mail\(\s*\"([^\"]+)\"", text)
        if not found.startswith("headless")
    }
    assert sent == set(notices.NOTICES)


@pytest.mark.parametrize("kind", sorted(notices.NOTICES))
def test_every_notice_is_complete(kind: str) -> None:
    told = {"from_email": "a@example.com", "to_email": "b@example.com", "deleted_email": "c", "provider": "P<i>"}
    sent = notices.compose(kind, "rita@example.com", told, address="10.0.0.1", browser="Firefox")
    assert "{" not in str(sent.body) + sent.subject
    assert "10.0.0.1 (Firefox)" in str(sent.body)


LINKS: list[Callable[[Client], Any]] = [
    lambda client: client.post("/accounts/password/reset/", {"email": "rita@example.com"}),
    lambda client: client.post("/accounts/email/", {"action_add": "", "email": "sanz@example.com"}),
]


@pytest.mark.django_db
@pytest.mark.parametrize("ask", LINKS)
def test_links_lead_to_the_site_whatever_host_was_asked(inside: Client, settings: Any, ask: Any) -> None:
    settings.ALLOWED_HOSTS, settings.SITE_URL = ["*"], "https://countersign.example.com"
    inside.defaults["HTTP_HOST"] = "evil.example.org"
    ask(inside)
    body = str(mail.outbox[-1].body)
    assert "https://countersign.example.com/accounts/" in body
    assert "evil" not in body + mail.outbox[-1].subject


@pytest.mark.django_db
def test_the_link_of_who_has_an_account_already_too(client: Client, rita: User, settings: Any) -> None:
    settings.ALLOWED_HOSTS, settings.SITE_URL, settings.SIGNUP_OPEN = ["*"], "https://countersign.example.com", True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    client.defaults["HTTP_HOST"] = "evil.example.org"
    client.post("/accounts/signup/", {"name": "Eve", "email": rita.email, "password1": NEW, "password2": NEW})
    (sent,) = mail.outbox
    assert "https://countersign.example.com/accounts/password/reset/" in str(sent.body)
    assert "evil" not in str(sent.body)
