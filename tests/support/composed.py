"""All that docker-compose.yml starts, on this machine and without containers: its commands one by one, as the users and
the roles in the database that it names, each with its own files of secrets and no other."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from registry_ui.demo.installation import ROOT
from registry_ui.demo.processes import Process, Supervisor
from tests.support.compose import PATH, here, make_databases, make_secrets, mount, services
from tests.support.mlflow_server import GATE, free_port

HURRIED = {
    "COUNTERSIGN_UNDO_SECONDS": "0",
    "COUNTERSIGN_PULL_SECONDS": "1",
    "COUNTERSIGN_DRAIN_SECONDS": "1",
}
"""So that nobody waits; the same everywhere, as it has to be."""


class Image:
    """What the Dockerfile says of its last stage."""

    def __init__(self) -> None:
        self.text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").rpartition("\nFROM ")[2]

    @property
    def environment(self) -> dict[str, str]:
        """All but where programs lie: here they are those of this Python."""
        lines = re.findall(r"^ENV (.+)$", self.text, re.MULTILINE)
        given = dict(pair.split("=", 1) for line in lines for pair in line.split())
        return {name: value for name, value in given.items() if name != "PATH"}

    @property
    def command(self) -> list[str]:
        return list(json.loads(re.findall(r"^CMD (.+)$", self.text, re.MULTILINE)[-1]))


@functools.cache
def confined(user: str) -> tuple[str, ...]:
    """Words before a command that make it that of `user` (`uid:gid`), without capabilities and without a way to get one
    again: what Docker does by `user`, `cap_drop` and `no-new-privileges`. Where this Python lies in someone's home, the
    user may read what others may not, and write nothing. No words where this process may not confine others."""
    uid, gid = user.split(":")
    if os.geteuid() or shutil.which("setpriv") is None:
        return ()
    for kept in ("", ",+dac_read_search"):
        sets = [f"--{name}=-all{kept}" for name in ("bounding-set", "inh-caps", "ambient-caps")]
        words = ("setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--no-new-privs", *sets)
        check = f"import sys; sys.exit(sys.base_prefix != {sys.base_prefix!r})"
        if not subprocess.run([*words, sys.executable, "-c", check], check=False, stderr=subprocess.DEVNULL).returncode:
            return words
    return ()


class Host:
    """`address` is the PostgreSQL's, with its superuser and without a database."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.image = folder, Image()
        self.secrets = make_secrets(folder / "secrets")
        make_databases(f"{address}/countersign", self.secrets)
        self.database = address.rpartition("@")[2]
        self.ports = {name: str(free_port()) for name in ("web", "gate", "valkey", "mlflow")}
        self.url, self.mlflow_url = (f"http://127.0.0.1:{self.ports[name]}" for name in ("web", "mlflow"))
        written = {"COUNTERSIGN_SITE_URL": self.url, "COUNTERSIGN_MLFLOW_UI_URL": self.mlflow_url}
        # As in .env: everybody signs in with a password alone.
        self.services = services(written | {"COUNTERSIGN_MFA_REQUIRED_FOR": "none"})
        for name, service in self.services.items():
            self._furnish(name, service)

    def _furnish(self, name: str, service: dict[str, Any]) -> None:
        """Its files of secrets, and the folders that it may write to."""
        place = self.folder / name
        mount(self.secrets, service.get("secrets", []), place / "secrets", self.places(name))
        uid, gid = map(int, service.get("user", "0:0").split(":"))
        for writable in ("tmp", "data"):
            (place / writable).mkdir()
            if confined(service.get("user", "0:0")):
                os.chown(place / writable, uid, gid)

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def places(self, name: str) -> dict[str, str]:
        """All that differs from the file: addresses and folders."""
        place, own = self.folder / name, self.ports.get(name, "")
        host, port = self.database.split(":")
        return {
            "/tmp": str(place / "tmp"),  # noqa: S108
            "/run/secrets": str(place / "secrets"),
            "/var/lib/mlflow": str(place / "data"),
            "/var/lib/countersign": str(place / "data"),
            "/app/static": str(self.folder / "static"),
            "@postgres:5432": f"@{self.database}",
            "host=postgres": f"host={host}",
            "port=5432": f"port={port}",
            "@valkey:6379": f"@127.0.0.1:{self.ports['valkey']}",
            "bind * -::*": "bind 127.0.0.1",
            "9100": "0",
            "port 6379": f"port {self.ports['valkey']}",
            "valkey-server": "redis-server",
            "valkey-cli": f"redis-cli -p {self.ports['valkey']}",
            "//gate:8000": f"//127.0.0.1:{self.ports['gate']}",
            "//mlflow:5000": f"//127.0.0.1:{self.ports['mlflow']}",
            "--host=0.0.0.0": "--host=127.0.0.1",
            "--port=5000": f"--port={own}",
            "127.0.0.1:5000": f"127.0.0.1:{own}",
            "127.0.0.1:8000": f"127.0.0.1:{own}",
        }

    def environment(self, name: str) -> dict[str, str]:
        given = self.services[name].get("environment", {})
        if self.services[name]["image"] == "countersign":
            given = self.image.environment | HURRIED | given
        else:
            given = {"PYTHONPATH": str(GATE)} | given
        outside = {
            "PATH": PATH,
            "HOME": str(self.folder / name / "tmp"),
            "PGPORT": self.database.partition(":")[2],
            "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{self.ports.get(name, '')}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return outside | dict(here(given, self.places(name)))

    def words(self, name: str, command: list[str]) -> list[str]:
        user = self.services[name].get("user")
        return [*(confined(user) if user else ()), *here(command, self.places(name))]

    def process(self, name: str) -> Process:
        service = self.services[name]
        command = [*service.get("entrypoint", []), *service.get("command", self.image.command)]
        return Process(
            name,
            self.words(name, command),
            self.environment(name),
            self.folder / f"{name}.log",
            folder=ROOT,
            is_ready=lambda: not self.problem(name),
            stop_signal=signal.SIGKILL,  # nothing of it is kept
        )

    def problem(self, name: str) -> str:
        """What the service's health check says against it, asked as Docker asks: inside, as its user."""
        how, *words = self.services[name]["healthcheck"]["test"]
        done = self.run(name, *(words if how == "CMD" else ["sh", "-c", *words]))
        return f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}" if done.returncode else ""

    def run(self, name: str, *command: str, text: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
        """As `docker compose run` or `exec` does, in the service's environment and as its user."""
        return subprocess.run(
            self.words(name, list(command)),
            env=self.environment(name) | environment,
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def memory(self, process: Process) -> int:
        """Bytes in memory of the process and of those that it started; what they share counts once for each."""
        group = [place for place in Path("/proc").glob("[0-9]*") if _group(place) == process.pid]
        return sum(int((place / "statm").read_text().split()[1]) for place in group) * os.sysconf("SC_PAGE_SIZE")

    def start_all(self, supervisor: Supervisor) -> dict[str, Process]:
        """In the order of `depends_on`; the services that stay, once each is healthy."""
        static = self.folder / "static"
        static.mkdir()
        given = {
            "PATH": PATH,
            "COUNTERSIGN_STATIC_ROOT": str(static),
            "COUNTERSIGN_STATE_DIR": str(self.folder),
            "COUNTERSIGN_SECRET_KEY": "only-for-collecting-the-static-files",
        }
        done = subprocess.run(
            [sys.executable, "manage.py", "collectstatic", "--no-input"],
            env=given,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        stays: dict[str, Process] = {}
        needs = {name: list(service.get("depends_on", {})) for name, service in self.services.items()}
        for name in TopologicalSorter(needs).static_order():
            if name == "postgres":
                continue
            for needed in needs[name]:
                if needed in stays:
                    supervisor.wait_until_ready(stays[needed])
            process = self.process(name)
            if self.services[name]["restart"] == "no":
                supervisor.run(process)
            else:
                supervisor.start(process)
                stays[name] = process
        for process in stays.values():
            supervisor.wait_until_ready(process)
        return stays


def _group(place: Path) -> int:
    try:
        return int((place / "stat").read_text().rpartition(")")[2].split()[2])
    except (OSError, IndexError):
        return 0
