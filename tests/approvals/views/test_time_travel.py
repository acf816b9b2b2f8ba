"""The page of time travel, and its JSON."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals.models import Target, Tenure
from approvals.views import time_travel
from tests.support.factories import (
    NOON,
    approve,
    hours,
    make_person,
    make_request,
    make_tenure,
    make_version,
)
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, vera: User) -> Callable[..., str]:
    client.force_login(vera)

    def get(query: str = "", status: int = 200) -> str:
        answer = client.get(f"/history/at/{query}")
        assert answer.status_code == status
        return text_of(re.sub(r"<(title|desc).*?</\1>", "", answer.content.decode(), flags=re.DOTALL))

    return get


def test_the_page_names_who_asked_and_who_approved_with_which_meaning(
    page: Callable[..., str], client: Client, rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = make_request(make_version("churn"), production, by=rita)
    approve(request, remy, rosa)
    request.reviews.filter(reviewer=rosa).update(meaning="responsible", created_at=NOON)
    request.reviews.filter(reviewer=remy).update(created_at=NOON)
    make_tenure("churn", 1, production, NOON, request=request, start_sequence=1)
    words = page("?at=2026-03-01T13:00")
    assert "Version 1 Promoted Production and @champion Since 2026-03-01 12:00:00 UTC ." in words
    assert f"Request #{request.pk} , requested by Rita Sanz ; approved by" in words
    assert "Rosa Lind (responsible)" in words
    assert "Remy Ortiz ," in words
    html = client.get("/history/at/?at=2026-03-01T13:00").content.decode()
    for path in (f"/requests/{request.pk}/certificate/", f"/requests/{request.pk}/compare/", "/history/1/"):
        assert f'href="{path}"' in html
        assert client.get(path).status_code == 200


def test_the_answer_stands_above_the_time_line(client: Client, vera: User, production: Target) -> None:
    make_tenure("churn", 1, production, NOON)
    client.force_login(vera)
    html = client.get("/history/at/?at=2026-03-01T13:00").content.decode()
    assert html.index('id="held-title"') < html.index('id="line-title"')
    assert 'href="#line-title"' in html
    for name in ("moment-answer", "moment-links", "moment-json"):
        assert html.count(f'id="{name}"') == 1


def test_an_approval_that_came_later_is_told_as_such(
    page: Callable[..., str], rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = approve(make_request(make_version("churn"), production, by=rita), remy, rosa)
    make_tenure("churn", 1, production, NOON, origin="outside", request=request)
    assert "approved afterwards by Remy Ortiz" in page("?at=2026-03-01T13:00")


def test_only_what_is_mirrored_has_a_link(client: Client, vera: User, production: Target) -> None:
    """An imported model may never have been seen in MLflow."""
    make_version("churn", 1)
    for name in ("churn", "gone"):
        make_tenure(name, 1, production, NOON, hours(9), origin="imported")
    client.force_login(vera)
    html = client.get("/history/at/?at=2026-03-01T13:00").content.decode()
    for path in ("/models/churn/", "/models/churn/versions/1/"):
        assert f'href="{path}"' in html
    assert "/models/gone/" not in html
    assert re.search(r">\s*gone\s*</h3>", html)


def test_one_steps_from_change_to_change(page: Callable[..., str], client: Client, production: Target) -> None:
    change = hours(2) + timedelta(microseconds=123456)
    make_tenure("churn", 1, production, NOON, change)
    make_tenure("churn", 2, production, change)
    html = client.get("/history/at/?at=2026-03-01T13:00&model=churn").content.decode()
    after = re.search(r'id="change-after" href="([^"]+)"', html)
    before = re.search(r'id="change-before" href="([^"]+)"', html)
    assert after
    assert before
    assert before[1] == "/history/at/?at=2026-03-01T12%3A00&amp;model=churn"
    assert after[1] == "/history/at/?at=2026-03-01T14%3A00%3A00.123456&amp;model=churn"
    assert "Version 2" in page("?at=2026-03-01T14%3A00%3A00.123456&model=churn")
    # The picker of the browser knows thousandths: sent again, it shows the same.
    shown = re.search(r'name="at"[^>]* value="([^"]+)"', client.get(after[1].replace("&amp;", "&")).content.decode())
    assert shown
    assert shown[1] == "2026-03-01T14:00:00.124"


def test_the_slider_leads_to_the_moment_and_keeps_the_filters(client: Client, vera: User, production: Target) -> None:
    make_tenure("churn", 1, production, NOON)
    client.force_login(vera)
    answer = client.get(f"/history/at/?slide={int(hours(1).timestamp())}&model=churn&span=year")
    assert answer["Location"] == "/history/at/?model=churn&span=year&at=2026-03-01T13%3A00"
    html = client.get(answer["Location"]).content.decode()
    slider = re.search(r'type="range"[^>]* min="(\d+)" max="(\d+)" step="\d+"\s+value="(\d+)"', html)
    assert slider
    low, high, value = map(int, slider.groups())
    assert low < value == int(hours(1).timestamp()) < high
    for nonsense in ("x", "9" * 30, ""):
        assert client.get(f"/history/at/?slide={nonsense}")["Location"] == "/history/at/"
    soon = int(timezone.now().timestamp()) + 60
    assert client.get(f"/history/at/?slide={soon}&model=churn")["Location"] == "/history/at/?model=churn"


def test_the_future_and_what_was_before_everything_are_named(page: Callable[..., str], production: Target) -> None:
    assert "No records yet." in page()
    make_tenure("churn", 1, production, NOON)
    assert "This moment is in the future." in page("?at=2999-01-01")
    assert "Held" not in page("?at=2999-01-01")
    words = page("?at=2020-01-01")
    assert "No records of that moment." in words
    assert "Records begin on 2026-03-01 12:00:00 UTC" in words
    assert "No matches at that moment." in page("?at=2026-03-02&model=fraud")


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("at=yesterday", "Enter a time such as 2026-11-23 or 2026-11-23T12:04; without a zone it is UTC."),
        ("at=0001-01-01T00:00%2B14:00", "Enter a time such as"),
        ("target=production", "There is no target of this name. Names are case-sensitive."),
        ("model=a%00b", "Null characters are not allowed."),
        (f"model={'x' * 257}", "at most 256 characters"),
        ("span=evil", "Select a valid choice"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(page: Callable[..., str], client: Client, query: str, words: str) -> None:
    assert "No results." in page(f"?{query}", 422)
    answer = client.get(f"/history/at.json?{query}")
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    if "span" not in query:
        assert words in page(f"?{query}", 422)


@pytest.mark.each_database
@pytest.mark.parametrize(
    "at", ["0001-01-01", "1000-01-01T00:00", "9999-12-31T23:59:59.999999", "2026-03-01T13:00+02:00"]
)
@pytest.mark.parametrize("span", ["", "day", "all"])
def test_moments_at_the_edge_of_time_have_an_answer(
    page: Callable[..., str], production: Target, at: str, span: str
) -> None:
    make_tenure("churn", 1, production, NOON)
    assert "Timeline" in page(f"?at={at}&span={span}")


def test_the_page_asks_as_often_for_many_models_as_for_one(
    client: Client, vera: User, rita: User, remy: User, production: Target, staging: Target
) -> None:
    client.force_login(vera)

    def queries() -> int:
        client.get("/history/at/")  # the session is warm
        with CaptureQueriesContext(connection) as found:
            assert client.get("/history/at/?at=2026-03-01T13:00").status_code == 200
        return len(found)

    def fill(count: int, prefix: str) -> None:
        for number in range(count):
            name = f"{prefix}{number}"
            request = approve(make_request(make_version(name), staging, by=rita), remy)
            make_tenure(name, 1, staging, NOON, request=request)
            make_tenure(name, 2, production, NOON - timedelta(hours=number + 1), origin="found")

    fill(1, "a")
    few = queries()
    fill(30, "b")
    assert queries() == few


def test_the_time_line_says_that_it_has_only_the_newest(page: Callable[..., str], production: Target) -> None:
    def hold(number: int) -> None:
        start = NOON + timedelta(hours=number)
        make_tenure("churn", number + 1, production, start, start + timedelta(hours=1))  # in a stage and an alias

    for number in range(time_travel.DRAWN // 2):
        hold(number)
    assert "The chart shows the newest" not in page("?at=2026-03-01T13:00&span=all")
    hold(time_travel.DRAWN // 2)
    assert f"The chart shows the newest {time_travel.DRAWN} changes" in page("?at=2026-03-01T13:00&span=all")


# --- JSON


def test_the_json_is_the_same_answer(
    client: Client, vera: User, rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = approve(make_request(make_version("churn"), production, by=rita), remy, rosa)
    make_tenure("churn", 1, production, NOON, hours(2), request=request, start_sequence=3)
    client.force_login(vera)
    answer = client.get("/history/at.json?at=2026-03-01T14:00%2B01:00&model=churn&target=Production").json()
    first, second = request.reviews.order_by("created_at")
    assert {key: value for key, value in answer.items() if key not in ("asked_at", "holders")} == {
        "at": "2026-03-01T13:00:00.000000Z",
        "beginning": "2026-03-01T12:00:00.000000Z",
        "is_future": False,
        "models": 1,
        "next": None,
    }
    assert answer["holders"] == [
        {
            "model": "churn",
            "target": "Production",
            "version": 1,
            "places": ["Production", "@champion"],
            "loaded_as": ["models:/churn/Production", "models:/churn@champion"],
            "is_possible": False,
            "may_have_ended": False,
            "since": "2026-03-01T12:00:00.000000Z",
            "not_before": None,
            "until": "2026-03-01T14:00:00.000000Z",
            "held_until_at_least": None,
            "origin": "delivery",
            "how": "Promoted through Countersign.",
            "end": "replaced",
            "request": {
                "number": request.pk,
                "kind": "promotion",
                "requested_by": rita.label,
                "fingerprint": request.fingerprint,
            },
            "approvals": [
                {
                    "by": each.reviewer.label,
                    "meaning": "approved",
                    "at": each.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
                }
                for each in (first, second)
            ],
            "records": None,
            "event": 3,
            "links": {
                "request": f"http://testserver/requests/{request.pk}/",
                "certificate": f"http://testserver/requests/{request.pk}/certificate/",
            },
        }
    ]


def test_the_json_comes_in_pages_of_one_and_the_same_moment(client: Client, vera: User, production: Target) -> None:
    Tenure.objects.bulk_create(
        Tenure(
            model_name=f"model_{number:03}",
            version_number=1,
            target=production,
            place="Production",
            origin="delivery",
            started_at=NOON,
        )
        for number in range(450)
    )
    client.force_login(vera)
    names: list[str] = []
    moments = set()
    url: str | None = "/history/at.json"
    while url:
        answer = client.get(url).json()
        names += [holder["model"] for holder in answer["holders"]]
        moments.add(answer["at"])
        url = answer["next"]
    assert names == [f"model_{number:03}" for number in range(450)]
    assert len(moments) == 1
    assert client.get("/history/at.json?page=4").json() == {"error": "There are 3 pages."}
    assert client.get("/history/at.json?page=x").status_code == 400
    future = client.get("/history/at.json?at=2999-01-01").json()
    assert (future["is_future"], future["holders"], future["next"]) == (True, [], None)


def test_people_without_a_role_are_refused(client: Client, db: None) -> None:
    client.force_login(make_person("Nina New"))
    for path in ("/history/at/", "/history/at.json"):
        assert client.get(path).status_code == 403
