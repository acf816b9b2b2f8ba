"""The page behind the link of an invitation: who invites as what, the first password, and straight in."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.core import mail
from django.test import Client

from accounts import invitation, roles
from accounts.models import User
from approvals import administration
from approvals.selectors import invitations
from tests.support.factories import make_person

pytestmark = pytest.mark.django_db
FRESH = {"password1": "a-fresh-long-password", "password2": "a-fresh-long-password"}


def invited(ada: User, *groups: str) -> User:
    made = [Group.objects.get_or_create(name=name)[0] for name in groups]
    return administration.invite(email="fred@example.com", name="Fred Blake", groups=made, by=ada)


def address_of(person: User) -> str:
    return invitation.link_for(person).removeprefix("http://127.0.0.1:8000")


def opened(client: Client, address: str) -> Any:
    return client.get(address, follow=True)


def words(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def choose(client: Client, page: Any, **sent: str) -> Any:
    return client.post(page.request["PATH_INFO"], FRESH | sent, follow=True)


def test_the_page_says_who_invited_as_what_and_leads_in(client: Client, ada: User) -> None:
    fred = invited(ada, "reviewer", "fraud")
    page = opened(client, address_of(fred))
    assert page.redirect_chain[-1][0].endswith("-set-password/")  # the key is in no address that a page is left from
    assert "Welcome, Fred" in words(page)
    assert "Ada Brandt invited you to Countersign as reviewer in the group fraud." in words(page)
    assert "Reviewer: Approves or rejects other people's requests." in words(page).replace("&#x27;", "'")

    home = choose(client, page)
    assert [address for address, _ in home.redirect_chain] == ["/home/", "/overview/"]
    assert home.context["user"] == fred
    assert EmailAddress.objects.get(user=fred).verified


def test_the_link_works_once(client: Client, ada: User) -> None:
    address = address_of(invited(ada))
    choose(client, opened(client, address))
    again = opened(Client(), address)
    assert "This invitation is no longer valid" in words(again)
    assert 'name="password1"' not in again.content.decode()
    for onward in ("/accounts/login/", "/accounts/password/reset/"):
        assert f'href="{onward}"' in again.content.decode()


@pytest.mark.parametrize(
    "rest", ["zzz-abc-123", "1-x", "9999999999999999-abc-123", "zzzzzzzzzzzzz-a-b", "1-set-password"]
)
def test_an_odd_address_is_no_invitation(client: Client, rest: str) -> None:
    for answer in (opened(client, f"/invitation/{rest}/"), client.post(f"/invitation/{rest}/", FRESH)):
        assert answer.status_code == 200
        assert "This invitation is no longer valid" in words(answer)


def test_without_a_role_it_leads_to_who_can_give_one(client: Client, ada: User) -> None:
    page = opened(client, address_of(invited(ada)))
    assert "Ada Brandt invited you to Countersign." in words(page)
    assert choose(client, page).redirect_chain[-1][0] == "/welcome/"


def test_who_was_invited_by_nobody_in_particular_is_just_invited(client: Client) -> None:
    page = opened(client, address_of(make_person("Nora Berg", "auditor")))
    assert "You are invited to Countersign as auditor." in words(page)


def test_the_inviter_is_not_the_one_of_a_longer_number(ada: User) -> None:
    """Number 1 is looked for in text that has 12 as well."""
    fred = invited(ada)
    assert invitations.invited_by(fred) == ada
    assert invitations.invited_by(User(pk=int(str(fred.pk)[:-1] or "0"))) is None


def test_a_weak_password_comes_back_with_the_reason_and_the_same_words(client: Client, ada: User) -> None:
    page = opened(client, address_of(invited(ada, "reviewer")))
    answer = choose(client, page, password1="12345", password2="12345")
    assert "This password is entirely numeric." in words(answer)
    assert "Ada Brandt invited you to Countersign as reviewer." in words(answer)


def test_who_is_signed_in_as_another_becomes_who_was_invited(client: Client, ada: User, rita: User) -> None:
    fred = invited(ada, "reviewer")
    client.force_login(rita)
    page = opened(client, address_of(fred))
    assert choose(client, page).context["user"] == fred


def test_a_deactivated_person_does_not_come_in(client: Client, ada: User) -> None:
    fred = invited(ada, "reviewer")
    administration.set_active(fred, is_active=False, by=ada)
    answer = choose(client, opened(client, address_of(fred)))
    assert answer.redirect_chain[-1][0] == "/accounts/inactive/"
    assert not answer.context["user"].is_authenticated


def test_the_mail_says_who_and_as_what(ada: User) -> None:
    fred = invited(ada, "reviewer", "requester", "fraud", "risk")
    invitation.send(fred, invited_by=ada)
    (letter,) = mail.outbox
    what = "as requester and reviewer in the groups fraud and risk"
    assert letter.subject == f"[Countersign] Ada Brandt invited you {what}"
    assert f"Ada Brandt <ada@example.com> invited you to Countersign {what}." in str(letter.body)


def test_a_name_with_a_line_break_breaks_no_mail(ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(name="Ada\nBcc: eve@example.com")
    ada.refresh_from_db()
    invitation.send(invited(ada), invited_by=ada)
    assert mail.outbox[0].subject == "[Countersign] Ada Bcc: eve@example.com invited you"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], ""),
        (["auditor"], "as auditor"),
        (["risk"], "in the group risk"),
        (["reviewer", "requester", "auditor"], "as requester, reviewer and auditor"),
    ],
)
def test_roles_and_groups_read_as_a_sentence(names: list[str], said: str) -> None:
    assert roles.as_what(names) == said


def test_a_forgotten_password_ends_with_the_way_to_sign_in(client: Client) -> None:
    assert 'href="/accounts/login/"' in client.get("/accounts/password/reset/key/done/").content.decode()
