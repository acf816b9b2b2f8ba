"""`make bench`, or `python -m bench [--versions N] [mirror] [delivery] [queues] [artifacts] [gate] [pages] [ledger]`:
runs the rows, prints the ratios."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.report import HEADER, Row

PARTS = ("mirror", "delivery", "queues", "artifacts", "gate", "pages", "ledger")

SMALL_LOADS = ((2, 1_000_000), (20, 4_000))
SMALL_ROUNDS = 2
SIZES = ("versions", "requests", "events", "folder", "worker")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}; default: all")
    parser.add_argument("--versions", type=int, default=100_000, help="a multiple of 50")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / ".bench")
    parser.add_argument("--worker", default="", help="options for the worker of the part queues")
    parser.add_argument("--small", action="store_true", help="few of everything: does every part still run?")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if options.inside:
        for row in _rows(options.parts[0], options):
            print(row, flush=True)
        return 0
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir()
    print(HEADER, flush=True)
    sizes = [f"--{name}={getattr(options, name)}" for name in SIZES]
    small = ["--small"] if options.small else []
    # Each part is a process of its own, because Django knows one database; in their order, because the ledger verifies
    # what the pages have made.
    return max(
        subprocess.run([sys.executable, "-m", "bench", part, *sizes, *small, "--inside"], check=False).returncode
        for part in sorted(options.parts or PARTS, key=PARTS.index)
    )


def _rows(part: str, options: argparse.Namespace) -> Iterator[Row]:
    folder = options.folder / part
    if part == "pages":
        _environment(folder)
        from bench import pages

        yield from pages.rows(
            options.folder,
            versions=options.versions,
            requests=options.requests,
            events=options.events,
            rounds=SMALL_ROUNDS if options.small else pages.ROUNDS,
        )
    elif part == "ledger":
        _environment(folder, database=options.folder / "full.sqlite3")
        if not (options.folder / "full.sqlite3").exists():
            raise SystemExit("The part ledger verifies what the part pages has made: run both.")
        import django

        django.setup()
        from bench import ledger

        yield from ledger.rows()
    elif part == "gate":
        folder.mkdir()
        from bench import gate

        yield from gate.rows(folder, rounds=SMALL_ROUNDS if options.small else gate.ROUNDS)
    else:
        yield from _rows_with_servers(part, options)


def _rows_with_servers(part: str, options: argparse.Namespace) -> Iterator[Row]:
    from bench import registry_data
    from registry_ui.demo.installation import Installation
    from registry_ui.demo.processes import Supervisor
    from tests.support.mlflow_server import MlflowServer

    folder = options.folder / part
    models, each = (options.versions // 50, 50) if part == "mirror" else (20, 6) if options.small else (300, 6)
    place = Installation(folder, 0, 0)
    place.prepare()
    if not place.redis:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    with MlflowServer(folder / "mlflow") as server, Supervisor(folder / "run") as supervisor:
        redis = place.redis_server(place.redis)
        supervisor.start(redis)
        supervisor.wait_until_ready(redis)
        registry_data.fill(folder / "mlflow" / "mlflow.sqlite3", models=models, versions_each=each)
        _environment(folder, mlflow=server.url, broker=f"redis+socket://{place.redis_socket}")
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        if part == "mirror":
            from bench import mirror

            yield from mirror.rows(server.url, versions=models * each)
        elif part == "queues":
            from bench import queues

            yield from queues.rows(server.url, place, supervisor, options=options.worker.split())
        elif part == "artifacts":
            from bench import artifacts

            loads, rounds = (SMALL_LOADS, 1) if options.small else (artifacts.LOADS, artifacts.ROUNDS)
            yield from artifacts.rows(server.url, folder, loads=loads, rounds=rounds)
        else:
            from bench import delivery

            single, queued = (2, 5) if options.small else (delivery.SINGLE, delivery.QUEUED)
            yield from delivery.rows(server.url, folder, single=single, queued=queued)


def _environment(
    folder: Path, *, mlflow: str = "http://127.0.0.1:9", broker: str = "filesystem://", database: Path | None = None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "registry_ui.settings",
        "COUNTERSIGN_SECRET_KEY": "bench-" * 8,
        "COUNTERSIGN_STATE_DIR": str(folder),
        "COUNTERSIGN_LOG_LEVEL": "ERROR",
        "COUNTERSIGN_UNDO_SECONDS": "0",  # it measures deliveries, not the wait before them
        "MLFLOW_TRACKING_URI": mlflow,
        "CELERY_BROKER_URL": broker,
        "DATABASE_URL": f"sqlite:///{database or folder / 'countersign.sqlite3'}",
        "EMAIL_URL": "memorymail://",
    }


if __name__ == "__main__":
    sys.exit(main())
