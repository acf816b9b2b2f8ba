"""Rows: the API on one web process, with an installation of 100,000 versions: what a pipeline's question costs, and how
long it waits at 200 of them a second.

As for people, processor time says how many a machine carries. What `/healthz` takes at the same rate, which asks
nothing, is the limit of how long an answer waits on this machine in this minute.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from django.contrib.auth.models import Group
from django.db import connection

from accounts.models import User
from approvals import administration
from approvals.models import Tenure
from bench import people
from bench.parts import Run
from bench.report import Row, percent
from registry_ui.demo.processes import Process, Supervisor
from tests.support.mlflow_server import free_port

A_SECOND = 200
SECONDS = 5
REQUESTS = 1_000
"""For what one costs."""

CONNECTIONS = 32
EXTRA_MS = 25
MODELS = 50


def rows(run: Run) -> Iterator[Row]:
    """On the database of this process, which is filled. Raises RuntimeError for an answer that is none."""
    requests, seconds = (40, 0.2) if run.is_small else (REQUESTS, SECONDS)
    token, addresses = _token(), _addresses()
    web = _web(run)
    with Supervisor(run.folder / "run") as supervisor:
        supervisor.start(web)
        supervisor.wait_until_ready(web)
        load = Load(_port(web), token)
        asyncio.run(load.one_after_another(addresses, 20))
        with people.Meter(web) as idle:
            asyncio.run(load.one_after_another(["/healthz"], requests))
        with people.Meter(web) as meter:
            asyncio.run(load.one_after_another(addresses, requests))
        healthz = asyncio.run(load.at_a_rate(["/healthz"], A_SECOND, seconds))
        holders = asyncio.run(load.at_a_rate(addresses, A_SECOND, seconds))
        supervisor.stop(web)
    each, nothing, asked = (1000 * used / requests for used in (meter.python, idle.python, meter.database))
    engine = f"PostgreSQL's {asked:.1f} ms beside it" if connection.vendor == "postgresql" else "SQLite is in it"
    note = f"{1000 / each:.0f} a second; {engine}; an answer without a question costs {nothing:.1f} ms."
    yield Row("GET holder, one web process: processor a request", each, 1000 / A_SECOND, bar=1.0, note=note)
    note = (
        f"Median {percent(holders, 0.5):.0f} ms, of /healthz {percent(healthz, 0.5):.0f} ms; {len(holders)} requests."
    )
    name = f"GET holder at {A_SECOND} a second, one web process: p95"
    yield Row(name, percent(holders, 0.95), percent(healthz, 0.95), extra_ms=EXTRA_MS, note=note)


@dataclass
class Link:
    """One connection, kept open as clients do."""

    port: int
    said: str
    """Headers, each with its end of line."""

    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> float:
        """Milliseconds. Raises RuntimeError for any answer but 200."""
        started = time.perf_counter()
        try:
            reader, writer, head = await self._asked(path)
        except (asyncio.IncompleteReadError, ConnectionError):  # it was idle for so long that the server closed it
            self.pair = None
            reader, writer, head = await self._asked(path)
        status, *lines = head.decode("latin-1").strip().split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = await reader.readexactly(int(self.headers.get("content-length", 0)))
        if " 200 " not in status:
            raise RuntimeError(f"{path} answered {status}: {self.body[:300]!r}")
        if self.headers.get("connection") == "close":
            writer.close()
            self.pair = None
        return (time.perf_counter() - started) * 1000

    async def _asked(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        self.pair = self.pair or await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.pair
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self.said}\r\n".encode())
        return reader, writer, await reader.readuntil(b"\r\n\r\n")


@dataclass
class Load:
    port: int
    token: str

    def _links(self, count: int) -> list[Link]:
        return [Link(self.port, f"Authorization: Bearer {self.token}\r\n") for _ in range(count)]

    async def one_after_another(self, addresses: Sequence[str], total: int) -> None:
        link = self._links(1)[0]
        for number in range(total):
            await link.get(addresses[number % len(addresses)])

    async def at_a_rate(self, addresses: Sequence[str], a_second: int, seconds: float) -> list[float]:
        """Milliseconds from when each was due: an answer that is late makes no room for the ones after it."""
        free: asyncio.Queue[Link] = asyncio.Queue()
        for link in self._links(CONNECTIONS):
            free.put_nowait(link)
        begun, taken = time.perf_counter(), list[float]()

        async def ask(number: int) -> None:
            due = begun + number / a_second
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            link = await free.get()
            await link.get(addresses[number % len(addresses)])
            taken.append((time.perf_counter() - due) * 1000)
            free.put_nowait(link)

        await asyncio.gather(*(ask(number) for number in range(round(a_second * seconds))))
        return taken


def _web(run: Run) -> Process:
    """As the image starts it, but one process; the limits of tokens are no part of what is measured."""
    os.environ["COUNTERSIGN_API_REQUESTS_PER_MINUTE"] = "1000000"
    web = people._web(run.folder, free_port())
    web.command[web.command.index("--workers") + 1] = "1"
    return web


def _port(web: Process) -> int:
    return int(web.command[web.command.index("--bind") + 1].rpartition(":")[2])


def _token() -> str:
    """Of a person who requests."""
    person = User.objects.create_user(email="pipeline@example.com", name="Pipeline Owner")
    person.groups.set(Group.objects.filter(name="requester"))
    return administration.make_token(person, name="bench", scopes=["read"], by=person)[1]


def _addresses() -> list[str]:
    """Of holders of as many models. Raises RuntimeError where nothing holds anything."""
    found = Tenure.objects.open().filter(target__name="Production").order_by("model_name")
    names = list(found.values_list("model_name", flat=True).distinct()[:MODELS])
    if not names:
        raise RuntimeError("Nothing is in Production.")
    return [f"/api/v1/models/{quote(name, safe='')}/targets/Production/holder" for name in names]
