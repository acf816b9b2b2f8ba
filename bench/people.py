"""Rows: 16 signed-in people at once on one web machine, started as the image starts it: what a page costs, and how long
its people wait.

Processor time and not pages a second says how many people a machine carries: it is the same on a machine that others
use too. It is gunicorn's and, on PostgreSQL, that of the connections it opened; what asks for the pages is a process
apart and is not counted.
"""

import ast
import asyncio
import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client

from accounts.models import User
from approvals.models import PromotionRequest
from bench.gunicorned import ours
from bench.report import Row, milliseconds, percent
from registry_ui.demo.installation import ROOT, answers
from registry_ui.demo.processes import Process, Supervisor
from tests.support.mlflow_server import free_port

PEOPLE = 16
PAGES = 40
"""That each person opens while it is measured; a few more before, until each of gunicorn's processes has parsed its
templates and opened its connections."""

WARM_PAGES = 10

CORE_MS = 1000 / 40
"""Of a processor for one page: 40 pages a second and core."""

P95_MS = 300
REQUESTS = 50
"""Different requests, and as many versions and models, that they look at."""

ROLES = (("reviewer",), ("requester",), ("reviewer", "requester"), ("auditor",))
MIX = (
    *("inbox", "request", "model", "request", "inbox", "models", "version", "request"),
    *("overview", "inbox", "version", "request", "model", "inbox", "history", "models"),
)
"""What a person opens, one after the other: mostly what waits for them."""

TICKS = os.sysconf("SC_CLK_TCK")


def rows(folder: Path, *, pages: int = PAGES) -> Iterator[Row]:
    """On the database of this process, which is filled; each person opens `pages`. Raises RuntimeError for an answer
    that is no page."""
    addresses, cookies = _addresses(), [_cookie(number) for number in range(PEOPLE)]
    web = _web(folder, free_port())
    with Supervisor(folder / "run") as supervisor:
        supervisor.start(web)
        supervisor.wait_until_ready(web)
        port = int(web.command[web.command.index("--bind") + 1].rpartition(":")[2])
        load = Load(port, addresses, cookies)
        asyncio.run(load.run(min(pages, WARM_PAGES)))
        load.milliseconds.clear()
        with Meter(web) as meter:
            seconds = milliseconds(lambda: asyncio.run(load.run(pages))) / 1000
        supervisor.stop(web)
    total = len(load.milliseconds)
    python, database = (1000 * used / total for used in (meter.python, meter.database))
    each = python + database
    engine = f"{database:.1f} ms of it PostgreSQL's" if connection.vendor == "postgresql" else "SQLite is in it"
    note = f"{1000 / each:.1f} pages a second and core; {engine}; {total} pages in {seconds:.1f} s, 0 errors."
    yield Row(f"{PEOPLE} people at once: processor a page", each, CORE_MS, bar=1.0, note=note)
    note = f"Median {percent(load.milliseconds, 0.5):.0f} ms; every one of them asks again at once."
    yield Row(f"{PEOPLE} people at once: p95", percent(load.milliseconds, 0.95), P95_MS, bar=1.0, note=note)


def _web(folder: Path, port: int) -> Process:
    """The command of the image, on this machine alone."""
    words = re.search(r"^CMD (\[.+?\])", (ROOT / "Dockerfile").read_text().replace("\\\n", ""), re.MULTILINE)
    if words is None:
        raise RuntimeError("The Dockerfile says no more how the web process is started.")
    program, *options = ast.literal_eval(words[1])
    for name in ("workers", "threads"):
        options = [f"--{name}", ours(name), *options]
    url = f"http://127.0.0.1:{port}"
    return Process(
        "Web",
        [sys.executable, "-m", program, "--bind", f"127.0.0.1:{port}", *options],
        os.environ,
        output=folder / "web.log",
        folder=ROOT,
        is_ready=lambda: answers(f"{url}/healthz"),
    )


def _cookie(number: int) -> str:
    """Of a session of a person with roles; the same people each time."""
    email = f"at-once-{number}@example.com"
    person = User.objects.filter(email=email).first() or User.objects.create_user(email=email, name=f"Person {number}")
    person.groups.set(Group.objects.filter(name__in=ROLES[number % len(ROLES)]))
    client = Client()
    client.force_login(person)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def _addresses() -> dict[str, list[str]]:
    """Of each page that MIX names."""
    found = PromotionRequest.objects.select_related("version__model").order_by("-pk")[:REQUESTS]
    asked = list(found)
    if not asked:
        raise RuntimeError("There is no request to look at.")
    return {
        "inbox": ["/"],
        "models": ["/models/"],
        "overview": ["/overview/"],
        "history": ["/history/"],
        "request": [each.get_absolute_url() for each in asked],
        "version": [each.version.get_absolute_url() for each in asked],
        "model": [each.version.model.get_absolute_url() for each in asked],
    }


@dataclass
class Load:
    """People who open one page after the other, each on a connection of their own, as browsers do."""

    port: int
    addresses: dict[str, list[str]]
    cookies: Sequence[str]
    milliseconds: list[float] = field(default_factory=list)
    """Of each page that was asked for and came while it was measured."""

    async def run(self, pages: int) -> None:
        """Raises RuntimeError."""
        await asyncio.gather(*(self._person(number, pages) for number in range(len(self.cookies))))

    async def _person(self, number: int, pages: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for step in range(number, number + pages):
            choice = self.addresses[MIX[step % len(MIX)]]
            path = choice[(step * 7 + number) % len(choice)]
            asked = (
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\nCookie: {self.cookies[number]}\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write(asked.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = re.search(r"^content-length: (\d+)", head, re.MULTILINE)
            if " 200 " not in head.partition("\r\n")[0] or length is None or "connection: close" in head:
                raise RuntimeError(f"{path} answered:\n{head}")
            await reader.readexactly(int(length[1]))
            self.milliseconds.append((time.perf_counter() - started) * 1000)
        writer.close()


class Meter:
    """Processor seconds of the web process with its children, and of the connections to this database, between the two
    ends of a `with`. It looks all the time, because connections come and go."""

    def __init__(self, web: Process) -> None:
        self.web = web

    def __enter__(self) -> "Meter":
        self.before = self._look()
        self.latest = [dict(each) for each in self.before]
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()

    @property
    def python(self) -> float:
        return sum(self.latest[0].values()) - sum(self.before[0].values())

    @property
    def database(self) -> float:
        return sum(self.latest[1].values()) - sum(self.before[1].values())

    def _watch(self) -> None:
        while not self.is_over.wait(0.2):
            self._keep()
        self._keep()
        connection.close()

    def _keep(self) -> None:
        for kept, found in zip(self.latest, self._look(), strict=True):
            kept.update(found)

    def _look(self) -> list[dict[int, float]]:
        if self.web.pid is None:
            raise RuntimeError(self.web.why_it_ended() + self.web.last_lines())
        children = Path(f"/proc/{self.web.pid}/task/{self.web.pid}/children").read_text().split()
        backends: list[int] = []
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user"
                    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
                backends = [pid for (pid,) in cursor.fetchall()]
        return [_seconds([self.web.pid, *map(int, children)]), _seconds(backends)]


def seconds_of(pid: int) -> float:
    """Processor seconds so far; 0 of a process that is not there."""
    return _seconds([pid]).get(pid, 0.0)


def _seconds(pids: Sequence[int]) -> dict[int, float]:
    """Processor seconds of each process that still is."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = (int(fields[11]) + int(fields[12])) / TICKS
    return found
