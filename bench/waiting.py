"""Rows: 200 programs wait for a request through the API of one web machine, started as the image starts it: what they
take of the processor, and how much slower pages become meanwhile.

Each does as `countersign request --wait`: it waits for another revision, and where there is no place comes again when
it is told to.
"""

import asyncio
import contextlib
import json
import re
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.contrib.auth.models import Group
from django.db import connection

from accounts.models import User
from api.waiting import LONGEST
from approvals import administration
from approvals.models import PromotionRequest, Status
from approvals.selectors import one_request
from bench import people
from bench.parts import Run
from bench.report import Row
from registry_ui.demo.processes import Supervisor
from tests.support.mlflow_server import free_port

CLIENTS = 200
TOKENS = 20
SETTLED = 30
"""Seconds until those who found no place come evenly."""

WHILE = 30
READERS, PAGES = 2, 60
CORE_MS = 200
"""Of a processor in a second, for all of them."""

SLOWER = 1.25


def rows(run: Run) -> Iterator[Row]:
    clients, settled, during = (10, 1, 2) if run.is_small else (CLIENTS, SETTLED, WHILE)
    pages = 3 if run.is_small else PAGES
    asked = PromotionRequest.objects.filter(status=Status.PENDING).order_by("pk").first()
    if asked is None:
        raise RuntimeError("There is no request to wait for.")
    addresses, cookies = people._addresses(), [people._cookie(number) for number in range(READERS)]
    web = people._web(run.folder, free_port())
    port = int(web.command[web.command.index("--bind") + 1].rpartition(":")[2])
    crowd = Crowd(port, asked.pk, one_request.revision(asked.pk), _tokens(clients))

    def read() -> list[float]:
        load = people.Load(port, addresses, cookies)
        asyncio.run(load.run(pages))
        return load.milliseconds

    with Supervisor(run.folder / "run") as supervisor:
        supervisor.start(web)
        supervisor.wait_until_ready(web)
        read()  # warm
        alone = read()
        with crowd.waiting(clients, settled):
            time.sleep(settled)
            crowd.told.clear()
            with people.Meter(web) as meter:
                time.sleep(during)
            told = list(crowd.told)
            slowed = read()
        alone += read()
        supervisor.stop(web)
    used = 1000 * (meter.python + meter.database) / during
    again = [each for each in told if each]
    late = f"median {statistics.median(again):.0f} s" if again else "none"
    note = f"{len(told) / during:.1f} answers a second; who finds no place comes again after: {late}."
    yield Row(f"{clients} programs wait: processor a second", used, CORE_MS, bar=1.0, note=note)
    engine = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    note = f"Limit: the same pages when no one waits, before and after; {READERS} people at once, {engine}."
    name = f"{clients} programs wait: a page"
    yield Row(name, statistics.median(slowed), statistics.median(alone), bar=SLOWER, note=note)


def _tokens(clients: int) -> list[str]:
    """Of one person, for all of them."""
    email = "waits@example.com"
    person = User.objects.filter(email=email).first() or User.objects.create_user(email=email, name="Waits")
    person.groups.set(Group.objects.filter(name="requester"))
    names = [f"pipeline {number}" for number in range(min(TOKENS, clients))]
    return [administration.make_token(person, name=name, scopes=["read"], by=person)[1] for name in names]


@dataclass
class Crowd:
    port: int
    request: int
    revision: str
    tokens: list[str]
    told: list[int] = field(default_factory=list)
    """Of each answer: after how many seconds to come again, 0 of one that was waited for."""

    @contextlib.contextmanager
    def waiting(self, clients: int, spread: float) -> Iterator[None]:
        """So many wait meanwhile, in a thread; they come within `spread` seconds. Raises RuntimeError for an answer
        that is none."""
        is_over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(asyncio.run, self._all(clients, spread, is_over))
            try:
                yield
            finally:
                is_over.set()
            running.result()

    async def _all(self, clients: int, spread: float, is_over: threading.Event) -> None:
        each = [asyncio.create_task(self._wait(index, spread * index / clients)) for index in range(clients)]
        while not is_over.is_set() and not any(task.done() for task in each):
            await asyncio.sleep(0.2)
        for task in each:
            task.cancel()
        for outcome in await asyncio.gather(*each, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _wait(self, index: int, later: float) -> None:
        await asyncio.sleep(later)
        path = f"/api/v1/requests/{self.request}?wait={LONGEST}&since={self.revision}"
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {self.tokens[index % len(self.tokens)]}",
            "Connection: close",
        ]
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write("\r\n".join([*lines, "", ""]).encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            if b" 200 " not in head.partition(b"\r\n")[0] or json.loads(body)["revision"] != self.revision:
                raise RuntimeError(f"{path} answered:\n{head.decode()}\n{body[:300].decode()}")
            later = re.search(rb"(?i)^retry-after: (\d+)", head, re.MULTILINE)
            self.told.append(int(later[1]) if later else 0)
            await asyncio.sleep(self.told[-1])
