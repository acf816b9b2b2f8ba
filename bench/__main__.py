"""`make bench`, or `python -m bench [part …] [--database sqlite|postgresql] [--million] [--small]`: runs the rows,
prints the ratios, and at the end the table, with whether each bar is met.

docs/benchmarks.md keeps the last whole run of each database and of the million: a run of single parts leaves the page
as it is unless it has --keep, and one with --small in any case.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench import record, registry_data
from bench.databases import OPTIONS, Databases, Sizes
from bench.gunicorned import Gunicorned, ours
from bench.parts import BOTH, NAMES, PARTS, POSTGRESQL, SQLITE, Part
from bench.report import HEADER, Row
from tests.support.mlflow_server import MlflowServer
from tests.support.postgres import postgres

EMPTY: Sizes = (0, 0, 0)
SIZES: dict[str, tuple[Sizes, Sizes]] = {
    "usual": ((20_000, 4_000, 40_000), (100_000, 20_000, 200_000)),
    "million": ((100_000, 20_000, 200_000), (1_000_000, 50_000, 2_000_000)),
    "small": ((500, 40, 600), (2_000, 120, 2_600)),
}
"""The smaller and the larger installation: versions, requests and events."""

AT_ONCE_WHEN_SMALL = 2


@dataclass(slots=True)
class Outcome:
    part: str
    vendor: str
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0
    failed: str = ""


def main() -> int:
    options = _options()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    os.environ["COUNTERSIGN_STATIC_ROOT"] = str(options.folder.resolve() / "static")  # one for all that it starts
    outcomes: list[Outcome] = []
    with contextlib.ExitStack() as stack:
        for vendor in options.database:
            parts = [name for name in options.parts if vendor in PARTS[name].databases]
            if not parts:
                continue
            print(f"\n{options.title}{NAMES[vendor]}\n{HEADER}", flush=True)
            address = stack.enter_context(postgres(options=OPTIONS)) if vendor == POSTGRESQL else None
            databases = Databases(vendor, options.folder / vendor, address, lambda words: print(f"  · {words}"))
            found = list(_run_all(parts, vendor, databases, options))
            outcomes += found
            if options.is_whole or options.keep:
                section = record.MILLION if options.million else NAMES[vendor]
                record.keep(section, found, Path(options.page), is_whole=options.is_whole)
    _summary(outcomes)
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}; default: all")
    parser.add_argument("--database", action="append", choices=BOTH, help="default: both")
    parser.add_argument("--million", action="store_true", help="1,000,000 versions, on PostgreSQL; against 100,000")
    parser.add_argument("--small", action="store_true", help="few of everything: does every part still run?")
    parser.add_argument("--keep", action="store_true", help="single parts: their rows take the place of the last ones")
    parser.add_argument("--folder", type=Path, default=record.ROOT / ".bench")
    parser.add_argument("--page", type=Path, default=record.PAGE, help="where the results are kept")
    parser.add_argument("--worker", default="", help="options for the worker of the part queues")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    possible = [name for name, part in PARTS.items() if part.million or not options.million]
    if options.keep and options.small:
        parser.error("what --small measures is not kept")
    options.is_whole = not options.parts and not options.small
    options.parts = [name for name in possible if name in (options.parts or possible)]
    options.database = [POSTGRESQL] if options.million else options.database or list(BOTH)
    options.sizes = SIZES["small" if options.small else "million" if options.million else "usual"]
    options.title = "A million versions, " if options.million and not options.small else ""
    return options


def _run_all(parts: Sequence[str], vendor: str, databases: Databases, options: argparse.Namespace) -> Iterator[Outcome]:
    """One part after the other, so that they do not disturb each other; with --small two at a time, whose databases are
    all there before, because PostgreSQL copies none that is in use."""
    smaller, full = options.sizes
    if any(PARTS[name].compares for name in parts):
        databases.filled(EMPTY)
        databases.filled(smaller)
    if any(PARTS[name].fixture != "none" for name in parts):
        databases.filled(full)
    databases.migrated("first")  # the one that the others are copied from is there before threads ask for it
    ready = {name: _database(name, databases, options) for name in parts if options.small}

    def run(name: str) -> Outcome:
        return _run(name, vendor, databases, ready.get(name) or _database(name, databases, options), options)

    with ThreadPoolExecutor(AT_ONCE_WHEN_SMALL if options.small else 1) as pool:
        yield from pool.map(run, (name for name in parts if not PARTS[name].alone))
    yield from map(run, (name for name in parts if PARTS[name].alone))


def _database(name: str, databases: Databases, options: argparse.Namespace) -> str:
    _, full = options.sizes
    match PARTS[name].fixture:
        case "shared":
            return databases.filled(full)
        case "full":
            return databases.copy(full, f"of_{name}")
        case _:
            return databases.migrated(f"of_{name}")


def _run(name: str, vendor: str, databases: Databases, database: str, options: argparse.Namespace) -> Outcome:
    """In a process of its own, because Django knows one database."""
    part, began, outcome = PARTS[name], time.monotonic(), Outcome(name, vendor)
    folder = options.folder / vendor / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run = {
        "part": name,
        "vendor": vendor,
        "database": database,
        "folder": str(folder),
        "is_small": options.small,
        "is_million": options.million,
        "worker": options.worker,
    }
    smaller, full = options.sizes
    if part.fixture != "none":
        run |= {"sizes": full, "full": databases.filled(full)}
    if part.compares:
        run |= {"smaller_sizes": smaller, "smaller": databases.filled(smaller), "empty": databases.filled(EMPTY)}
    with contextlib.ExitStack() as stack:
        if part.servers:
            run["mlflow"] = stack.enter_context(_mlflow(folder / "mlflow", part, options)).url
        command = [sys.executable, "-m", "bench.inside", json.dumps(run)]
        process = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            if line.startswith(record.MARK):
                outcome.rows.append(Row(**json.loads(line.removeprefix(record.MARK))))
                print(outcome.rows[-1], flush=True)
            else:
                said.append(line)
    outcome.seconds = time.monotonic() - began
    if process.returncode or not outcome.rows:
        outcome.failed = f"ended with status {process.returncode}"
        print(f"The part {name} failed on {NAMES[vendor]}:\n{''.join(said[-40:])}", flush=True)
    if part.fixture != "shared":
        databases.drop(database)
    return outcome


@contextlib.contextmanager
def _mlflow(folder: Path, part: Part, options: argparse.Namespace) -> Iterator[MlflowServer]:
    """One with the part's models in it. All of them are forks of a process that has imported MLflow once."""
    models, each = part.models
    kind = Gunicorned if part.gunicorn else MlflowServer
    with kind(folder, workers=int(ours("workers")) if part.gunicorn and not options.small else 1) as server:
        models = part.small_models if options.small else models
        registry_data.fill(folder / "mlflow.sqlite3", models=models, versions_each=each)
        yield server


def _summary(outcomes: Sequence[Outcome]) -> None:
    for vendor in (SQLITE, POSTGRESQL):
        of_vendor = [outcome for outcome in outcomes if outcome.vendor == vendor]
        if not of_vendor:
            continue
        print(f"\n{NAMES[vendor]}\n{HEADER}")
        for outcome in of_vendor:
            print(f"{outcome.part}: {outcome.seconds:.0f} s{f', FAILED: {outcome.failed}' if outcome.failed else ''}")
            for row in outcome.rows:
                print(str(row).splitlines()[0])
    rows = [row for outcome in outcomes for row in outcome.rows]
    print(f"\n{sum(row.is_met for row in rows)} of {len(rows)} rows met.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
