"""The overview: which models it shows, what a cell says, figures that filter, order, groups, and home."""

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals.models import Probation, PromotionRequest, Review, Target, Tenure
from mirror.models import RegisteredModel
from tests.support.factories import approve, make_request, make_version
from tests.support.pages import text_of
from tests.support.world import bypass, found, freeze, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, vera: User) -> Callable[[str], str]:
    client.force_login(vera)

    def get(query: str = "") -> str:
        answer = client.get(f"/overview/{query}")
        assert answer.status_code == 200
        return answer.content.decode()

    return get


@pytest.fixture
def registry(rita: User, remy: User, rosa: User, staging: Target, production: Target) -> None:
    """alpha_card approved, alpha_wire found before the gate, beta changed outside, gamma promoted in an emergency,
    delta asked for, idle holding nothing."""
    settle(make_request(make_version("alpha_card", 6), production, by=rita), remy, rosa)
    approve(make_request(make_version("alpha_card", 7), production, by=rita), remy)
    found(make_version("alpha_wire", 2), production, "Production")
    bypass(make_version("beta", 3), production, "Production")
    glass = settle(make_request(make_version("gamma", 4), production, by=rita), remy, rosa, kind="break_glass")
    assert glass.owes_review
    make_request(make_version("delta", 1), staging, by=rita)
    make_version("idle", 1)
    RegisteredModel.objects.filter(name__startswith="alpha").update(tags={"team": "risk"})
    RegisteredModel.objects.filter(name="beta").update(tags={"team": "growth", "tier": "1"})


def names(html: str) -> list[str]:
    return re.findall(r'<a class="row-title break" href="/models/([^/"]+)/"', html)


def row(html: str, name: str) -> str:
    start = html.index(f'href="/models/{name}/"')
    return text_of(html[html.rindex("<tr", 0, start) : html.index("</tr>", start)])


def test_without_anything_it_says_how_a_model_gets_there(page: Callable[[str], str]) -> None:
    make_version("idle", 1)
    text = text_of(page())
    assert "No model holds a target yet." in text


def test_a_cell_names_version_state_and_what_waits(page: Callable[[str], str], registry: None) -> None:
    html = page()
    assert names(html) == ["alpha_card", "alpha_wire", "beta", "delta", "gamma"]
    at = Tenure.objects.get(model_name="alpha_card", place="Production").started_at
    assert row(html, "alpha_card") == f"alpha_card – v6 Approved 0 minutes ago {at:%H:%M} auc_roc 0.9 v7 waits 1/2"
    assert "v2 Before Countersign first seen" in row(html, "alpha_wire")
    assert "v3 Outside Countersign 0 minutes ago" in row(html, "beta")
    assert "v4 Emergency 0 minutes ago" in row(html, "gamma")
    assert row(html, "delta") == "delta v1 waits 0/1 –"


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("state", "count", "shown"),
    [
        ("approved", 1, ["alpha_card"]),
        ("outside", 2, ["beta", "gamma"]),
        ("before", 1, ["alpha_wire"]),
        ("waiting", 2, ["alpha_card", "delta"]),
        ("delivered", 2, ["alpha_card", "gamma"]),
    ],
)
def test_each_figure_counts_and_filters(
    page: Callable[[str], str], registry: None, state: str, count: int, shown: list[str]
) -> None:
    html = page(f"?state={state}")
    tile = re.search(r'<a class="tile [^>]*aria-current="true".*?<strong>(\d+)</strong>', html, re.DOTALL)
    assert tile is not None
    assert int(tile[1]) == count
    assert names(html) == shown


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?q=ALPHA", ["alpha_card", "alpha_wire"]),
        ("?tag=team=risk", ["alpha_card", "alpha_wire"]),
        ("?tag=tier", ["beta"]),
        ("?tag=team=risk&state=before", ["alpha_wire"]),
        ("?target=Staging", ["delta"]),
        ("?target=Production&q=a&state=outside", ["beta", "gamma"]),
        ("?q=nothing", []),
        ("?sort=state", ["beta", "gamma", "alpha_wire", "alpha_card", "delta"]),
        ("?sort=-since", ["gamma", "beta", "alpha_wire", "alpha_card", "delta"]),
        ("?sort=since", ["alpha_card", "alpha_wire", "beta", "gamma", "delta"]),
        ("?sort=%00&group=%00&state=x&target=x&page=x", ["alpha_card", "alpha_wire", "beta", "delta", "gamma"]),
        ("?page=999", ["alpha_card", "alpha_wire", "beta", "delta", "gamma"]),
        ("?page=last", ["alpha_card", "alpha_wire", "beta", "delta", "gamma"]),
    ],
)
def test_filters_and_order_stand_in_the_address(
    page: Callable[[str], str], registry: None, query: str, shown: list[str]
) -> None:
    assert names(page(query)) == shown


@pytest.mark.parametrize(
    ("group", "heads", "shown"),
    [
        ("prefix", ["alpha", "beta", "delta", "gamma"], ["alpha_card", "alpha_wire", "beta", "delta", "gamma"]),
        ("tag:tier", ["1", "Without the tag tier"], ["beta", "alpha_card", "alpha_wire", "delta", "gamma"]),
    ],
)
def test_groups_have_heads(
    page: Callable[[str], str], registry: None, group: str, heads: list[str], shown: list[str]
) -> None:
    html = page(f"?group={group}")
    assert re.findall(r'scope="rowgroup"[^>]*>([^<]+)<', html) == heads
    assert names(html) == shown


def test_the_worst_of_two_places_speaks_for_the_cell(page: Callable[[str], str], rita: User) -> None:
    both = Target.objects.create(name="Live", stage="", alias="live", position=300)
    for origin, number in ((Tenure.Origin.RESTORED, 5), (Tenure.Origin.OUTSIDE, 6)):
        version = make_version("epsilon", number)
        Tenure.objects.create(
            model_name="epsilon",
            version_number=version.number,
            target=both,
            place="@live",
            is_sole=False,
            origin=origin,
            started_at=timezone.now() - timedelta(days=number),
        )
    html = page("?target=Live")
    assert "v6 Outside Countersign 6 days ago" in row(html, "epsilon")
    assert "also v5" in row(html, "epsilon")
    assert "1 outside approval" in text_of(html)


def test_four_targets_have_columns_and_the_rest_a_menu(page: Callable[[str], str], registry: None) -> None:
    for number in range(4):
        Target.objects.create(name=f"Region {number}", alias=f"region{number}", position=200 + number)
    html = page()
    assert re.findall(r'<th scope="col">([^<]+)</th>', html) == [
        "Model",
        "Staging",
        "Production",
        "Region 0",
        "Region 1",
    ]
    assert "2 more targets" in html
    assert "?target=Region+3" in html or "?target=Region%203" in html


def test_home_is_the_inbox_while_work_waits_there(client: Client, rita: User, remy: User, staging: Target) -> None:
    client.force_login(remy)
    assert client.get("/home/")["Location"] == "/overview/"
    assert '<a class="brand" href="/overview/"' in client.get("/models/").content.decode()
    make_request(make_version("delta", 1), staging, by=rita)
    assert client.get("/home/")["Location"] == "/"
    assert '<a class="brand" href="/"' in client.get("/models/").content.decode()
    assert client.get("/").status_code == 200


def test_who_is_signed_out_and_names_no_page_comes_home_afterwards(client: Client) -> None:
    assert client.get("/")["Location"] == "/accounts/login/"
    assert client.get("/?tab=mine")["Location"].endswith("next=/%3Ftab%3Dmine")


OWN = 9
"""Queries of the page itself, without those of the frame."""


def test_the_number_of_queries_does_not_grow(
    client: Client, vera: User, rita: User, remy: User, rosa: User, staging: Target, production: Target
) -> None:
    def grow(number: int) -> None:
        version = make_version(f"model_{number}", 1)
        settle(make_request(version, production, by=rita), remy, rosa)
        make_request(make_version(f"model_{number}", 2), staging, by=rita)

    client.force_login(vera)
    grow(0)
    counts = []
    for number in range(1, 4):
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/overview/").status_code == 200
        counts.append(len(captured))
        grow(number)
    assert len(set(counts)) == 1
    with CaptureQueriesContext(connection) as frame:
        client.get("/preferences/")
    assert counts[0] - len(frame) <= OWN


def section(html: str, title: str) -> str:
    start = html.index(f'aria-labelledby="{title}"')
    return text_of(html[start : html.index("</section>", start)])


def test_next_has_what_happens_by_itself_soon(
    page: Callable[[str], str], registry: None, rita: User, remy: User, rosa: User, production: Target
) -> None:
    now = timezone.now()
    freeze("Year end", hours=30)
    made = make_request(make_version("zeta", 1), production, by=rita)
    PromotionRequest.objects.filter(pk=made.pk).update(expires_at=now + timedelta(hours=40))
    PromotionRequest.objects.filter(version__model__name="gamma").update(afterwards_due_at=now - timedelta(hours=1))
    tried = settle(make_request(make_version("eta", 2), production, by=rita), remy, rosa)
    Probation.objects.create(request=tried, started_at=now, ends_at=now + timedelta(days=3), token="t")
    html = page()
    text = section(html, "next-title")
    order = ["gamma v4 to Production Emergency review was due", "Year end: all targets Freeze ends"]
    order += ["zeta v1 to Production Request expires", "eta v2 to Production Probation ends"]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    assert "delta" not in text
    assert "v2 Approved" in row(html, "eta")
    assert "Probation until" in row(html, "eta")


def test_recently_has_the_last_ten_with_who_approved(
    page: Callable[[str], str], rita: User, remy: User, rosa: User, production: Target
) -> None:
    for number in range(1, 12):
        settle(make_request(make_version("alpha", number), production, by=rita), remy, rosa)
    glass = settle(make_request(make_version("beta", 1), production, by=rita), remy, rosa, kind="break_glass")
    Review.objects.filter(request=glass).update(voided_at=timezone.now())
    text = section(page(), "recently-title")
    assert "beta v1 to Production Emergency promotion" in text
    assert "Without approval" in text
    assert text.count("to Production") == 10
    assert "alpha v11 to Production Promoted" in text
    assert f"Approved by {remy.name}, {rosa.name}" in text
    assert "alpha v2 " not in text


def test_a_cell_has_the_metric_of_record_beside_the_holder_before(
    page: Callable[[str], str], rita: User, remy: User, rosa: User, production: Target
) -> None:
    first, second = (
        make_version("alpha", number, metrics={"auc": 0.9 + number / 100, "loss": number}) for number in (1, 2)
    )
    settle(make_request(first, production, by=rita), remy, rosa)
    assert "auc 0.91" in row(page(), "alpha")
    settle(make_request(second, production, by=rita), remy, rosa)
    assert "auc 0.92 +0.01 (+1.1 %) better" in row(page(), "alpha")


def test_what_is_shown_comes_as_csv_and_json(
    client: Client, vera: User, registry: None, rita: User, staging: Target
) -> None:
    make_request(make_version("=cmd()", 1), staging, by=rita)
    client.force_login(vera)
    answer = client.get("/overview/overview.csv?state=outside&group=prefix")
    lines = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    assert [(line["model"], line["target"], line["version"], line["state"]) for line in lines] == [
        ("beta", "Production", "3", "outside"),
        ("gamma", "Production", "4", "emergency"),
    ]
    rows = client.get("/overview/overview.json").json()["rows"]
    assert len(rows) == 6
    assert (rows[1]["model"], rows[1]["version"], rows[1]["request_state"]) == ("alpha_card", 6, "waits 1/2")
    assert "'=cmd()" in b"".join(client.get("/overview/overview.csv")).decode()
    assert "/overview/overview.csv?state=outside" in client.get("/overview/?state=outside&page=1").content.decode()


def test_without_a_target_the_page_is_there(page: Callable[[str], str], registry: None) -> None:
    Target.objects.update(retired_at=timezone.now())
    assert names(page("")) == []
