"""The pages about freezes: what they list and say, how a window is written, and what a request says about them."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import administration
from approvals.ledger import sentences
from approvals.models import Action, AuditEvent, FreezeWindow, OutboxEntry, Target
from approvals.policy.freezes import Once, Weekly
from approvals.selectors import freezes
from tests.support.factories import approve, make_request, make_version

pytestmark = pytest.mark.django_db
URL = "/freezes/"
ONCE = {
    "name": "Christmas",
    "model_pattern": "*",
    "time_zone": "Europe/Berlin",
    "kind": "once",
    "starts_at": "2026-12-20T18:00",
    "ends_at": "2027-01-04T08:00",
}
WEEKLY = {
    "name": "Weekend",
    "model_pattern": "churn_*",
    "time_zone": "Europe/Berlin",
    "kind": "weekly",
    "from_day": "4",
    "from_time": "16:00",
    "until_day": "0",
    "until_time": "08:00",
}


@pytest.fixture
def admin(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def once(name: str, since: float, until: float, **fields: Any) -> FreezeWindow:
    """A window from so many hours from now until so many."""
    window, now = FreezeWindow(name=name, **fields), timezone.now()
    window.when = Once(now + timedelta(hours=since), now + timedelta(hours=until))
    return administration.save_freeze(window, by=None)


def weekly(name: str = "Weekend") -> FreezeWindow:
    window = FreezeWindow(name=name)
    window.when = Weekly(4, time(16), 0, time(8), "Europe/Berlin")
    return administration.save_freeze(window, by=None)


def words(page: Any) -> str:
    return " ".join(page.content.decode().split())


# --- The list ---------------------------------------------------------------------------------------------------------


def test_without_any_freeze_the_page_says_so(admin: Client) -> None:
    assert "No freezes." in words(admin.get(URL))


def test_windows_stand_under_what_they_are_now(admin: Client) -> None:
    once("Audit", -1, 5)
    once("Christmas", 50, 90)
    old = once("Move", -1, 2)
    administration.retire_freeze(old, by=None)
    past = once("Past", -1, 3)
    FreezeWindow.objects.filter(pk=past.pk).update(
        starts_at=timezone.now() - timedelta(hours=9), ends_at=timezone.now() - timedelta(hours=1)
    )
    chapters = {key: [row.window.name for row in rows] for key, _, rows in admin.get(URL).context["chapters"]}
    assert chapters == {"on": ["Audit"], "coming": ["Christmas"], "weekly": [], "over": ["Past"], "retired": ["Move"]}


@pytest.mark.parametrize(
    ("now", "since", "until"),
    [
        # Summer time ends in Berlin on 25 October 2026, inside this weekend.
        (datetime(2026, 10, 21, tzinfo=UTC), (2026, 10, 23, 14), (2026, 10, 26, 7)),
        (datetime(2026, 7, 1, tzinfo=UTC), (2026, 7, 3, 14), (2026, 7, 6, 6)),
    ],
)
def test_the_next_weekly_freeze_follows_the_clocks_of_its_place(
    now: datetime, since: tuple[int, ...], until: tuple[int, ...]
) -> None:
    weekly()
    [row] = freezes.overview(now=now).weekly
    assert row.freeze is not None
    assert row.freeze.since == datetime(*since, tzinfo=UTC)  # type: ignore[misc, arg-type]
    assert row.freeze.until == datetime(*until, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_the_number_of_queries_does_not_grow_with_freezes(admin: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert admin.get(URL).status_code == 200
        return len(queries)

    once("First", -1, 5)
    few = count()
    for number in range(20):
        once(f"Freeze {number}", number, 40, target=Target.objects.get(name="Staging"))
    assert count() == few


# --- The form ---------------------------------------------------------------------------------------------------------


def test_a_freeze_is_written_on_the_clock_of_its_place(admin: Client) -> None:
    assert "Europe/Berlin" in words(admin.get("/freezes/new/"))
    answer = admin.post("/freezes/new/", ONCE, follow=True)
    window = FreezeWindow.objects.get()
    assert window.starts_at == datetime(2026, 12, 20, 17, tzinfo=UTC)
    assert window.ends_at == datetime(2027, 1, 4, 7, tzinfo=UTC)
    assert "The freeze “Christmas” holds from 2026-12-20 17:00 until 2027-01-04 07:00 UTC." in words(answer)
    form = words(admin.get(f"/freezes/{window.pk}/"))
    assert 'value="2026-12-20T17:00"' in form
    assert 'value="UTC"' in form


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        # 02:30 is there twice on 25 October: a freeze begins at the first and ends at the second.
        ("2026-10-25T02:30", "2026-10-25T12:00", ((2026, 10, 25, 0, 30), (2026, 10, 25, 11, 0))),
        ("2026-10-24T12:00", "2026-10-25T02:30", ((2026, 10, 24, 10, 0), (2026, 10, 25, 1, 30))),
    ],
)
def test_an_hour_that_comes_twice_belongs_to_the_freeze(
    admin: Client, starts: str, ends: str, expected: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    admin.post("/freezes/new/", ONCE | {"starts_at": starts, "ends_at": ends})
    window = FreezeWindow.objects.get()
    since, until = (datetime(*each, tzinfo=UTC) for each in expected)  # type: ignore[misc, arg-type]
    assert (window.starts_at, window.ends_at) == (since, until)


def test_a_weekly_freeze_is_written_changed_and_retired(admin: Client) -> None:
    assert admin.post("/freezes/new/", WEEKLY).headers["Location"] == URL
    window = FreezeWindow.objects.get()
    assert window.sentence == "from Friday 16:00 until Monday 08:00, Europe/Berlin"
    assert admin.post(f"/freezes/{window.pk}/", WEEKLY | {"until_time": "09:00"}).status_code == 302
    window.refresh_from_db()
    assert window.until_time == time(9)
    assert "No requests are waiting for it." in words(admin.get(f"/freezes/{window.pk}/retire/"))
    assert FreezeWindow.objects.current().exists()
    assert "The freeze “Weekend” is retired." in words(admin.post(f"/freezes/{window.pk}/retire/", follow=True))
    assert not FreezeWindow.objects.current().exists()
    assert admin.get(f"/freezes/{window.pk}/").status_code == 404


def test_saving_it_as_it_is_shown_moves_nothing_wherever_it_is_read(admin: Client) -> None:
    admin.post("/freezes/new/", ONCE)
    before = FreezeWindow.objects.get()
    admin.cookies["zone"] = "America/New_York"
    html = admin.get(f"/freezes/{before.pk}/").content.decode()
    fields = ("time_zone", "starts_at", "ends_at")
    shown = {name: re.findall(rf'name="{name}"[^>]*? value="([^"]*)"', html)[0] for name in fields}
    assert shown == {"time_zone": "UTC", "starts_at": "2026-12-20T17:00", "ends_at": "2027-01-04T07:00"}
    assert admin.post(f"/freezes/{before.pk}/", ONCE | shown).status_code == 302
    after = FreezeWindow.objects.get()
    assert (after.starts_at, after.ends_at) == (before.starts_at, before.ends_at)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (ONCE | {"ends_at": "2026-12-20T18:00"}, "A freeze must end after it begins."),
        (ONCE | {"ends_at": ""}, "Enter a start and an end."),
        (ONCE | {"starts_at": "tomorrow"}, "Enter a valid date/time."),
        (ONCE | {"time_zone": "Mars/Olympus"}, "There is no time zone called"),
        (ONCE | {"name": ""}, "This field is required."),
        (WEEKLY | {"until_day": "4", "until_time": "16:00"}, "This window covers the whole week"),
        (WEEKLY | {"from_day": "9"}, "Select a valid choice."),
    ],
)
def test_nonsense_comes_back_with_the_reason_and_what_was_typed(
    admin: Client, sent: dict[str, str], message: str
) -> None:
    answer = admin.post("/freezes/new/", sent)
    assert answer.status_code == 422
    assert message in words(answer)
    assert f'value="{sent["model_pattern"]}"' in words(answer)
    assert not FreezeWindow.objects.exists()


def test_a_name_that_is_taken_is_refused(admin: Client) -> None:
    once("Christmas", 1, 2)
    answer = admin.post("/freezes/new/", ONCE)
    assert answer.status_code == 422
    assert "There is already a freeze with this name." in words(answer)


# --- What a request says ----------------------------------------------------------------------------------------------


def test_a_pending_request_says_that_a_freeze_is_on_or_near(
    client: Client, rita: User, remy: User, staging: Target
) -> None:
    request = make_request(make_version("churn_predictor"), staging, by=rita)
    client.force_login(remy)
    address = request.get_absolute_url()
    assert "freeze" not in words(client.get(address)).lower()
    near = once("Christmas", 20, 40)
    assert "The freeze “Christmas” begins" in words(client.get(address))
    administration.retire_freeze(near, by=None)
    once("Elsewhere", -1, 5, model_pattern="other_*")
    assert "freeze" not in words(client.get(address)).lower()
    once("Audit", -1, 5)
    assert "The freeze “Audit” is on until" in words(client.get(address))


def test_asking_tells_of_a_freeze(client: Client, rita: User) -> None:
    version = make_version("churn_predictor")
    client.force_login(rita)
    address = f"{version.get_absolute_url()}promote/"
    assert "freeze" not in words(client.get(address)).lower()
    once("Audit", -1, 5, target=Target.objects.get(name="Staging"))
    page = words(client.get(address))
    assert page.count("The freeze “Audit” is on until") == 1


def test_an_approved_request_says_what_holds_it_until_when(
    client: Client, rita: User, remy: User, staging: Target
) -> None:
    request = approve(make_request(make_version("churn_predictor"), staging, by=rita), remy)
    until = timezone.now() + timedelta(hours=5)
    held = OutboxEntry.objects.filter(request=request)
    held.update(held_until=until, held_by="Christmas", available_at=until)
    client.force_login(rita)
    said = f"Approved. The freeze “Christmas” holds it until {until:%Y-%m-%d %H:%M} UTC."
    assert said in words(client.get(request.get_absolute_url()))
    held.update(held_until=timezone.now(), available_at=timezone.now())
    assert "holds it until" not in words(client.get(request.get_absolute_url()))


def test_the_time_line_names_the_freeze_and_its_end() -> None:
    event = AuditEvent(
        action=Action.DELIVERY_HELD,
        model_name="churn_predictor",
        version_number=1,
        target_name="Staging",
        payload='{"freeze":"Christmas","freeze_id":1,"until":"2027-01-04T08:00:00+01:00"}',
    )
    assert "until 2027-01-04 07:00 UTC: the freeze “Christmas” is on" in sentences.sentence(event)
