"""Rows: one promotion from the approval to MLflow, and 200 queued at once, through Redis and a real worker.

The limit is the very calls that a delivery makes, recorded and sent again one after another without Countersign.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.models import User
from approvals import delivery, workflow
from approvals.models import OutboxEntry, Policy, PromotionRequest, Status, Target
from bench.report import Row, milliseconds, percent
from mirror import sync
from mirror.mlflow.client import MlflowRegistry
from mirror.models import ModelVersion

SINGLE, QUEUED = 30, 200
Call = Callable[[], object]


class Recorder:
    """Notes every call that is made on the registry, so that it can be made again."""

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry, self.calls = registry, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._registry, name)
        if not callable(method):
            return method  # such as the name of the workspace

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self.calls.append((name, args, kwargs))
            return list(result) if name == "versions" else result

        return call


def rows(url: str, folder: Path, *, single: int = SINGLE, queued: int = QUEUED) -> Iterator[Row]:
    registry = MlflowRegistry(url, timeout_seconds=60)
    people = _people()
    sync.sweep(registry)
    versions = list(
        ModelVersion.objects.select_related("model").filter(stage="None").order_by("model__name", "-number")
    )
    fresh = iter({version.model_id: version for version in versions}.values())

    _without_files()
    recorder: Any = Recorder(registry)
    request = _requested(next(fresh), people)
    _approve(request, people)
    if delivery.deliver(request.outbox_entries.get().pk, recorder) != "applied":
        raise RuntimeError("The delivery to be recorded did not work out.")
    recorded = list(recorder.calls)

    raw: list[float] = []
    ours: list[float] = []
    with worker(folder) as running:
        _deliver_one(_checked_by_worker(next(fresh), people), people)  # warm
        for _ in range(single):
            request = _checked_by_worker(next(fresh), people)
            raw.append(milliseconds(lambda: _send(registry, recorded)))
            ours.append(_deliver_one(request, people))
        took, raw_all = _all_at_once(running, registry, recorded, [next(fresh) for _ in range(queued)], people)
    note = f"{len(recorded)} calls; 95th percentile {percent(ours, 0.95):.0f} ms against {percent(raw, 0.95):.0f} ms."
    yield Row(
        "approve → MLflow has it and we know, one promotion",
        percent(ours, 0.5),
        percent(raw, 0.5),
        extra_ms=60,
        note=note,
    )
    yield Row(
        f"{queued} promotions queued at once",
        took,
        raw_all,
        bar=1.2,
        note="From the first claim to the last settlement.",
    )


def _all_at_once(
    worker: "subprocess.Popen[bytes]",
    registry: MlflowRegistry,
    recorded: list[tuple[str, Any, Any]],
    versions: list[ModelVersion],
    people: tuple[User, User, User],
) -> tuple[float, float]:
    """Milliseconds of the worker, which sleeps until all are queued, and of the same calls without it."""
    worker.send_signal(signal.SIGSTOP)
    queue = [_requested(version, people) for version in versions]
    for request in queue:
        _approve(request, people)
    raw = milliseconds(lambda: _send(registry, recorded * len(queue)))
    worker.send_signal(signal.SIGCONT)
    first = _first_delivery_at(queue)
    _wait(lambda: not OutboxEntry.objects.open().exists(), seconds=600)
    if PromotionRequest.objects.filter(pk__in=[each.pk for each in queue], status=Status.APPLIED).count() != len(queue):
        raise RuntimeError("Not every queued promotion was applied.")
    last = OutboxEntry.objects.filter(request__in=queue).latest("closed_at").closed_at
    if last is None:
        raise RuntimeError("Nothing was delivered.")
    return (last - first).total_seconds() * 1000, raw


def _people() -> tuple[User, User, User]:
    from tests.support.factories import make_person

    found = User.objects.filter(name__startswith="Bench ").order_by("pk")
    if found.count() == 3:
        return tuple(found)
    names = (("Bench Requester", "requester"), ("Bench One", "reviewer"), ("Bench Two", "reviewer"))
    made = [make_person(f"{name.replace(' ', '-')} ", role, password=None) for name, role in names]
    return tuple(User.objects.get(pk=each.pk) for each in made)


def _requested(version: ModelVersion, people: tuple[User, User, User]) -> PromotionRequest:
    """A request that has been through its checks."""
    target = Target.objects.get(name="Production")
    request = workflow.request_promotion(version, target, by=people[0], justification="Bench.")
    workflow.conclude(request)
    return PromotionRequest.objects.with_subject().get(pk=request.pk)


def _checked_by_worker(version: ModelVersion, people: tuple[User, User, User]) -> PromotionRequest:
    """The same where a worker runs: it looks at each new request, and would do so beside us."""
    target = Target.objects.get(name="Production")
    asked = workflow.request_promotion(version, target, by=people[0], justification="Bench.")
    _wait(lambda: PromotionRequest.objects.filter(pk=asked.pk, status=Status.PENDING).exists(), seconds=60)
    return PromotionRequest.objects.with_subject().get(pk=asked.pk)


def _without_files() -> None:
    """The versions of the bench have no files; hashing has a row of its own."""
    for policy in Policy.objects.current():
        Policy.objects.filter(pk=policy.pk).update(terms=policy.terms | {"files_limit_mb": 0})


def _approve(request: PromotionRequest, people: tuple[User, User, User]) -> None:
    for person in people[1:]:
        workflow.review(request, by=person, verdict="approve")


def _send(registry: MlflowRegistry, recorded: list[tuple[str, Any, Any]]) -> None:
    for name, args, kwargs in recorded:
        result = getattr(registry, name)(*args, **kwargs)
        if name == "versions":
            list(result)


def _deliver_one(request: PromotionRequest, people: tuple[User, User, User]) -> float:
    """From before the last approval to the settlement, in milliseconds."""
    workflow.review(request, by=people[1], verdict="approve")
    started = timezone.now()
    workflow.review(request, by=people[2], verdict="approve")
    _wait(lambda: not request.outbox_entries.filter(closed_at=None).exists(), seconds=60)
    entry = request.outbox_entries.get()
    if entry.outcome != OutboxEntry.Outcome.APPLIED or entry.closed_at is None:
        raise RuntimeError(f"{request} ended as {entry.outcome}: {entry.last_error}")
    return (entry.closed_at - started).total_seconds() * 1000


def _first_delivery_at(queue: list[PromotionRequest]) -> Any:
    _wait(
        lambda: OutboxEntry.objects.filter(request__in=queue).exclude(claimed_by="").exists(), seconds=60, every=0.005
    )
    return timezone.now()


def _wait(is_done: Callable[[], bool], *, seconds: float, every: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise RuntimeError("Waited in vain.")
        time.sleep(every)


@contextmanager
def worker(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A Celery worker as docker-compose.yml starts it, without the beat; stopped at the end."""
    command = [sys.executable, "-m", "celery", "-A", "registry_ui.celery", "worker", "--loglevel", "WARNING"]
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ.copy())
        try:
            _ready()
            yield process
        finally:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # should it sleep, it hears of that only now
            process.wait(30)


def _ready() -> None:
    from celery import current_app

    _wait(lambda: bool(current_app.control.ping(timeout=0.3)), seconds=60)
