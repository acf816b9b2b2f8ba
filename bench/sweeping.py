"""Rows: what a sweep and a pull add to fetching and parsing the same pages, from an MLflow that answers from memory;
what a sweep holds. Each sweep is in a process of its own, as in a worker that has just begun.
"""

import os
import re
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from django.db import connections

from bench.report import Row, medians
from bench.stub_mlflow import StubMlflow
from mirror import sync
from mirror.mlflow.client import MlflowRegistry
from mirror.models import MirrorState, ModelVersion

EACH = 50
CHANGED = 101
HELD_MB, HELD_KB_A_VERSION = 100, 0.15
ROUNDS = 3


def rows(*, versions: int, rounds: int = ROUNDS) -> Iterator[Row]:
    with StubMlflow(models=versions // EACH, versions_each=EACH) as stub:
        measured("fetch", stub.url)  # the stub keeps the pages that it has made
        first = measured("sweep", stub.url)
        found = [(measured("fetch", stub.url), measured("sweep", stub.url)) for _ in range(rounds)]
        limit, again = (min(each, key=lambda one: one["seconds"]) for each in zip(*found, strict=True))
        note = f"{first['processor']:.1f} s of its processor, {limit['processor']:.1f} s of the limit's."
        yield _row(f"first sweep of {versions:,} versions, from memory", first, limit, bar=6.0, note=note)
        note = f"{again['processor']:.1f} s of its processor, {limit['processor']:.1f} s of the limit's."
        yield _row("  the same again, nothing changed", again, limit, bar=1.3, note=note)
        most = HELD_MB + HELD_KB_A_VERSION * versions / 1000
        note = f"Beyond the {again['before_mb']:.0f} MB of the process. Fetching alone: {limit['held_mb']:.0f} MB."
        yield Row("  what that sweep holds", again["held_mb"], most, bar=1.0, unit="MB", note=note)
        yield _many_changes(stub, min(CHANGED, versions // EACH))


def _row(name: str, measured: dict[str, float], limit: dict[str, float], *, bar: float, note: str) -> Row:
    return Row(name, measured["seconds"] * 1000, limit["seconds"] * 1000, bar=bar, note=note)


def _many_changes(stub: StubMlflow, count: int) -> Row:
    registry = MlflowRegistry(stub.url, timeout_seconds=300)
    seen: list[int] = []

    def ask() -> None:
        for size in (100, 1_000) if count > 100 else (100,):
            next(iter(registry.versions(page_size=size)))
        for index in range(count):
            registry.model(f"model_{index:05}")

    def pull() -> None:
        _forget(count)
        seen.append(sync.pull(registry).changed)

    stub.change(count)
    asked, pulled = medians(ask, pull, rounds=3)
    fault = "" if set(seen) == {count} else f"It saw {seen} changes."
    note = "Limit: the same two searches, and each model by name."
    return Row(f"pull with {count} changes", pulled, asked, bar=2.0, note=note, fault=fault)


def _forget(count: int) -> None:
    """As if the changes had not been pulled."""
    changed = ModelVersion.objects.filter(number=1, model__name__lt=f"model_{count:05}")
    changed.update(description="")
    newest = ModelVersion.objects.exclude(pk__in=changed.values("pk")).order_by("-last_updated_at").first()
    assert newest is not None
    MirrorState.objects.record(cursor=int(newest.last_updated_at.timestamp() * 1000))


# --- One measurement, in its own process


def measured(what: str, url: str) -> dict[str, float]:
    """`seconds` on the clock, `processor` seconds of the process, `held_mb` at its peak beyond `before_mb`."""
    connections.close_all()
    with get_context("fork").Pool(1) as pool:
        return pool.apply(_measured, [what, url])


def _measured(what: str, url: str) -> dict[str, float]:
    registry: Any = MlflowRegistry(url, timeout_seconds=300)
    registry.ping()
    MirrorState.objects.current()
    before = _memory("VmRSS")
    started, processor = time.perf_counter(), time.process_time()
    if what == "fetch":
        for pages in (registry.models(), registry.versions(by_name=True)):
            for _ in pages:
                pass
    else:
        sync.sweep(registry)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    peak = _memory("VmHWM")
    return {"seconds": seconds, "processor": processor, "before_mb": before, "held_mb": peak - before}


def _memory(what: str) -> float:
    """Megabytes."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{os.getpid()}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0
