"""Moments on the reader's clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.template import Context, Template
from django.utils import timezone
from django.utils.timesince import timesince, timeuntil

from components import times

AT = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC)  # half a minute before clocks in Berlin go from two to three


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("UTC", "2026-03-29 00:59 UTC"),
        ("Europe/Berlin", "2026-03-29 01:59 CET"),
        ("America/New_York", "2026-03-28 20:59 EDT"),
        ("Asia/Kathmandu", "2026-03-29 06:44 UTC+0545"),
        ("America/Sao_Paulo", "2026-03-28 21:59 UTC-03"),
    ],
)
def test_an_exact_time_names_its_zone(zone: str, words: str) -> None:
    with timezone.override(ZoneInfo(zone)):
        assert times.exact(AT) == words


def test_summer_begins_between_two_minutes() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        assert times.exact(AT + timedelta(seconds=30), seconds=True) == "2026-03-29 03:00:00 CEST"


def test_a_brief_time_is_as_short_as_it_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 23, 22, 0, tzinfo=UTC))
    said = [datetime(2026, 11, 23, 12, 4, tzinfo=UTC), datetime(2026, 11, 22, 23, 30, tzinfo=UTC), AT]
    assert [times.brief(at) for at in said] == ["12:04", "22 Nov 23:30", "29 Mar 00:59"]
    assert times.brief(datetime(2025, 10, 31, 12, tzinfo=UTC)) == "31 Oct 2025"
    assert times.brief(datetime(2027, 1, 2, 12, tzinfo=UTC)) == "2 Jan 2027"
    with timezone.override(ZoneInfo("Europe/Berlin")):  # where it is 23 November already
        assert times.brief(said[1]) == "00:30"


@pytest.mark.parametrize(
    "name", ["", "Berlin", "../../etc/passwd", "/etc/localtime", "America", "Europe/Berlin\0", "x" * 65, "Ünicode/Zone"]
)
def test_what_is_no_zone_is_none(name: str) -> None:
    assert times.zone_named(name) is None


def test_a_page_shows_the_exact_time_beside_the_relative_one() -> None:
    at = timezone.now() - timedelta(hours=3)
    with timezone.override(ZoneInfo("Asia/Tokyo")):
        html = Template("{% load ui %}{% when at %}").render(Context({"at": at}))
        local = timezone.localtime(at)
        assert f'title="{local:%Y-%m-%d %H:%M:%S} JST" time-zone="Asia/Tokyo"' in html
        assert ">3\xa0hours ago</relative-time>" in html
        assert f'<span class="exact">{times.brief(at)}</span>' in html
        later = Template("{% load ui %}{% when at %}").render(Context({"at": at + timedelta(hours=5, minutes=1)}))
    assert ">in 2\xa0hours</relative-time>" in later


def test_the_date_of_long_ago_is_not_shown_twice() -> None:
    """The element turns into a date after a month, unless it is told otherwise."""
    both, alone = (
        Template(f'{{% load ui %}}{{% when at form="{form}" %}}').render(Context({"at": timezone.now()}))
        for form in ("both", "relative")
    )
    assert 'threshold="P99Y"' in both
    assert "threshold" not in alone


def test_around_new_year_the_time_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 12, 31, 22, 0, tzinfo=UTC))
    assert times.brief(datetime(2027, 1, 1, 0, 10, tzinfo=UTC)) == "1 Jan 00:10"


def test_how_far_away_a_moment_is_is_said_in_the_words_of_django() -> None:
    now = datetime(2026, 3, 29, 3, 30, 15, 200_000, tzinfo=UTC)
    whole = (0, 1, 59, 60, 61, 3599, 3600, 7199, 7200, 86_399, 86_400, 172_800, 604_799, 604_800, 1_209_600, 2_419_199)
    for seconds in (*whole, 0.5, 59.9, 2_419_200, 2_600_000, 31_536_000, 70_000_000):
        past, future = now - timedelta(seconds=seconds), now + timedelta(seconds=seconds)
        assert times.away(past, now) == f"{timesince(past, now, depth=1)} ago"
        if seconds:
            assert times.away(future, now) == f"in {timeuntil(future, now, depth=1)}"
