"""Rows: full mirror, pull when nothing changed, and what both cost a real MLflow."""

import os
from collections.abc import Iterator
from pathlib import Path

from bench.report import Row, medians, milliseconds
from mirror import pace, sync
from mirror.mlflow.client import MlflowRegistry
from mirror.models import MirrorState, ModelVersion

PULLS = 10
MOST_PERCENT = 15


def rows(url: str, *, versions: int) -> Iterator[Row]:
    registry = MlflowRegistry(url, timeout_seconds=300)

    def throw_away() -> None:
        for pages in (registry.models(), registry.versions()):
            for _ in pages:
                pass

    throw_away()  # warm: the server's page cache
    fetch = milliseconds(throw_away)
    mirror = milliseconds(lambda: sync.sweep(registry))
    fetch = (fetch + milliseconds(throw_away)) / 2
    found = ModelVersion.objects.count()
    if found != versions:
        raise RuntimeError(f"{found} versions were mirrored, not {versions}.")
    yield Row(f"full mirror of {versions:,} versions, empty database", mirror, fetch, bar=1.1)
    swept, again = _processor(url), milliseconds(lambda: sync.sweep(registry))
    swept = _processor(url) - swept
    yield Row("  the same again, nothing changed", again, fetch, bar=1.1)

    def search() -> None:
        next(iter(registry.versions(page_size=100)))

    sync.pull(registry)
    searched, pulled = medians(search, lambda: sync.pull(registry), rounds=15)
    yield Row("pull when nothing changed", pulled, searched, bar=1.1, note="Limit: the one search request.")
    pulling = _processor(url)
    for _ in range(PULLS):
        sync.pull(registry)
    yield _share(swept, (_processor(url) - pulling) / PULLS)


def _share(swept: float, pulled: float) -> Row:
    """Of one sweep and one pull, in seconds of MLflow's processor, at the intervals that they were kept to."""
    state = MirrorState.objects.current()
    pulls, sweeps = pace.pull_every(state), pace.sweep_every(state)
    share = 100 * (pulled / pulls + swept / sweeps)
    note = f"A pull, {pulled:.2f} s, every {pulls} s; a sweep, {swept:.1f} s, every {sweeps} s."
    return Row("share of MLflow's processor that both take", share, MOST_PERCENT, bar=1.0, unit="%", note=note)


def _processor(url: str) -> float:
    """Seconds that the processes of the server at this address have used so far: those with its port in their command
    line, and their children."""
    port, found, parents = url.rpartition(":")[2], dict[int, float](), dict[int, int]()
    ours = set[int]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:  # it has ended
            continue
        pid = int(folder.name)
        found[pid], parents[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[1])
        if any(word.removeprefix("--port=") == port for word in words):
            ours.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in ours and pid not in ours}:
        ours |= more
    return sum(found[pid] for pid in ours)
