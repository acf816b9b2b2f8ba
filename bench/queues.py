"""Rows: how late everything else gets while a slow MLflow has 200 deliveries queued, on one real worker with beat.

The limit of each row is the period of what it measures. MLflow takes a fifth of a second more for each answer, so that
the queue is still long when the measurement ends.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.models import User
from approvals import workflow
from approvals.models import Kind, Notification, OutboxEntry, Target, WatchState
from bench.delivery import _approve, _people, _requested, _wait, _without_files
from bench.report import Row
from mirror import sync
from mirror.mlflow.client import MlflowRegistry
from mirror.models import MirrorState, ModelVersion
from registry_ui.demo.installation import Installation
from registry_ui.demo.processes import Process, Supervisor
from tests.support.slow_registry import SlowRegistry

ANSWER_SECONDS = 0.2
EVERY = 0.05
"""Seconds between two looks at what the worker has done."""

SOMETHING_EVERY = 7
"""Seconds until the next mail is owed and the next request is to be checked."""

LEFT_FOR_THE_LAST = 20

People = tuple[User, User, User]


def rows(
    url: str,
    place: Installation,
    supervisor: Supervisor,
    *,
    queued: int = 200,
    seconds: float = 60,
    options: Sequence[str] = (),
) -> Iterator[Row]:
    people = _people()
    with SlowRegistry(url, seconds=ANSWER_SECONDS) as slow:
        sync.sweep(
            MlflowRegistry(slow.url, timeout_seconds=60)
        )  # by the address that the worker has: it knows it again
        _without_files()
        fresh = iter(ModelVersion.objects.select_related("model").filter(stage="None", number=1).order_by("pk"))
        with transaction.atomic():  # each sends its hint when all are written, and nobody reads them yet
            for _ in range(queued):
                _approve(_requested(next(fresh), people), people)
        yield from measured(place, supervisor, slow.url, fresh, people, seconds=seconds, options=options)


def measured(
    place: Installation,
    supervisor: Supervisor,
    mlflow: str,
    fresh: Iterator[ModelVersion],
    people: People,
    *,
    seconds: float,
    options: Sequence[str] = (),
) -> Iterator[Row]:
    """Starts worker and beat as the demo does, the worker with `options`, and looks at them for `seconds`."""
    worker = _in_this_environment(place.worker(), mlflow, options)
    beat = _in_this_environment(place.beat(), mlflow)
    runs = {
        "mirror: pull": (lambda: MirrorState.objects.current().pulled_at, settings.PULL_SECONDS),
        "watch: look over the registry": (_looked_at, settings.DRAIN_SECONDS),
    }
    supervisor.start(worker)
    supervisor.start(beat)
    _wait(lambda: all(look() is not None for look, _ in runs.values()), seconds=120)
    _wait(lambda: OutboxEntry.objects.open().exclude(claimed_by="").exists(), seconds=30)
    clocks = {name: _Clock(look) for name, (look, _) in runs.items()}
    asked: list[Any] = []
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        for clock in clocks.values():
            clock.look()
        if len(asked) * SOMETHING_EVERY <= passed <= seconds - LEFT_FOR_THE_LAST:
            asked.append(_checking(next(fresh), people))
            _notify(len(asked))
        time.sleep(EVERY)
    left = OutboxEntry.objects.open().count()
    supervisor.stop(beat)
    supervisor.stop(worker)
    if not left:
        raise RuntimeError("The deliveries were over before the measurement was.")
    note = f"{left} deliveries were still waiting at the end."
    for name, (_, period) in runs.items():
        yield _row(name, clocks[name].longest, period, note)
    told = Notification.objects.filter(key__startswith="bench/")
    if told.filter(sent_at=None).exists():
        raise RuntimeError("A mail was not sent at all.")
    waited = max((each.sent_at - each.due_at).total_seconds() for each in told if each.sent_at)
    yield _row("mail: from due to sent", waited, settings.DRAIN_SECONDS, f"{len(told)} mails.")
    concluded = [(request, request.assessment) for request in asked]
    for _, assessment in concluded:
        assessment.refresh_from_db()
    if any(assessment.concluded_at is None for _, assessment in concluded):
        raise RuntimeError("A request was not checked at all.")
    waited = max((assessment.concluded_at - request.created_at).total_seconds() for request, assessment in concluded)
    yield _row("files: from asked to checked", waited, settings.DRAIN_SECONDS, f"{len(asked)} requests.")


def _row(name: str, longest: float, period: float, note: str) -> Row:
    """`longest` seconds between two runs, of which one period is as it should be."""
    return Row(
        f"late under queued deliveries, {name}",
        max(longest - period, 0),
        period,
        bar=3,
        note=f"At most {longest:.1f} s. {note}",
        unit="s",
    )


class _Clock:
    """The longest time in which `read` did not change."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read, self._last, self._since, self._longest = read, read(), time.monotonic(), 0.0

    def look(self) -> None:
        if (found := self._read()) != self._last:
            self._longest, self._last, self._since = self.longest, found, time.monotonic()

    @property
    def longest(self) -> float:
        return max(self._longest, time.monotonic() - self._since)


def _looked_at() -> Any:
    return WatchState.objects.values_list("looked_at", flat=True).first()


def _checking(version: ModelVersion, people: People) -> Any:
    return workflow.request_promotion(
        version, Target.objects.get(name="Production"), by=people[0], justification="Bench."
    )


def _notify(number: int) -> None:
    """To somebody new each time: several mails to one person are bundled."""
    from tests.support.factories import make_person

    person = make_person(f"Reader{number} Bench", "reviewer", password=None)
    Notification.objects.create(key=f"bench/{number}", recipient=person, kind=Kind.COMMENTED, title="Bench")


def _in_this_environment(process: Process, mlflow: str, options: Sequence[str] = ()) -> Process:
    # An MLflow as slow as this one would be pulled more seldom: here the worker's lateness counts.
    pulls = {"COUNTERSIGN_PULL_SECONDS_MOST": str(settings.PULL_SECONDS)}
    environment = os.environ | {"MLFLOW_TRACKING_URI": mlflow} | pulls
    return replace(process, environment=environment, command=[*process.command, *options])
