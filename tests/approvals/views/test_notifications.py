"""The bell, the list of what a person was told, and the page on which they say how."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals.models import DigestTime, How, Kind, Notification, NotificationChoice, PromotionRequest, Status, Target
from approvals.notifications import preferences
from tests.support.factories import make_policy, make_request, make_version
from tests.support.pages import text_of

LIST, ADDRESS = "/notifications/", "/preferences/notifications/"


def page(person: User, query: str = "", address: str = ADDRESS) -> str:
    client = Client()
    client.force_login(person)
    answer = client.get(address + query)
    assert answer.status_code == 200
    return answer.content.decode()


def save(person: User, **said: str) -> tuple[int, str]:
    client = Client()
    client.force_login(person)
    usual = {kind.value: preferences.DEFAULTS[kind].value for kind in Kind}
    answer = client.post(ADDRESS, {**usual, "hour": "8", "time_zone": "UTC", **said}, follow=True)
    return answer.status_code, answer.content.decode()


def note(person: User, number: int = 1, **fields: object) -> Notification:
    return Notification.objects.create(
        **({"key": f"test/{number}", "recipient": person, "kind": Kind.COMMENTED, "title": f"Thing {number}"} | fields)
    )


def test_the_defaults_are_shown_and_every_kind_can_be_chosen(rita: User) -> None:
    shown = page(rita)
    for kind in Kind:
        assert f'name="{kind.value}"' in shown
        assert kind.label in text_of(shown)
    assert "“Immediately” means within about 10 seconds. After 5 e-mails in 10 minutes" in text_of(shown)
    assert 'value="now" selected' in shown
    assert 'value="digest" selected' in shown


def test_what_is_chosen_is_kept_and_said(rita: User, remy: User) -> None:
    status, shown = save(rita, commented="never", waits="digest", hour="17", time_zone="Asia/Kolkata")
    assert status == 200
    assert "Your notification settings were saved." in shown
    wishes = preferences.wishes_of([rita.pk, remy.pk])
    assert (wishes[rita.pk].how(Kind.COMMENTED), wishes[rita.pk].how(Kind.WAITS)) == (How.NEVER, How.DIGEST)
    assert (wishes[rita.pk].hour, wishes[rita.pk].time_zone) == (17, "Asia/Kolkata")
    assert wishes[remy.pk] == preferences.Wishes()
    assert 'value="17" selected' in shown
    save(rita)
    assert not NotificationChoice.objects.exists()
    assert not DigestTime.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"waits": "loudly"}, {"hour": "24"}, {"hour": "eight"}, {"time_zone": "Mars/Olympus"}, {"time_zone": ""}]
)
def test_nonsense_is_refused_beside_its_field(rita: User, wrong: dict[str, str]) -> None:
    status, shown = save(rita, **wrong)
    assert status == 422
    assert 'aria-invalid="true"' in shown
    assert not NotificationChoice.objects.exists()


def test_a_person_sees_their_own_notifications_and_what_became_of_them(rita: User, remy: User, staging: Target) -> None:
    assert "No notifications yet." in page(rita, address=LIST)
    request = make_request(make_version(), staging, by=rita)
    now = timezone.now()
    note(rita, 1, sent_at=now, request=request, text="It was commented on.")
    note(rita, 2, dropped_at=now, is_undelivered=True, last_error="550 No such mailbox.")
    note(rita, 3, dropped_at=now, last_error="It was done before it was sent.")
    note(rita, 4, is_digest=True)
    note(rita, 5, attempts=2)
    note(remy, 7, title="Of somebody else")
    shown = text_of(page(rita, address=LIST))
    states = (
        "It was commented on.",
        "Waiting for review",
        "could not be sent 550 No such mailbox.",
        "Not e-mailed: It was done",
        "E-mailed in the next digest",
        "it is tried again",
    )
    for state in states:
        assert state in shown
    assert "Of somebody else" not in shown


def test_many_are_shown_in_pages(rita: User) -> None:
    for number in range(60):
        note(rita, number, title=f"<b>Thing</b> {number}.")
    first, second = page(rita, address=LIST), page(rita, "?page=2", address=LIST)
    assert "Thing&lt;/b&gt; 59." in first
    assert "Thing&lt;/b&gt; 9." not in first
    assert "Thing&lt;/b&gt; 9." in second
    assert "Mark all read" in first
    assert "Mark all read" not in second  # what is newer does not stand there


def unread(person: User) -> str:
    """What the bell says on another page."""
    found = re.search(r'visually-hidden">Notifications(?:, ([^<]*))?<', page(person, address="/models/"))
    assert found
    return found[1] or ""


def test_the_bell_counts_what_is_new_and_worth_it(rita: User, remy: User, staging: Target) -> None:
    assert unread(rita) == ""
    request = make_request(make_version(), staging, by=rita)
    now = timezone.now()
    note(remy, 1, request=request)
    note(remy, 2, kind=Kind.WAITS, request=request, sent_at=now)
    note(remy, 3, dropped_at=now, last_error="It was done before it was sent.")
    note(remy, 4, dropped_at=now, is_undelivered=True)
    note(remy, 5, read_at=now)
    note(rita, 6)
    assert unread(remy) == "3 unread"
    assert [row.is_new for row in Notification.objects.order_by("pk")] == [True, True, False, True, False, True]
    shown = page(remy, "?show=unread", address=LIST)
    assert [f"Thing {number}" in shown for number in (1, 2, 3, 4, 5)] == [True, True, False, True, False]
    PromotionRequest.objects.filter(pk=request.pk).move(Status.REJECTED)
    assert unread(remy) == "2 unread"  # nobody is asked for what is decided


def test_more_than_ninety_nine_are_not_counted(rita: User) -> None:
    for number in range(130):
        note(rita, number)
    assert unread(rita) == "99+ unread"


def test_the_bell_costs_one_query_on_every_page(rita: User) -> None:
    for number in range(5):
        note(rita, number)
    client = Client()
    client.force_login(rita)
    with CaptureQueriesContext(connection) as queries:
        client.get("/models/")
    assert sum("approvals_notification" in each["sql"] for each in queries) == 1


def test_a_page_that_stands_open_asks_for_the_numbers(rita: User, remy: User, staging: Target) -> None:
    client = Client()
    client.force_login(remy)
    address = re.search(r'id="counts" hidden hx-get="([^"]+)"', client.get("/models/").content.decode())
    assert address
    assert client.get(address[1]).status_code == 204
    make_policy("*", staging, (1, None))
    request = make_request(make_version(), staging, by=rita)
    note(remy, 1, request=request)
    told = client.get(address[1])
    shown = told.content.decode()
    assert told.status_code == 200
    assert "Notifications, 1 unread" in shown
    assert shown.count('hx-swap-oob="true"') == 3
    assert 'title="Requests that wait for you">1<' in shown
    assert "<html" not in shown
    again = re.search(r'id="counts" hidden hx-get="([^"]+)"', shown)
    assert again
    with CaptureQueriesContext(connection) as queries:
        assert client.get(again[1]).status_code == 204
    assert len(queries) <= 7  # session, person, permissions, groups


def test_the_page_of_a_request_reads_what_was_told_of_it(rita: User, remy: User, staging: Target) -> None:
    request = make_request(make_version(), staging, by=rita)
    note(remy, 1, request=request)
    note(remy, 2)
    page(rita, address=request.get_absolute_url())
    assert unread(remy) == "2 unread"
    page(remy, address=request.get_absolute_url())
    assert unread(remy) == "1 unread"


def test_a_notification_leads_to_what_it_is_about_and_is_read(rita: User, remy: User, staging: Target) -> None:
    request = make_request(make_version(), staging, by=rita)
    mine, theirs = note(rita, 1, request=request), note(remy, 2, request=request)
    client = Client()
    client.force_login(rita)
    assert client.get(f"{LIST}{mine.pk}/").headers["Location"] == request.get_absolute_url()
    assert client.get(f"{LIST}{theirs.pk}/").status_code == 404
    assert unread(rita) == ""
    assert unread(remy) == "1 unread"


@pytest.mark.parametrize(("up_to", "left"), [("{first}", 1), ("{last}", 0), ("", 2), ("-1", 2), ("9" * 40, 2)])
def test_all_that_the_page_showed_is_marked_read(rita: User, remy: User, up_to: str, left: int) -> None:
    first, last = note(rita, 1), note(rita, 2)
    note(remy, 3)
    client = Client()
    client.force_login(rita)
    answer = client.post(f"{LIST}read/", {"up_to": up_to.format(first=first.pk, last=last.pk)})
    assert answer.headers["Location"] == LIST
    assert Notification.objects.filter(recipient=rita).unread().count() == left
    assert unread(remy) == "1 unread"


def test_what_is_chosen_also_holds_for_what_is_not_sent_yet(rita: User) -> None:
    waiting = note(rita)
    save(rita, commented="digest")
    waiting.refresh_from_db()
    assert waiting.is_digest
    assert waiting.due_at > timezone.now()
    save(rita, commented="now")
    waiting.refresh_from_db()
    assert not waiting.is_digest
    assert waiting.due_at <= timezone.now()
    save(rita, commented="never")
    waiting.refresh_from_db()
    assert waiting.dropped_at is not None
