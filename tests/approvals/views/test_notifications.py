"""The page on which a person says how to be told, and sees what they were told."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals.models import DigestTime, How, Kind, Notification, NotificationChoice, Target
from approvals.notifications import preferences
from tests.support.factories import make_request, make_version
from tests.support.pages import text_of

ADDRESS = "/preferences/notifications/"


def page(person: User, query: str = "") -> str:
    client = Client()
    client.force_login(person)
    answer = client.get(ADDRESS + query)
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
    assert 'value="now" selected' in shown
    assert 'value="digest" selected' in shown
    assert "Nothing yet." in shown


def test_what_is_chosen_is_kept_and_said(rita: User, remy: User) -> None:
    status, shown = save(rita, commented="never", waits="digest", hour="17", time_zone="Asia/Kolkata")
    assert status == 200
    assert "How you are told is saved." in shown
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
    request = make_request(make_version(), staging, by=rita)
    now = timezone.now()
    note(rita, 1, sent_at=now, request=request)
    note(rita, 2, dropped_at=now, is_undelivered=True, last_error="550 No such mailbox.")
    note(rita, 3, dropped_at=now, last_error="It was done before it could be told.")
    note(rita, 4, is_digest=True)
    note(rita, 5, attempts=2)
    note(rita, 6)
    note(remy, 7, title="Of somebody else")
    shown = text_of(page(rita))
    states = (
        "Sent",
        "Could not be sent",
        "550 No such",
        "Not needed any more",
        "next digest",
        "tried again",
        "Being sent",
    )
    for state in states:
        assert state in shown
    assert "Of somebody else" not in shown
    assert f'href="{request.get_absolute_url()}">Thing 1</a>' in page(rita)


def test_many_are_shown_in_pages(rita: User) -> None:
    for number in range(60):
        note(rita, number, title=f"<b>Thing</b> {number}.")
    first, second = page(rita), page(rita, "?page=2")
    assert "Thing&lt;/b&gt; 59." in first
    assert "Thing&lt;/b&gt; 9." not in first
    assert "Thing&lt;/b&gt; 9." in second


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
