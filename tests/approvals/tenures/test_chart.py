"""The picture of tenures: where bars stand, what they say, and the model's page around it."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals.models import Target, Tenure
from approvals.selectors import target_holders
from approvals.tenures import chart, labels
from registry_ui.selectors import tenures as selector
from tests.support.factories import make_request, make_version
from tests.support.pages import text_of
from tests.support.world import hold

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PRODUCTION = Target(pk=1, name="Production", stage="Production", alias="champion", archives_existing=True)
_keys = iter(range(1, 10_000))


def tenure(number: int, start: float, end: float | None = None, place: str = "Production", **fields: Any) -> Tenure:
    """Times in hours after noon; not stored."""
    return Tenure(
        pk=next(_keys),
        model_name="churn",
        version_number=number,
        target=fields.pop("target", PRODUCTION),
        place=place,
        origin=fields.pop("origin", "delivery"),
        started_at=NOON + timedelta(hours=start),
        ended_at=None if end is None else NOON + timedelta(hours=end),
        end="" if end is None else "replaced",
        **fields,
    )


def draw(*found: Tenure, hours: float = 10, **options: Any) -> chart.Picture:
    until = NOON + timedelta(hours=hours)
    return chart.picture({"Production": found}, since=NOON, until=until, urls=options.pop("urls", {}), **options)


def bars(picture: chart.Picture) -> list[chart.Bar]:
    return [bar for lane in picture.lanes for bar in lane.bars]


def test_bars_stand_where_their_time_is() -> None:
    first, second = bars(draw(tenure(1, 1, 4), tenure(2, 4)))
    assert (first.x, first.width, first.is_open) == (10, 30, False)
    assert (second.x, second.width, second.is_open) == (40, 60, True)
    assert first.y == second.y
    assert first.tone != second.tone
    assert (first.text, second.text) == ("Version 1 · Production", "Version 2 · Production")


def test_places_that_one_version_held_alike_are_one_bar() -> None:
    (bar,) = bars(draw(tenure(1, 1, 4), tenure(1, 1, 4, "@champion")))
    assert bar.title.startswith("Version 1 in Production and @champion from 2026-03-01 13:00 UTC until ")


def test_places_that_went_apart_are_two_bars_under_each_other() -> None:
    stage, alias = sorted(bars(draw(tenure(1, 1, 4), tenure(1, 1, 9, "@champion"))), key=lambda bar: bar.width)
    assert stage.y != alias.y
    assert alias.text == "Version 1 · @champion"


def test_several_holders_go_under_each_other_and_what_has_no_row_is_counted() -> None:
    picture = draw(*(tenure(number, number / 10) for number in range(1, 8)), tenure(8, 2))
    (lane,) = picture.lanes
    assert len({bar.y for bar in lane.bars}) == chart.MOST_ROWS
    assert (len(lane.bars), lane.hidden) == (4, 4)


def test_a_row_is_used_again_when_it_is_free() -> None:
    picture = draw(tenure(1, 0, 9), tenure(2, 1, 2), tenure(3, 2, 3))
    assert [bar.y for bar in bars(picture)] == [20, 44, 44]


def test_what_lies_outside_is_cut_and_short_ones_stay_visible() -> None:
    before, short = bars(draw(tenure(1, -50, 2), tenure(2, 9.99, 10)))
    assert (before.x, before.width) == (0, 20)
    assert short.x + short.width <= 100
    assert short.width >= 0.3
    assert short.text == ""


def test_of_what_was_found_the_uncertain_stretch_is_drawn() -> None:
    (bar,) = bars(draw(tenure(1, 4, origin="outside", started_after=NOON + timedelta(hours=3))))
    assert (bar.unsure_x, bar.unsure_width, bar.look) == (30, 10, "outside")


@pytest.mark.parametrize("origin", Tenure.Origin.values)
def test_every_origin_has_a_look_that_the_legend_names(origin: str) -> None:
    picture = draw(tenure(1, 1, origin=origin))
    (bar,) = bars(picture)
    assert picture.looks == [(bar.look, labels.LOOKS[bar.look])]
    assert (bar.look == "gate") == (origin in ("delivery", "restored"))


def test_the_words_say_what_the_picture_shows() -> None:
    assert draw(tenure(1, 1, 4), tenure(2, 4)).summary == "Production: versions 1, 2; now 2."
    assert draw().summary == "Production: nothing."
    assert draw(*(tenure(n, n / 10, n / 10 + 0.1) for n in range(1, 13))).summary == (
        "Production: versions 5, 6, 7, 8, 9, 10, 11, 12 (the newest of them)."
    )


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.01, []),
        (4, ["13:00", "14:00", "15:00"]),
        (24, ["1 Mar 18:00", "2 Mar 00:00", "2 Mar 06:00"]),
        (24 * 4, ["2 Mar", "3 Mar", "4 Mar", "5 Mar"]),
        (24 * 150, ["Apr 2026", "May 2026", "Jun 2026", "Jul 2026"]),
        (24 * 3000, ["Jan 2028", "Jan 2030", "Jan 2032", "Jan 2034"]),
    ],
)
def test_dates_at_the_foot_are_round(hours: float, words: list[str]) -> None:
    assert [tick.words for tick in draw(hours=hours).ticks] == words


def test_the_mark_stands_at_the_moment() -> None:
    assert draw(marker=NOON + timedelta(hours=5)).marker == 50
    assert draw(marker=NOON - timedelta(hours=5)).marker == 0


# --- On the model's page


def stored(number: int, start: float, end: float | None = None, **fields: Any) -> Tenure:
    made = tenure(number, start, end, **fields)
    made.pk = None
    made.save()
    return made


@pytest.mark.django_db
def test_the_models_page_shows_the_picture_and_the_same_as_a_table(
    client: Client, vera: User, rita: User, production: Target
) -> None:
    request = make_request(make_version("churn", 1), production, by=rita)
    stored(1, 0, 3, target=production, request=request)
    stored(2, 3, target=production, origin="outside", started_after=NOON + timedelta(hours=1))
    client.force_login(vera)
    drawn = client.get("/models/churn/?metric=auc").content.decode()
    assert "Timeline as a table" not in drawn
    address = re.search(r'<a href="([^"]+)#timeline-table" hx-get="\1"', drawn)
    assert address is not None
    html = client.get("/models/churn/" + unescape(address[1])).content.decode()
    part = html[html.index('id="tenures-title"') : html.index("</details>", html.index('id="tenures-title"'))]
    assert f'<a href="/requests/{request.pk}/" tabindex="-1" aria-label="Version 1 in Production from ' in part
    assert 'fill="url(#held-outside)"' in part
    assert 'href="/history/at/?model=churn"' in part
    words = text_of(part)
    assert "Staging: nothing" in words
    assert "Version 2 Production 2026-03-01 15:00:00 UTC is there now Changed outside Countersign;" in words


@pytest.mark.django_db
def test_the_models_page_has_no_picture_without_tenures(client: Client, vera: User) -> None:
    make_version("churn", 1)
    client.force_login(vera)
    assert "tenures-title" not in client.get("/models/churn/").content.decode()


@pytest.mark.each_database
@pytest.mark.django_db
@pytest.mark.parametrize(("in_words", "asked", "rows"), [(True, 2, 60), (False, 1, 0)])
def test_the_newest_sixty_are_shown_in_two_queries(
    production: Target, rita: User, in_words: bool, asked: int, rows: int
) -> None:
    request = make_request(make_version("churn", 1), production, by=rita)
    for number in range(1, 206):
        stored(number, number, number + 1, target=production, request=request)
    with CaptureQueriesContext(connection) as queries:
        found = selector.of("churn", [production], in_words=in_words)
        assert found is not None
        assert all(row.tenure.request and row.tenure.request.requester.name == "Rita Sanz" for row in found.rows)
    assert len(queries) == asked
    assert [row.tenure.version_number for row in found.rows] == [205 - place for place in range(rows)]
    assert (found.count, found.is_cut) == (60, True)


# --- Champions know it from their tenure


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("origin", "via", "is_dated"),
    [
        ("delivery", target_holders.GATE, True),
        ("restored", target_holders.GATE, True),
        ("outside", target_holders.OUTSIDE, True),
        ("found", target_holders.BEFORE, False),
    ],
)
def test_how_a_champion_got_there_is_what_its_tenure_says(
    production: Target, origin: str, via: str, is_dated: bool
) -> None:
    version = make_version("churn", 1)
    hold(version, production)
    stored(1, 0, target=production, origin=origin)
    (holding,) = target_holders.of([version.model], [production])[version.model_id]
    assert (holding.via, holding.since) == (via, NOON if is_dated else None)


@pytest.mark.django_db
def test_where_the_watch_has_no_tenure_yet_the_requests_tell(production: Target) -> None:
    version = make_version("churn", 2)
    hold(version, production)
    stored(1, 0, target=production)  # the mirror has seen the change, the watch has not
    (holding,) = target_holders.of([version.model], [production])[version.model_id]
    assert holding.via == target_holders.BEFORE


@pytest.mark.django_db
def test_champions_take_five_queries(production: Target, staging: Target) -> None:
    models = []
    for number in range(12):
        version = make_version(f"model_{number}", 1)
        hold(version, production)
        models.append(version.model)
        if number % 2:
            made = stored(1, 0, target=production)
            Tenure.objects.filter(pk=made.pk).update(model_name=f"model_{number}")
    with CaptureQueriesContext(connection) as queries:
        found = target_holders.of(models, [production, staging])
    assert len(queries) == 5
    assert [re.sub("gate|before", "", found[model.pk][0].via) for model in models] == [""] * 12
