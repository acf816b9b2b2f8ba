"""When a freeze is on: windows that join, weeks on local clocks, hours that clocks skip and repeat. No database."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import freezes
from approvals.policy.freezes import Once, Weekly, Window, frozen_until, is_endless, next_freeze, problems_of


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def once(name: str, start: str, end: str) -> Window:
    return Window(name, Once(at(start), at(end)))


def weekly(name: str, *terms: object, zone: str = "UTC") -> Window:
    return Window(name, Weekly(*terms, zone))  # type: ignore[arg-type]


FRIDAY, SATURDAY, SUNDAY, MONDAY = 4, 5, 6, 0
WEEKEND = weekly("Weekend", FRIDAY, time(16), MONDAY, time(8), zone="Europe/Berlin")


def until(windows: list[Window], now: str) -> tuple[str, str] | None:
    found = frozen_until(windows, at(now))
    return (found.window.name, f"{found.until:%Y-%m-%d %H:%M}") if found else None


def test_a_window_is_on_from_its_beginning_and_free_at_its_end() -> None:
    christmas = [once("Christmas", "2026-12-20", "2027-01-04")]
    assert until(christmas, "2026-12-19T23:59:59") is None
    assert until(christmas, "2026-12-20") == ("Christmas", "2027-01-04 00:00")
    assert until(christmas, "2027-01-03T23:59:59") == ("Christmas", "2027-01-04 00:00")
    assert until(christmas, "2027-01-04") is None
    assert until([], "2026-12-20") is None


def test_windows_that_overlap_or_touch_count_as_one() -> None:
    windows = [
        once("First", "2026-12-01", "2026-12-05"),
        once("Overlaps", "2026-12-04", "2026-12-08"),
        once("Touches", "2026-12-08", "2026-12-09T12:00"),
        once("Out of sync", "2026-12-10", "2026-12-11"),
    ]
    assert until(windows, "2026-12-02") == ("First", "2026-12-09 12:00")
    assert until(windows, "2026-12-04T12:00") == ("Overlaps", "2026-12-09 12:00")
    assert until(windows, "2026-12-09T13:00") is None


def test_a_week_counts_on_the_clocks_of_its_place() -> None:
    # Berlin is an hour ahead of UTC in winter and two in summer.
    assert until([WEEKEND], "2026-11-27T14:59") is None
    assert until([WEEKEND], "2026-11-27T15:00") == ("Weekend", "2026-11-30 07:00")
    assert until([WEEKEND], "2026-07-03T14:00") == ("Weekend", "2026-07-06 06:00")
    assert until([WEEKEND], "2026-07-06T06:00") is None


@pytest.mark.parametrize(
    ("changed_on", "friday", "monday"),
    [
        ("spring", "2026-03-27T15:00", "2026-03-30 06:00"),
        ("autumn", "2026-10-23T14:00", "2026-10-26 07:00"),
    ],
)
def test_a_weekend_in_which_the_clocks_change_keeps_its_local_hours(changed_on: str, friday: str, monday: str) -> None:
    assert until([WEEKEND], friday) == ("Weekend", monday)
    before = (at(friday) - timedelta(minutes=1)).isoformat().removesuffix("+00:00")
    assert until([WEEKEND], before) is None


def test_an_hour_that_clocks_skip_or_repeat_is_frozen_rather_than_not() -> None:
    # On 2026-03-29 02:30 does not exist in Berlin; on 2026-10-25 it comes twice, at 00:30 and at 01:30 UTC.
    night = [weekly("Night", SUNDAY, time(2, 30), SUNDAY, time(2, 45), zone="Europe/Berlin")]
    assert until(night, "2026-03-29T00:30") == ("Night", "2026-03-29 01:45")
    assert until(night, "2026-10-25T00:30") == ("Night", "2026-10-25 01:45")
    assert until(night, "2026-10-25T00:29") is None


def test_a_week_may_wrap_round_within_a_day() -> None:
    nearly_always = weekly("Nearly always", MONDAY, time(12), MONDAY, time(11))
    assert until([nearly_always], "2026-11-23T11:30") is None  # a Monday
    assert until([nearly_always], "2026-11-23T10:59") == ("Nearly always", "2026-11-23 11:00")
    assert until([nearly_always], "2026-11-29T00:00") == ("Nearly always", "2026-11-30 11:00")


def test_a_once_window_that_meets_a_weekend_is_held_until_the_later_end() -> None:
    release = once("Release week", "2026-11-23", "2026-11-27T16:00")
    assert until([release, WEEKEND], "2026-11-24") == ("Release week", "2026-11-30 07:00")


def test_windows_that_cover_the_whole_week_together_are_endless() -> None:
    work = weekly("Work", MONDAY, time(8), FRIDAY, time(16), zone="Europe/Berlin")
    assert is_endless([work, WEEKEND], at("2026-11-24"))
    assert not is_endless([work], at("2026-11-24"))
    assert not is_endless([WEEKEND], at("2026-11-24"))


def test_the_next_freeze_is_told_before_it_begins() -> None:
    soon = next_freeze([WEEKEND], at("2026-11-26"), within=timedelta(days=3))
    assert soon is not None
    assert (f"{soon.since:%m-%d %H:%M}", f"{soon.until:%m-%d %H:%M}") == ("11-27 15:00", "11-30 07:00")
    assert next_freeze([WEEKEND], at("2026-11-24"), within=timedelta(days=3)) is None


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        (Once(at("2026-12-02"), at("2026-12-01")), "A freeze must end after it begins."),
        (Once(at("2026-12-02"), at("2026-12-02")), "A freeze must end after it begins."),
        (Once(at("2026-12-02"), at("2028-12-02")), "A freeze lasts a year at most."),
        (Weekly(0, time(8), 0, time(8), "UTC"), "covers the whole week, so nothing could ever be delivered"),
        (Weekly(0, time(8), 1, time(8), "Europe/Atlantis"), "no time zone called 'Europe/Atlantis'"),
        (Weekly(0, time(8), 7, time(8), "UTC"), "one of Monday to Sunday"),
    ],
)
def test_a_window_that_makes_no_sense_is_told_why(when: Once | Weekly, problem: str) -> None:
    assert problem in " ".join(problems_of(when))


def test_sensible_windows_have_no_problems() -> None:
    assert problems_of(WEEKEND.when) == []
    assert problems_of(Once(at("2026-12-01"), at("2026-12-02"))) == []


MOMENTS = st.integers(int(at("2025-01-01").timestamp()), int(at("2027-12-31").timestamp())).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
DAYS, TIMES = st.integers(0, 6), st.times().map(lambda found: found.replace(second=0, microsecond=0))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(st.lists(st.builds(Weekly, DAYS, TIMES, DAYS, TIMES, ZONES), max_size=4), MOMENTS)
def test_the_end_of_a_freeze_is_free_and_every_moment_before_it_is_not(whens: list[Weekly], now: datetime) -> None:
    windows = [Window(f"w{index}", when) for index, when in enumerate(whens)]
    found = frozen_until(windows, now)
    if found is None or found.until - now >= freezes.HORIZON:
        return
    assert found.until > now
    assert frozen_until(windows, found.until) is None
    step = (found.until - now) / 7
    for index in range(7):
        inside = frozen_until(windows, now + index * step)
        assert inside is not None
        assert inside.until == found.until
