"""Inviting many people from a list: what each line is read as, the preview, and what follows its button."""

import re
from collections.abc import Sequence
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals import administration
from approvals.forms import invite_list
from approvals.models import Action, AuditEvent
from tests.support.factories import make_person

pytestmark = pytest.mark.django_db
URL = "/people/invite/list/"
LIST = """name,email,role
Fred Blake <fred@example.com>, reviewer, fraud

"Stone, Bea",bea@example.com,Auditor
gus.o_hara+ml@example.com
Ada Again;ada@example.com
FRED@example.com
someone, no address
Ivy <ivy@example>, reviewer
Joe <joe@example.com>, reviewer, fruad
"""


@pytest.fixture
def admin(client: Client, ada: User) -> Client:
    Group.objects.create(name="fraud")
    client.force_login(ada)
    return client


def read(text: str, everyone: Sequence[Group] = ()) -> list[tuple[str, str, str, str]]:
    return [(line.name, line.email, line.as_what, line.refusal) for line in invite_list.read(text, everyone)]


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


# --- Lines


@pytest.mark.parametrize(
    ("line", "name", "email", "as_what"),
    [
        (
            "Fred Blake <fred@example.com>, reviewer, fraud",
            "Fred Blake",
            "fred@example.com",
            "as reviewer in the group fraud",
        ),
        ("Fred Blake,Fred@Example.com,Reviewer", "Fred Blake", "fred@example.com", "as reviewer"),
        ("Fred Blake\tfred@example.com\treviewer|auditor", "Fred Blake", "fred@example.com", "as reviewer and auditor"),
        ("Fred Blake;fred@example.com;reviewer;reviewer", "Fred Blake", "fred@example.com", "as reviewer"),
        ('"Blake, Fred" <fred@example.com>', "Fred Blake", "fred@example.com", ""),
        ("Blake, Fred <fred@example.com>", "Fred Blake", "fred@example.com", ""),
        ("<fred@example.com>,,,", "Fred", "fred@example.com", ""),
        ("fred.blake-jones@example.com", "Fred Blake Jones", "fred.blake-jones@example.com", ""),
        ('"Fred ""Bo"" Blake",fred@example.com', "Fred Bo Blake", "fred@example.com", ""),
        ('"Fred,fred@example.com', "Fred", "fred@example.com", ""),
        ("  Żaneta Łoś  < zaneta@example.com > ", "Żaneta Łoś", "zaneta@example.com", ""),
    ],
)
def test_a_line_is_read_as_mail_programs_and_spreadsheets_write_it(
    admin: Client, line: str, name: str, email: str, as_what: str
) -> None:
    assert read(line) == [(name, email, as_what, "")]


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("Fred Blake", "There is no e-mail address in this line."),
        ("a, b, c, fred@example.com", "There is no e-mail address in this line."),
        ("Fred <>", "There is no e-mail address in this line."),
        ("Fred <fred@>", "“fred@” is not a valid e-mail address."),
        ("Fred <a@b.example>, Bo <c@d.example>", "There is no role or group “Bo <c@d.example>”."),
        ("fred@example.com, reviewers", "There is no role or group “reviewers”."),
        (f"{'x' * 121} <fred@example.com>", "The name is longer than 120 characters."),
        ("ADA <Ada@Example.com>", "Ada Brandt has this address already."),
        ("otto@example.com", "Otto Falk has this address already. The account is deactivated; reactivate it instead."),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_the_reason(admin: Client, line: str, refusal: str) -> None:
    make_person("Otto Falk", is_active=False)
    assert [each[3] for each in read(line)] == [refusal]


def test_the_same_address_twice_is_refused_the_second_time(admin: Client) -> None:
    told = read("a@example.com\n\nA@example.com\nbad line\na@example.com, nonsense")
    assert [each[3] for each in told] == [
        "",
        "Line 1 has the same address.",
        "There is no e-mail address in this line.",
        "There is no role or group “nonsense”.",
    ]


def test_a_refused_line_does_not_take_the_address_from_a_good_one(admin: Client) -> None:
    assert [each[3] for each in read("a@example.com, nonsense\na@example.com")][1] == ""


def test_roles_for_everyone_come_to_those_of_the_line(admin: Client) -> None:
    everyone = [Group.objects.get(name="requester")]
    assert [each[2] for each in read("a@example.com\nb@example.com, fraud", everyone)] == [
        "as requester",
        "as requester in the group fraud",
    ]


def test_reading_takes_two_queries_however_long_the_list_is(admin: Client) -> None:
    for count in (1, 90):
        with CaptureQueriesContext(connection) as queries:
            assert len(read("\n".join(f"p{number}@example.com" for number in range(count)))) == count
        assert len(queries) == 2


# --- The page


def test_the_preview_says_of_each_line_what_it_does_and_invites_no_one(admin: Client) -> None:
    page = admin.post(URL, {"people": LIST})
    assert [(line.number, bool(line.refusal)) for line in page.context["lines"]] == [
        (2, False),
        (4, False),
        (5, False),
        (6, True),
        (7, True),
        (8, True),
        (9, True),
        (10, True),
    ]
    text = text_of(page)
    for words in (
        "3 accepted, 5 refused",
        "Invite 3 people",
        "5 refused lines are left out.",
        "Gus O Hara Taken from the address",
        "Line 2 has the same address.",
        "There is no role or group “fruad”.",
    ):
        assert words in text
    assert not AuditEvent.objects.exists()
    assert User.objects.count() == 1
    assert mail.outbox == []


def test_each_is_invited_as_one_alone_is(admin: Client, ada: User) -> None:
    page = admin.post(URL, {"people": LIST, "roles": [Group.objects.get(name="requester").pk], "confirm": "true"})
    assert "3 people are invited" in text_of(page)
    assert text_of(page).count("Mail sent") == 3
    assert [letter.to for letter in mail.outbox] == [
        ["fred@example.com"],
        ["bea@example.com"],
        ["gus.o_hara+ml@example.com"],
    ]
    assert mail.outbox[0].subject.endswith("Ada Brandt invited you as requester and reviewer in the group fraud")
    events = AuditEvent.objects.order_by("sequence")
    assert {event.action for event in events} == {Action.PERSON_INVITED}
    assert [event.data["groups"] for event in events] == [
        ["fraud", "requester", "reviewer"],
        ["auditor", "requester"],
        ["requester"],
    ]
    assert {event.actor for event in events} == {ada}
    again = admin.post(URL, {"people": LIST, "confirm": "true"})
    assert "0 people are invited" in text_of(again)
    assert AuditEvent.objects.count() == 3


def test_the_button_of_the_preview_sends_what_was_previewed(admin: Client) -> None:
    page = admin.post(URL, {"people": "fred@example.com\nbea@example.com"}).content.decode()
    hidden = re.search(r'<input type="hidden" name="people" value="([^"]+)"', page)
    assert hidden
    assert hidden[1].split() == ["fred@example.com", "bea@example.com"]
    assert len(re.findall(r'id="id_people"', page)) == 1


def test_who_was_invited_meanwhile_is_refused_and_keeps_no_one_back(
    admin: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = invite_list.read("fred@example.com\nbea@example.com", [])
    administration.invite(email="fred@example.com", name="Fred Blake", groups=[], by=ada)
    monkeypatch.setattr(invite_list, "read", lambda *_: lines)
    text = text_of(admin.post(URL, {"people": "x", "confirm": "true"}))
    assert "1 person is invited" in text
    assert "There is already a person with this e-mail address." in text
    assert [letter.to for letter in mail.outbox] == [["bea@example.com"]]


def test_links_are_shown_once_where_mail_goes_to_the_terminal(admin: Client, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    page = admin.post(URL, {"people": "fred@example.com\nbea@example.com", "confirm": "true"}).content.decode()
    assert len(set(re.findall(r'data-copy="http://127\.0\.0\.1:8000/invitation/[^"]+"', page))) == 2
    assert "they are shown only once" in page


def test_a_mail_server_that_fails_is_asked_once(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*_: object) -> int:
        asked.append(1)
        raise TimeoutError("timed out")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    page = admin.post(URL, {"people": "fred@example.com\nbea@example.com", "confirm": "true"})
    assert len(asked) == 1
    assert "2 mails could not be sent" in text_of(page)
    assert text_of(page).count("timed out") == 2
    assert User.objects.filter(email__in=["fred@example.com", "bea@example.com"]).count() == 2


def test_an_address_that_the_server_refuses_keeps_no_other_mail_back(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = EmailBackend.send_messages

    def refuse_fred(self: EmailBackend, messages: Any) -> int:
        if messages[0].to == ["fred@example.com"]:
            raise SMTPRecipientsRefused({"fred@example.com": (550, b"no such user")})
        return send(self, messages)

    monkeypatch.setattr(EmailBackend, "send_messages", refuse_fred)
    page = admin.post(URL, {"people": "fred@example.com\nbea@example.com", "confirm": "true"})
    assert [letter.to for letter in mail.outbox] == [["bea@example.com"]]
    assert "1 mail could not be sent" in text_of(page)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"people": ""}, "This field is required."),
        (
            {"people": "\n".join(f"p{number}@example.com" for number in range(101))},
            "The list has 101 lines; at most 100",
        ),
        ({"people": "x" * 20_001}, "at most 20000 characters"),
        ({"people": 'name;email\n,,,\n""'}, "There is no one in this list."),
        ({"people": "," * 20_000}, "There is no one in this list."),
        ({"people": '"' * 20_000}, "There is no one in this list."),
        ({"people": "a@example.com\0"}, "Null characters are not allowed."),
        ({"people": "a@example.com", "roles": [4711]}, "Select a valid choice."),
    ],
)
@pytest.mark.parametrize("more", [{}, {"confirm": "true"}])
def test_a_list_that_cannot_be_read_comes_back(
    admin: Client, sent: dict[str, Any], message: str, more: dict[str, str]
) -> None:
    response = admin.post(URL, sent | more)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("text", ['"a' * 9_000, "a," * 10_000, "<" * 20_000, "@" * 20_000, "\u2028,<@>"])
def test_odd_text_is_read_at_once_and_refused(admin: Client, text: str) -> None:
    response = admin.post(URL, {"people": text, "confirm": "true"})
    assert response.status_code == 200
    assert "0 people are invited" in text_of(response)
    assert User.objects.count() == 1


def test_each_way_to_invite_leads_to_the_other(admin: Client) -> None:
    for url, other in ((URL, "/people/invite/"), ("/people/invite/", URL)):
        page = admin.get(url).content.decode()
        assert f'href="{other}"' in page
        assert f'href="{url}" aria-current="page"' in page
