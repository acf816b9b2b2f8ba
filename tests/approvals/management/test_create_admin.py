"""`manage.py create_admin`, as docs/operations.md describes it."""

import io
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User
from approvals import ledger
from approvals.models import Action, AuditEvent

PASSWORD = "correct-horse-battery"


def create(
    monkeypatch: pytest.MonkeyPatch, *options: str, email: str = "Ada@Example.com", password: str = PASSWORD
) -> str:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    call_command("create_admin", "--email", email, "--name", "Ada Brandt", "--password-stdin", *options, stdout=out)
    return out.getvalue()


def test_the_administrator_can_sign_in_and_manage_people(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    said = create(monkeypatch)
    ada = User.objects.get(email="ada@example.com")
    assert said == "Ada Brandt <ada@example.com> can sign in. Roles: administrator.\n"
    assert ada.check_password(PASSWORD)
    assert ada.has_perm("accounts.manage_people")
    assert not ada.has_perm("approvals.review_promotion")
    client = Client()
    answer = client.post("/accounts/login/", {"login": "ada@example.com", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/home/")
    page = client.get("/home/", follow=True)
    assert (page.status_code, page.redirect_chain) == (200, [("/overview/", 302)])
    assert client.get("/people/").status_code == 200


def test_the_ledger_tells_of_it_without_the_password(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    create(monkeypatch, "--role", "administrator", "--role", "reviewer")
    event = AuditEvent.objects.get()
    assert event.action == Action.PERSON_INVITED
    assert (event.actor, event.actor_label) == (None, "Countersign command line")
    number = User.objects.get(email="ada@example.com").pk
    assert event.data == {
        "person": "Ada Brandt <ada@example.com>",
        "person_id": number,
        "groups": ["administrator", "reviewer"],
    }
    assert PASSWORD not in str(ledger.as_record(event))
    assert ledger.verify().is_intact


def test_the_address_counts_as_confirmed(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With sign-up open, django-allauth lets nobody in whose address is not."""
    create(monkeypatch)
    assert EmailAddress.objects.filter(email="ada@example.com", verified=True, primary=True).exists()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"password": "short"}, "too short"),
        ({"password": "ada@example.com"}, "too similar"),
        ({"email": "nonsense"}, "valid email"),
    ],
)
def test_nonsense_is_refused_and_nothing_is_left(
    db: None, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CommandError, match=reason):
        create(monkeypatch, **given)
    assert not User.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_taken_address_is_refused(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="already a person with this e-mail address"):
        create(monkeypatch)


def test_two_passwords_that_differ_are_refused(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, f"{PASSWORD}!"])
    monkeypatch.setattr("approvals.management.commands.create_admin.getpass", lambda _prompt: next(typed))
    with pytest.raises(CommandError, match="differ"):
        call_command("create_admin", "--email", "ada@example.com", "--name", "Ada Brandt")
    assert not User.objects.exists()


@pytest.mark.parametrize(("role", "is_told"), [("administrator", True), ("auditor", False)])
def test_who_needs_a_second_factor_is_told(
    db: None, monkeypatch: pytest.MonkeyPatch, settings: Any, role: str, is_told: bool
) -> None:
    settings.MFA_REQUIRED_FOR = ["administrator", "responder"]
    said = create(monkeypatch, "--role", role)
    assert ("At the first sign-in they add an authenticator app or a passkey" in said) is is_told
