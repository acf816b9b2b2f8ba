"""Rows: full mirror, pull when nothing changed, and what both cost a real MLflow."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import people
from bench.report import Row, medians, milliseconds
from mirror import pace, sync
from mirror.mlflow.client import MlflowRegistry
from mirror.models import MirrorState, ModelVersion

ROUNDS, PULLS = 15, 10
MOST_PERCENT = 15


def rows(url: str, folder: Path, *, versions: int, rounds: int = ROUNDS, pulls: int = PULLS) -> Iterator[Row]:
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
    swept, again = _processor(folder), milliseconds(lambda: sync.sweep(registry))
    swept = _processor(folder) - swept
    yield Row("  the same again, nothing changed", again, fetch, bar=1.1)

    def search() -> None:
        next(iter(registry.versions(page_size=100)))

    sync.pull(registry)
    searched, pulled = medians(search, lambda: sync.pull(registry), rounds=rounds)
    yield Row("pull when nothing changed", pulled, searched, bar=1.1, note="Limit: the one search request.")
    pulling = _processor(folder)
    for _ in range(pulls):
        sync.pull(registry)
    yield _share(swept, (_processor(folder) - pulling) / pulls)


def _share(swept: float, pulled: float) -> Row:
    """Of one sweep and one pull, in seconds of MLflow's processor, at the intervals that they were kept to."""
    state = MirrorState.objects.current()
    pulls, sweeps = pace.pull_every(state), pace.sweep_every(state)
    share = 100 * (pulled / pulls + swept / sweeps)
    note = f"A pull, {pulled:.2f} s, every {pulls} s; a sweep, {swept:.1f} s, every {sweeps} s."
    return Row("share of MLflow's processor that both take", share, MOST_PERCENT, bar=1.0, unit="%", note=note)


def _processor(folder: Path) -> float:
    """Seconds that the processes of the server in this folder have used so far: they work in it."""
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if (process / "cwd").readlink() == folder:
                pids.append(int(process.name))
    return sum(people.seconds_of(pid) for pid in pids)
