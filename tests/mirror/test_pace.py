"""Pulls and sweeps keep below 15 % of one processor of MLflow, whatever its size, and nothing else waits for them."""

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from mirror import identity, pace, rows, sync, tasks
from mirror.models import MirrorState
from mirror.port import Unreachable, VersionSnapshot
from tests.support.fakes import FakeRegistry

pytestmark = pytest.mark.django_db


class SlowSearch(FakeRegistry):
    """Each page of versions takes `seconds`, on a clock that the test turns."""

    seconds = 0.0
    now = 0.0

    def versions(self, **kwargs: Any) -> Iterator[Sequence[VersionSnapshot]]:
        pages = super().versions(**kwargs)
        while True:
            self.now += self.seconds
            if (page := next(pages, None)) is None:
                return
            yield page


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> SlowSearch:
    settings.PULL_SECONDS, settings.SWEEP_SECONDS = 5, 600
    registry = SlowSearch()
    monkeypatch.setattr(tasks, "_registry", lambda: registry)
    registry.create_version("churn_predictor")
    sync.sweep(registry)
    monkeypatch.setattr(time, "perf_counter", lambda: registry.now)
    MirrorState.objects.record(sweep_took=[])
    return registry


def state(*, pulls: Sequence[float] = (), sweeps: Sequence[float] = ()) -> MirrorState:
    return MirrorState(pull_took=list(pulls), sweep_took=list(sweeps))


@pytest.mark.parametrize(
    ("pulls", "sweeps"), [(0.01, 2.0), (0.22, 35.0), (0.26, 61.0), (2.06, 480.0), (9.0, 2000.0), (14.9, 2150.0)]
)
def test_both_together_stay_below_15_percent_of_a_processor(settings: Settings, pulls: float, sweeps: float) -> None:
    settings.PULL_SECONDS, settings.SWEEP_SECONDS = 5, 600
    found = state(pulls=[pulls], sweeps=[sweeps])
    assert pulls / pace.pull_every(found) + sweeps / pace.sweep_every(found) <= 0.15


def test_the_settings_are_the_least_and_the_most(settings: Settings) -> None:
    settings.PULL_SECONDS, settings.PULL_SECONDS_MOST = 7, 60
    settings.SWEEP_SECONDS, settings.SWEEP_SECONDS_MOST = 900, 3600
    assert (pace.pull_every(state()), pace.sweep_every(state())) == (7, 900)
    small = state(pulls=[0.1], sweeps=[1.0])
    assert (pace.pull_every(small), pace.sweep_every(small)) == (7, 900)
    huge = state(pulls=[100.0], sweeps=[10_000.0])
    assert (pace.pull_every(huge), pace.sweep_every(huge)) == (63, 3600), "whole ticks of beat"
    settings.PULL_SECONDS_MOST = settings.SWEEP_SECONDS_MOST = 1
    assert (pace.pull_every(huge), pace.sweep_every(huge)) == (7, 900), "then nothing adapts"


def test_one_slow_answer_stalls_nothing(settings: Settings) -> None:
    settings.PULL_SECONDS = 5
    assert pace.pull_every(state(pulls=[0.1, 0.1, 14.9])) == 5
    assert pace.pull_every(state(pulls=[0.1, 14.9])) == 5
    assert pace.pull_every(state(pulls=[0.1, 0.1, 1.0, 1.1, 1.2])) == 20


def test_a_pull_of_a_slow_mlflow_is_due_later_and_asks_nothing_before(slow: SlowSearch) -> None:
    slow.seconds = 2.0
    tasks.pull()
    found = MirrorState.objects.current()
    assert (found.pull_took, pace.pull_every(found)) == ([2.0], 40)
    assert found.pulled_at is not None
    wait = (found.pull_due_at - found.pulled_at).total_seconds()
    assert wait == pytest.approx(40 - 2.5 - 2.0, abs=1), "from its beginning, half a tick of beat early"
    slow.calls.clear()
    with CaptureQueriesContext(connection) as queries:
        tasks.pull()
    assert (slow.calls, len(queries)) == ([], 1)
    MirrorState.objects.record(pull_due_at=timezone.now() - timedelta(seconds=1))
    tasks.pull()
    assert slow.count("versions") == 1


def test_a_quick_mlflow_is_pulled_at_each_tick(slow: SlowSearch) -> None:
    slow.seconds = 0.05
    slow.calls.clear()
    for _ in range(3):
        tasks.pull()
        found = MirrorState.objects.current()
        assert (found.pull_due_at - timezone.now()).total_seconds() < 2.6, "before beat comes by again"
        MirrorState.objects.record(pull_due_at=timezone.now() - timedelta(seconds=1))
    assert slow.count("versions") == 3


def test_a_sweep_that_takes_long_is_due_later_and_asks_nothing_before(slow: SlowSearch) -> None:
    slow.seconds = 100.0
    MirrorState.objects.record(sweep_due_at=None)
    tasks.sweep()
    found = MirrorState.objects.current()
    assert found.sweep_took == [pytest.approx(300.0)], "the newest, a page, and that it was the last"
    assert pace.sweep_every(found) == 3000
    slow.calls.clear()
    with CaptureQueriesContext(connection) as queries:
        tasks.sweep()
    assert (slow.calls, len(queries)) == ([], 1)


def test_what_is_read_once_and_for_all_does_not_make_sweeps_rarer(
    slow: SlowSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs(wanted: Any) -> dict[str, Any]:
        slow.now += 3600.0
        return {}

    slow.create_version("churn_predictor", run_id=slow.log_run({"auc": 0.9}))
    monkeypatch.setattr(slow, "runs", runs)
    sync.sweep(slow)
    assert MirrorState.objects.current().sweep_took == [0.0]


def test_a_failure_says_nothing_of_how_long_mlflow_takes(slow: SlowSearch) -> None:
    slow.seconds = 15.0
    slow.fail_next("versions", times=2)
    assert sync.pull(slow).error
    found = MirrorState.objects.current()
    assert (found.pull_took, pace.pull_every(found)) == ([], 5)
    MirrorState.objects.record(sweep_due_at=None)
    with pytest.raises(Unreachable):
        sync.sweep(slow)
    found = MirrorState.objects.current()
    assert found.sweep_took == []
    assert (found.sweep_due_at - timezone.now()).total_seconds() > 500, "it is not tried again at once all the same"


def test_a_sweep_that_failed_at_once_is_tried_again_as_soon_as_a_short_one_is(slow: SlowSearch) -> None:
    MirrorState.objects.record(sweep_took=[1800.0], sweep_due_at=None)
    assert pace.sweep_every(MirrorState.objects.current()) == 18_000
    slow.fail_next("versions")
    with pytest.raises(Unreachable):
        sync.sweep(slow)
    assert 500 < (MirrorState.objects.current().sweep_due_at - timezone.now()).total_seconds() < 600


def test_a_sweep_that_fails_for_a_reason_of_ours_is_not_tried_again_at_each_tick(
    slow: SlowSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "known_models", lambda: {}["nothing"])
    MirrorState.objects.record(sweep_due_at=None)
    with pytest.raises(KeyError):
        tasks.sweep()
    found = MirrorState.objects.current()
    assert (found.sweep_due_at - timezone.now()).total_seconds() > 500
    assert (found.sweep_failing_since, found.sweeping_until) == (None, None), "MLflow did nothing wrong"


def test_hints_and_commands_do_not_wait(slow: SlowSearch) -> None:
    slow.seconds = 2.0
    tasks.pull()
    slow.set_alias("churn_predictor", "champion", 1)
    sync.hint("churn_predictor")
    assert sync.follow_hints(slow) == 1
    sync.sweep(slow)
    assert sync.pull(slow).error == ""


def test_what_a_person_confirms_is_looked_at_by_the_next_tick(slow: SlowSearch) -> None:
    later = timezone.now() + timedelta(hours=1)
    MirrorState.objects.record(missing={"models": 30}, sweep_due_at=later)
    sync.confirm_missing()
    assert MirrorState.objects.current().sweep_due_at is None
    MirrorState.objects.record(pull_took=[3.0], sweep_took=[900.0], sweep_due_at=later, pull_due_at=later)
    identity.accept({"key": "another", "born_at": None, "address": "fake://new"})
    found = MirrorState.objects.current()
    assert (found.pull_took, found.sweep_took, found.pull_due_at, found.sweep_due_at) == ([], [], None, None)


def test_the_mirror_of_a_slow_mlflow_is_stale_when_three_pulls_are_missing(settings: Settings) -> None:
    settings.STALE_AFTER_SECONDS, settings.PULL_SECONDS, settings.SWEEP_SECONDS = 60, 5, 600
    assert (pace.stale_after(state()), pace.sweep_late_after(state())) == (60, 1800)
    found = state(pulls=[2.0], sweeps=[480.0])
    assert (pace.stale_after(found), pace.sweep_late_after(found)) == (120, 14_400)


def test_what_is_known_of_the_mirror_is_what_the_table_says() -> None:
    assert (MirrorState.objects.current().pk, MirrorState.objects.count()) == (1, 0)
    MirrorState.objects.record(
        swept_at=timezone.now(), error="silent", clocks={"web": "1"}, missing=["a"], pull_took=0.5
    )
    known, wanted = MirrorState.objects.current(), MirrorState.objects.get(pk=1)
    fields = [field.attname for field in MirrorState._meta.concrete_fields]
    assert {name: getattr(known, name) for name in fields} == {name: getattr(wanted, name) for name in fields}
    assert not known._state.adding
