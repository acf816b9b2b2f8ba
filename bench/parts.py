"""The parts of the benchmark, each with what it needs. A new part is a module with `rows(run)`, a line in PARTS, and
its rows in docs/benchmarks.md."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from bench.report import Row

SQLITE, POSTGRESQL = "sqlite", "postgresql"
BOTH = (SQLITE, POSTGRESQL)
NAMES = {SQLITE: "SQLite", POSTGRESQL: "PostgreSQL"}


@dataclass(frozen=True, slots=True)
class Run:
    """What a part is given. Databases are URLs; Django is set up for `database`, which is migrated."""

    part: str
    vendor: str
    database: str
    folder: Path
    """Of its own, empty."""

    empty: str = ""
    smaller: str = ""
    full: str = ""
    """Filled by `bench.filling`: an installation that has just begun, one of a fifth or a tenth, and the large one. No
    part may change them."""

    sizes: tuple[int, int, int] = (0, 0, 0)
    """Versions, requests and events of `full`."""

    smaller_sizes: tuple[int, int, int] = (0, 0, 0)
    is_small: bool = False
    is_million: bool = False
    worker: str = ""
    mlflow: str = "http://127.0.0.1:9"
    """Of a real server, for parts with `servers`."""

    place: Any = None
    supervisor: Any = None
    """registry_ui.demo's Installation and Supervisor, for parts with `servers`; Redis runs."""


@dataclass(frozen=True, slots=True)
class Part:
    rows: Callable[[Run], Iterator[Row]]
    databases: tuple[str, ...] = BOTH
    """SQLITE alone also stands for a part that asks no database anything."""

    fixture: Literal["none", "shared", "full"] = "none"
    """What `run.database` is: empty but migrated, `run.full` itself, or a copy of it that may be changed."""

    compares: bool = False
    """Whether it looks at `run.empty` and `run.smaller` too."""

    servers: bool = False
    """Whether MLflow and Redis are started for it."""

    gunicorn: bool = False
    """Whether that MLflow runs in gunicorn, as Countersign's web process does."""

    models: tuple[int, int] = (300, 6)
    """What is in that MLflow: so many models of so many versions each."""

    small_models: int = 20
    """So many instead, with --small."""

    million: bool = False
    """Whether --million runs it."""

    alone: bool = False
    """Whether nothing runs beside it, with --small neither: it measures how late others are."""

    sets_up: bool = field(default=True)
    """Whether Django is set up for it."""


def of(module: str) -> Callable[[Run], Iterator[Row]]:
    return lambda run: import_module(f"bench.{module}").rows(run)


def _mirror(run: Run) -> Iterator[Row]:
    from bench import mirror

    versions, rounds, pulls = (1_000, 2, 2) if run.is_small else (100_000, mirror.ROUNDS, mirror.PULLS)
    folder = (run.folder / "mlflow").resolve()
    yield from mirror.rows(run.mlflow, folder, versions=versions, rounds=rounds, pulls=pulls)


def _sweep(run: Run) -> Iterator[Row]:
    from bench import sweeping

    rounds = 1 if run.is_small else sweeping.ROUNDS
    versions = 1_000 if run.is_small else 1_000_000 if run.is_million else 100_000
    yield from sweeping.rows(versions=versions, rounds=rounds)


def _delivery(run: Run) -> Iterator[Row]:
    from bench import delivery

    single, queued = (2, 5) if run.is_small else (delivery.SINGLE, delivery.QUEUED)
    yield from delivery.rows(run.mlflow, run.folder, single=single, queued=queued)


def _worker(run: Run) -> Iterator[Row]:
    from bench import worker

    deliveries, rounds = (6, 1) if run.is_small else (worker.DELIVERIES, worker.ROUNDS)
    yield from worker.rows(deliveries=deliveries, rounds=rounds)


def _queues(run: Run) -> Iterator[Row]:
    from bench import queues

    queued, seconds = (40, 25) if run.is_small else (200, 60)
    options = run.worker.split()
    yield from queues.rows(run.mlflow, run.place, run.supervisor, queued=queued, seconds=seconds, options=options)


def _artifacts(run: Run) -> Iterator[Row]:
    from bench import artifacts

    loads, rounds = (((2, 1_000_000), (20, 4_000)), 1) if run.is_small else (artifacts.LOADS, artifacts.ROUNDS)
    yield from artifacts.rows(run.mlflow, run.folder, loads=loads, rounds=rounds)


def _people(run: Run) -> Iterator[Row]:
    from bench import people

    yield from people.rows(run.folder, pages=2 if run.is_small else people.PAGES)


def _gate(run: Run) -> Iterator[Row]:
    from bench import gate

    yield from gate.rows(run.folder, rounds=2 if run.is_small else gate.ROUNDS)


def _ledger(_: Run) -> Iterator[Row]:
    from bench import ledger

    yield from ledger.rows()


PARTS = {
    "pages": Part(of("pages"), fixture="shared", compares=True, million=True),
    "beside": Part(of("beside"), fixture="shared", servers=True, gunicorn=True, models=(2_000, 50), small_models=40),
    "people": Part(_people, fixture="full"),
    "waiting": Part(of("waiting"), fixture="full"),
    "api": Part(of("api"), fixture="full"),
    "metrics": Part(of("metrics")),
    "ledger": Part(_ledger, fixture="shared", million=True),
    "appending": Part(of("appending")),
    "mirror": Part(_mirror, servers=True, models=(2_000, 50)),
    "sweep": Part(_sweep, million=True),
    "delivery": Part(_delivery, servers=True),
    "worker": Part(_worker, databases=(POSTGRESQL,), fixture="full"),
    "queues": Part(_queues, servers=True, small_models=50, alone=True),
    "artifacts": Part(_artifacts, databases=(SQLITE,), servers=True),
    "gate": Part(_gate, databases=(SQLITE,), sets_up=False),
}
