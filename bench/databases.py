"""The databases of one run: SQLite's are files, PostgreSQL's are in a server of the benchmark's own."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from bench.parts import POSTGRESQL

# A server with the memory for it, which writes to the disk as one in production does.
OPTIONS = {
    "shared_buffers": "2GB",
    "effective_cache_size": "4GB",
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    "random_page_cost": "1.1",
    "max_wal_size": "4GB",
    "max_connections": "120",
}

Sizes = tuple[int, int, int]


class Databases:
    """Fixtures are made when they are first asked for. `address` is that of the PostgreSQL server, None with SQLite."""

    def __init__(self, vendor: str, folder: Path, address: str | None, say: Callable[[str], None]) -> None:
        self.vendor, self.folder, self.address, self.say = vendor, folder, address, say
        self._made: dict[Sizes | None, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def migrated(self, name: str) -> str:
        """An empty one of this name, but migrated."""
        if None not in self._made:
            self._made[None] = self._new("migrated")
            self._run("bench.environment", self._made[None])
        return self._copied(self._made[None], name)

    def filled(self, sizes: Sizes) -> str:
        if sizes not in self._made:
            url = self.migrated(f"filled_{sizes[0]}")
            options = [f"--{name}={size}" for name, size in zip(("versions", "requests", "events"), sizes, strict=True)]
            self._run("bench.filling", url, *options)
            self._made[sizes] = url
        return self._made[sizes]

    def copy(self, sizes: Sizes, name: str) -> str:
        return self._copied(self.filled(sizes), name)

    def drop(self, url: str) -> None:
        name = url.rsplit("/", 1)[-1]
        if self.vendor == POSTGRESQL:
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        else:
            (self.folder / name).unlink(missing_ok=True)

    def _run(self, module: str, *arguments: str) -> None:
        self.say(f"{module} {' '.join(arguments)}")
        done = subprocess.run([sys.executable, "-m", module, *arguments], check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{module} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")

    def _new(self, name: str) -> str:
        if self.vendor == POSTGRESQL:
            self._execute("CREATE DATABASE {}", name)
            return f"{self.address}/{name}"
        return f"sqlite:///{self.folder / name}"

    def _copied(self, url: str, name: str) -> str:
        source = url.rsplit("/", 1)[-1]
        if self.vendor == POSTGRESQL:
            self._execute("CREATE DATABASE {} TEMPLATE {}", name, source)
            return f"{self.address}/{name}"
        shutil.copyfile(self.folder / source, self.folder / name)
        return f"sqlite:///{self.folder / name}"

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(f"{self.address}/postgres", autocommit=True) as link:
            link.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]
