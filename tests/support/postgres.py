"""A PostgreSQL of its own in a folder that disappears afterwards, on a free port of this machine.

python -m tests.support.postgres COMMAND …    runs the command with DATABASE_URL set to it
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from registry_ui.demo.processes import Process, Supervisor
from tests.support.mlflow_server import free_port
from tools.services import find

UNPRIVILEGED = "postgres"
"""Debian's package makes this user; PostgreSQL refuses to run as root."""

# Nothing here outlives the tests, so nothing has to reach the disk.
OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "120"}


@contextlib.contextmanager
def postgres(*databases: str, options: Mapping[str, str] = OPTIONS, also: str = "") -> Iterator[str]:
    """Gives the address without a database, `postgresql://countersign@127.0.0.1:PORT`, after making those named.
    `options` are the server's settings; `also` is another address of this host on which it listens, for all of that
    network."""
    initdb = find("initdb")
    if initdb is None:
        raise RuntimeError("PostgreSQL is missing; run `python tools/services.py`.")
    programs = Path(initdb).parent
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="countersign-postgres-"))
    port = free_port()
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        made = [initdb, "--pgdata", str(data), "--username", "countersign", "--auth", "trust", "--encoding", "UTF8"]
        subprocess.run(
            [*made, "--locale", "C", "--no-sync"], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        if also:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {also.rpartition('.')[0]}.0/24 trust\n")
        listen = ",".join(["127.0.0.1", *filter(None, [also])])
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", listen, "-k", str(folder)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        server = Process(
            "PostgreSQL",
            command,
            os.environ,
            output=folder / "postgres.log",
            folder=folder,
            user=user,
            is_ready=lambda: _answers(programs, port),
            stop_signal=signal.SIGINT,  # SIGTERM would wait for sessions that are still open
        )
        with tempfile.TemporaryDirectory() as notes, Supervisor(Path(notes)) as supervisor:
            supervisor.start(server)
            supervisor.wait_until_ready(server)
            for name in databases:
                subprocess.run(
                    [programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "countersign", name], check=True
                )
            yield f"postgresql://countersign@127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_database(address: str, *, like: str = "template1") -> None:
    """`address` with the name of a new database, which begins as the one named does; nobody is connected to that."""
    server, _, name = address.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as link:
        link.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(like)))


def _answers(programs: Path, port: int) -> bool:
    command = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    with postgres("countersign") as address:
        environment = os.environ | {
            "DATABASE_URL": f"{address}/countersign",
            "COUNTERSIGN_E2E_SERVER": address,
        }
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
