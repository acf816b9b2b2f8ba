"""Rows: what is appended to the ledger, one by one and at once, by one writer and by eight; what waits meanwhile; and
what reads these events afterwards.

The history is made by the product: the first look at a registry in which each model has a version in Production that is
its champion as well. So the rows fit their events, and verification with references can be measured.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from approvals import ledger, notifications, tenures, watch
from approvals.ledger import references
from approvals.models import Action
from bench.ledger import Backends
from bench.parts import POSTGRESQL, Run
from bench.report import Row, milliseconds, percent
from mirror.models import Alias, MirrorState, ModelVersion, RegisteredModel

MODELS = 20_000
MODELS_ON_SQLITE = 2_000
EACH_MS = 2.0
"""40 seconds for 20,000 models."""

APPENDED = 400
WRITERS = 8


def rows(run: Run) -> Iterator[Row]:
    count = 100 if run.is_small else MODELS if run.vendor == POSTGRESQL else MODELS_ON_SQLITE
    _fill(count)
    notifications.collect()  # it begins with what is recorded from here on
    yield from _first_look(count)
    yield _collected()
    yield from _verified()
    yield from _appended(40 if run.is_small else APPENDED)


def _fill(count: int) -> None:
    now = timezone.now()
    before = now - timedelta(days=1)
    names = (f"model_{number:05}" for number in range(count))
    models = RegisteredModel.objects.bulk_create(
        (RegisteredModel(name=name, created_at=before, last_updated_at=before, read_at=now) for name in names), 2000
    )
    held = {"number": 1, "stage": "Production", "created_at": before, "last_updated_at": before, "read_at": now}
    ModelVersion.objects.bulk_create((ModelVersion(model=model, run_id="r", **held) for model in models), 2000)
    Alias.objects.bulk_create((Alias(model=model, name="champion", number=1) for model in models), 2000)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # as autovacuum would have after a while
            cursor.execute("ANALYZE")
    MirrorState.objects.update_or_create(pk=1, defaults={"swept_at": now})


def _first_look(count: int) -> Iterator[Row]:
    """With somebody who signs now and then meanwhile: what they wait for is the head of the ledger."""
    waits: list[float] = []
    done = threading.Event()

    def sign() -> None:
        while not done.wait(0.02):
            with transaction.atomic():
                waits.append(milliseconds(tenures.hold_settlements))
        connection.close()

    signing = threading.Thread(target=sign)
    signing.start()
    wall, processor = _measured(watch.look)
    done.set()
    signing.join()
    yield Row(
        f"first look at {count:,} models, {2 * count:,} holders",
        wall,
        count * EACH_MS,
        bar=1.0,
        note=f"{processor / 1000:.1f} s of the processor, the database's included; {ledger.head().sequence:,} events.",
    )
    yield Row(
        "how long a signature waits for the ledger meanwhile, p95",
        percent(waits, 0.95),
        50.0,
        bar=1.0,
        note=f"Median {statistics.median(waits):.1f} ms, longest {max(waits):.1f} ms of {len(waits)}.",
    )


def _collected() -> Row:
    events = ledger.head().sequence

    def all_of_them() -> None:
        while notifications.collect():
            pass

    wall, processor = _measured(all_of_them)
    return Row(
        f"notifications read these {events:,} events",
        events / wall * 1000,
        5_000.0,
        bar=1.0,
        at_least=True,
        unit="a second",
        note=f"{processor / events * 1000:.0f} µs of the processor an event.",
    )


def _verified() -> Iterator[Row]:
    events = ledger.head().sequence
    fault = references.verify()
    wall, processor = _measured(references.verify)
    yield Row(
        "hold all rows against the ledger, for each event",
        wall / events * 1000,
        40.0,
        bar=1.0,
        unit="µs",
        note=f"{processor / events * 1000:.0f} µs of the processor; {wall / 1000:.1f} s in all.",
        fault=fault.problem if fault else "",
    )


def _appended(count: int) -> Iterator[Row]:
    person = User.objects.create_user(email="pat@bench.example", name="Pat Writer")

    def one() -> None:
        with transaction.atomic():
            ledger.record(Action.GROUP_CREATED, actor=person, data={"group": "bench"})

    def many(times: int) -> None:
        for _ in range(times):
            one()
        connection.close()

    one()  # from here on the person has a token
    wall, processor = _measured(lambda: [one() for _ in range(count)])
    yield Row(
        "record one event",
        processor / count,
        2.0,
        bar=1.0,
        note=f"Of the processor, the database's included; {wall / count:.1f} ms on the clock.",
    )
    with ThreadPoolExecutor(WRITERS) as pool:
        together = milliseconds(lambda: list(pool.map(many, [count // WRITERS] * WRITERS)))
    yield Row(
        f"events a second, {WRITERS} writers at once beside one alone",
        count / together * 1000,
        count / wall * 1000,
        bar=0.7,
        at_least=True,
        unit="a second",
    )


def _measured(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor, the database's included."""
    before = time.process_time()
    with Backends() as backends:
        wall = milliseconds(call)
    return wall, (time.process_time() - before + backends.seconds) * 1000
