"""Rows: deliveries a second with a registry that answers at once, on one worker process and on two, and what the beat's
tasks cost while there is nothing to do.

A worker is a process with the threads of the lane of deliveries, each draining the outbox as the task does; the broker
is left out. The registry is in memory, so all that is measured is the product's own time and the database's.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import connection, connections
from django.utils import timezone

import approvals.tasks
import mirror.tasks
from accounts.models import User
from approvals import assessment, delivery, watch, workflow
from approvals.models import OutboxEntry, PromotionRequest, Status, Target, Tenure
from bench.report import Row
from mirror import identity, sync
from mirror.models import MirrorState, ModelVersion
from registry_ui import lanes
from registry_ui.celery import app
from tests.support.factories import make_person
from tests.support.fakes import FakeRegistry

DELIVERIES, ROUNDS = 60, 5
LEAST = {1: 50, 2: 90}
"""Deliveries a second on so many processes."""

MOST = 2.0
"""Per cent of its interval that a task may take, client and server together."""

OF_THE_MIRROR = ("mirror.pull", "mirror.sweep")
"""They cost what MLflow's answers cost: part mirror."""


def rows(*, deliveries: int = DELIVERIES, rounds: int = ROUNDS) -> Iterator[Row]:
    """On PostgreSQL, in a database that may be changed, with or without something in it."""
    registry = FakeRegistry()
    MirrorState.objects.update(registry={}, refused={}, missing={}, halt="")
    # Nothing is to be read again: this registry has none of these runs.
    asked = PromotionRequest.objects.open().values_list("version_id", "champion_id")
    ModelVersion.objects.filter(pk__in={pk for pair in asked for pk in pair} - {None}).update(facts_at=timezone.now())
    _known(registry)
    yield _idle(registry, rounds)
    yield from _deliveries(registry, deliveries)


def _known(registry: FakeRegistry) -> None:
    """The registry in memory is the one that is mirrored, whatever the database was filled from."""
    registry.key = "bench"
    asked = registry.identity()
    MirrorState.objects.record(
        registry={"key": asked.key, "born_at": asked.born_at, "addresses": [asked.address]}, swept_at=timezone.now()
    )
    identity.confirm(registry)


# --- Nothing to do ----------------------------------------------------------------------------------------------------


def _idle(registry: FakeRegistry, rounds: int) -> Row:
    for module, name in ((approvals.tasks, "_registry"), (mirror.tasks, "connect")):
        setattr(module, name, lambda: registry)
    app.loader.import_default_modules()
    Tenure.objects.open().update(files_checked_at=timezone.now())
    shares: dict[str, float] = {}
    for task, planned in settings.CELERY_BEAT_SCHEDULE.items():
        if task in OF_THE_MIRROR:
            continue
        for _ in range(2):  # what there is to do is done
            app.tasks[task].run()
        took = _processor(app.tasks[task].run, rounds)
        shares[task] = took / planned["schedule"] * 100
    dearest = sorted(shares, key=shares.__getitem__, reverse=True)
    waiting = PromotionRequest.objects.filter(status=Status.PENDING).count()
    return Row(
        "the dearest periodic task with nothing to do, of its interval",
        shares[dearest[0]],
        MOST,
        bar=1.0,
        unit="%",
        note=f"{waiting} wait, {Tenure.objects.open().count():,} hold a place; "
        + ", ".join(f"{task} {shares[task]:.2f} %" for task in dearest[:5]),
    )


def _processor(call: Callable[[], object], rounds: int) -> float:
    """Seconds of processor of one call, here and in the database's own process where that is on this machine."""
    theirs, ours = _server(), time.process_time()
    for _ in range(rounds):
        call()
    return (time.process_time() - ours + _server() - theirs) / rounds


def _server() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100
    return 0.0


# --- Deliveries -------------------------------------------------------------------------------------------------------


def _deliveries(registry: FakeRegistry, count: int) -> Iterator[Row]:
    people = [
        User.objects.get(pk=make_person(f"{name}-{time.time_ns()} ", role, password=None).pk)
        for name, role in (("Worker", "requester"), ("Worker-One", "reviewer"), ("Worker-Two", "reviewer"))
    ]
    for processes, least in LEAST.items():
        _approved(registry, people, f"worker_{time.time_ns()}", count)
        took = _drained(registry, processes)
        done = OutboxEntry.objects.open().count()
        yield Row(
            f"deliveries a second, instant registry, {processes} worker{'s' if processes > 1 else ''}",
            count / took,
            least,
            bar=1.0,
            at_least=True,
            unit="/s",
            note=f"{count} deliveries, {took / count * 1000:.1f} ms each.",
            fault=f"{done} were not delivered." if done else "",
        )


def _approved(registry: FakeRegistry, people: list[User], name: str, count: int) -> None:
    """So many requests of as many models, approved and due."""
    names = [f"{name}_{index}" for index in range(count)]
    for each in names:
        for auc in (0.91, 0.92):
            run_id = registry.log_run({"auc_roc": auc, "loss": 0.1}, {"max_depth": "8"})
            registry.create_version(each, run_id=run_id, description="Trained.")
        registry.set_stage(each, 1, "Production", archive_existing=False)
        registry.set_alias(each, "champion", 1)
        sync.refresh_model(registry, each)
    watch.look(registry)
    target = Target.objects.get(name="Production")
    for version in ModelVersion.objects.filter(model__name__in=names, number=2).select_related("model"):
        request = workflow.request_promotion(version, target, by=people[0], justification="Bench.")
        assessment.assess(request.pk, registry)
        for person in people[1:]:
            workflow.review(request, by=person, verdict="approve")


def _drained(registry: FakeRegistry, processes: int) -> float:
    """Seconds until so many workers have delivered all that is due."""
    forking = multiprocessing.get_context("fork")
    connections.close_all()
    ready = forking.Barrier(processes + 1)
    workers = [forking.Process(target=_work, args=(registry, ready)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    ready.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - started


def _work(registry: FakeRegistry, ready: "multiprocessing.synchronize.Barrier") -> None:
    threads = lanes.OF_TASK["approvals.drain"].threads
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: connection.ensure_connection(), range(threads)))
        ready.wait()
        list(pool.map(lambda _: delivery.drain(registry), range(threads)))
