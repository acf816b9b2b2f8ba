"""Rows: every page of the large installation against the same page of one that has just begun, and how a page's queries
grow from a fifth of the size on.

With the million: against the same page at 100,000. Three processes, one a database, answer in turns, so that what else
the machine does hits them alike.
"""

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, connections
from django.utils import timezone

from bench.browser import signed_in_client
from bench.parts import Run
from bench.planned import WIDE, WIDE_VERSIONS
from bench.report import Row
from mirror.models import MirrorState

FORKING = get_context("fork")
ROUNDS = 15
CEILING_MS, MILLION_CEILING_MS = 60, 80
WHOLE_PERIOD = ("audit of everything", "how people review, everything")
"""They look at every request or change of a period, here all there are; held to a time, not to an empty one."""

WHOLE_PERIOD_MS = 1_000
LEAST_SQL_MS = 1.0
"""Of less than that, growth says nothing."""


@dataclass(frozen=True, slots=True)
class Look:
    """One answer."""

    wall: float
    cpu: float
    sql: float
    """Milliseconds, as the process waits for the database."""

    queries: int


def rows(run: Run) -> Iterator[Row]:
    names = {"smaller": run.smaller, "full": run.full} if run.is_million else {"empty": run.empty}
    names |= {"smaller": run.smaller, "full": run.full}
    browsers = {name: Browser(url) for name, url in names.items()}
    try:
        yield from _rows(run, browsers)
    finally:
        for browser in browsers.values():
            browser.close()


def _rows(run: Run, browsers: Mapping[str, "Browser"]) -> Iterator[Row]:
    """Against the smaller installation where the empty one has no such page."""
    beside, ceiling, bar = ("smaller", MILLION_CEILING_MS, 1.3) if run.is_million else ("empty", CEILING_MS, 2.0)
    rounds = 2 if run.is_small else ROUNDS
    grown: list[Row] = []
    for page in browsers["full"].pages:
        looks = _looks(page, browsers, rounds=1 if run.is_small else 3 if page in WHOLE_PERIOD else rounds)
        full, smaller = looks["full"], looks.get("smaller")
        note = f"{full.cpu:.0f} ms of Python's processor; {full.queries} queries, {full.sql:.1f} ms."
        if page in WHOLE_PERIOD:
            yield Row(f"page {page}", full.wall, WHOLE_PERIOD_MS, bar=1.0, note=note)
            continue
        other = looks.get(beside) or smaller or full
        yield Row(f"page {page}", full.wall, other.wall, bar=bar, ceiling_ms=ceiling, note=note)
        if smaller is None:
            continue
        fault = "" if full.queries == smaller.queries else f"{smaller.queries} queries became {full.queries}."
        limit = max(smaller.sql, LEAST_SQL_MS)
        grown.append(Row(f"queries of {page}, grown from {_thousands(run)}", full.sql, limit, bar=2.0, fault=fault))
    yield from grown


def _thousands(run: Run) -> str:
    return f"{run.smaller_sizes[0]:,}"


def _looks(page: str, browsers: Mapping[str, "Browser"], *, rounds: int) -> dict[str, Look]:
    """Medians of the rounds; the first one warms up, unless there is no other."""
    able = {name: browser for name, browser in browsers.items() if page in browser.pages}
    found: dict[str, list[Look]] = {name: [] for name in able}
    for _ in range(rounds + (rounds > 1)):
        for name, browser in able.items():
            found[name].append(browser.get(page))
    return {
        name: Look(*(statistics.median(getattr(each, field) for each in looks[1:] or looks) for field in FIELDS))  # type: ignore[arg-type]
        for name, looks in found.items()
    }


GATE_TOKEN = "bench-token-of-the-gate"
GATES_OWN = {"Authorization": f"Bearer {GATE_TOKEN}"}
FIELDS = ("wall", "cpu", "sql", "queries")


class Browser:
    """Somebody with every role, signed in, in a process of their own: Django knows one database."""

    def __init__(self, url: str) -> None:
        connections.close_all()
        self._link, theirs = FORKING.Pipe()
        self._process = FORKING.Process(target=_browse, args=(url, theirs), daemon=True)
        self._process.start()
        theirs.close()  # what waits for an answer of a process that has ended would wait for ever
        self.pages: list[str] = self._link.recv()

    def get(self, page: str) -> Look:
        self._link.send(page)
        look: Look = self._link.recv()
        return look

    def close(self) -> None:
        self._process.terminate()
        self._process.join(30)


# --- In the browser's process


def _browse(url: str, link: "Connection[Any, str]") -> None:
    connection.settings_dict["NAME"] = urlsplit(url).path[1:]
    settings.GATE_TOKEN = GATE_TOKEN
    MirrorState.objects.record(pulled_at=timezone.now(), swept_at=timezone.now())  # the filling may be hours old
    client, paths, counter = signed_in_client(), pages(), Counter()
    link.send(list(paths))
    while path := paths[link.recv()]:
        counter.clear()
        cpu, wall = time.process_time(), time.perf_counter()
        with connection.execute_wrapper(counter):
            answer = client.get(path, headers=GATES_OWN if path.startswith("/gate/") else {})
            b"".join(answer) if answer.streaming else answer.content
        took = (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000
        if answer.status_code >= 300:
            raise RuntimeError(f"{path} answered {answer.status_code}.")
        link.send(Look(*took, counter.sql, counter.queries))


class Counter:
    """Counts queries and the time that is waited for them."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.queries, self.sql = 0, 0.0

    def __call__(self, execute: Any, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(*arguments)
        finally:
            self.queries, self.sql = self.queries + 1, self.sql + (time.perf_counter() - started) * 1000


def pages() -> dict[str, str]:
    """The same pages in each installation; where the model with many versions is not, an ordinary one stands for it."""
    from datetime import timedelta

    from approvals.models import AuditEvent, Incident, Policy, PromotionRequest, Tenure
    from mirror.models import RegisteredModel

    request = PromotionRequest.objects.exclude(version__model__name=WIDE).order_by("pk").last()
    event = AuditEvent.objects.filter(action="request.created").order_by("sequence").last()
    tenure = Tenure.objects.order_by("started_at", "pk").first()
    if request is None or event is None or tenure is None:
        raise RuntimeError("There is no request to look at.")
    version, name = request.version, request.version.model.name
    wide = RegisteredModel.objects.filter(name=WIDE).first() or version.model
    one = wide.versions.order_by("-number").first()
    assert one is not None
    applied = PromotionRequest.objects.filter(status="applied").order_by("pk").last()
    incident = Incident.objects.order_by("pk").first()
    begun = f"{tenure.started_at + timedelta(days=100):%Y-%m-%dT%H:%M}"
    policy, many = Policy.objects.current().order_by("pk").last(), f"{WIDE_VERSIONS:,} versions"
    assert policy is not None
    asked = request.get_absolute_url()
    return {
        "overview": "/overview/",
        "overview, worst state first": "/overview/?sort=state",
        "overview, outside approval": "/overview/?state=outside",
        "inbox": "/",
        "inbox, by risk": "/?sort=risk",
        "inbox, mine": "/?tab=mine",
        "inbox, decided": "/?tab=decided",
        "review queue": "/queue/",
        "review queue, by risk": f"/queue/{request.pk}/?sort=risk",
        "models": "/models/",
        "models, last page": "/models/?page=last",
        "models, part of a name": "/models/?q=_0",
        "models, with open requests": "/models/?show=open",
        "models, by name": "/models/?sort=name",
        "model": version.model.get_absolute_url(),
        f"model of {many}": wide.get_absolute_url(),
        f"model of {many}, last page": f"{wide.get_absolute_url()}?page=last",
        "version": version.get_absolute_url(),
        f"version of {many}": one.get_absolute_url(),
        "compare versions": f"{version.model.get_absolute_url()}compare/?v={version.number}&base=1",
        "new request": f"{version.get_absolute_url()}promote/",
        f"new request of {many}": f"{one.get_absolute_url()}promote/",
        "request": asked,
        "request, live part": f"{asked}live/",
        "request, comparison": f"{asked}compare/",
        **({"certificate": f"{applied.get_absolute_url()}certificate/"} if applied else {}),
        "several at once": f"/queue/together/?request={request.pk}",
        "findings": "/findings/",
        "sessions": "/accounts/sessions/",
        "incidents": "/incidents/",
        "incidents, resolved": "/incidents/?show=resolved",
        **({"incident": incident.get_absolute_url()} if incident else {}),
        "history": "/history/",
        "history, last page": "/history/?after=0",
        "history of a model": f"/history/?model={name}",
        "history of a person": f"/history/?person={request.requester_id}",
        "history of a version": f"/history/?model={name}&version={version.number}",
        "history of a request": f"/history/?request={request.pk}",
        "history of an action": "/history/?action=version.promoted",
        "history of a target": "/history/?target=Production",
        "history of a kind of action": "/history/?action=review",
        "history of a time": f"/history/?since={begun[:10]}",
        "event": event.get_absolute_url(),
        "time travel": "/history/at/",
        "time travel, long ago": f"/history/at/?at={begun}",
        "time travel, last page": f"/history/at/?at={begun}&page=999999",
        "time travel of a model": f"/history/at/?model={name}&span=all",
        "time travel, part of a name": f"/history/at/?model=_0&at={begun}",
        "import of history": "/history/import/",
        "ledger": "/history/ledger/",
        "ledger, live part": "/history/ledger/state/",
        "checkpoints": "/history/checkpoints.txt",
        "policies": "/policies/",
        "policy": f"/policies/{policy.pk}/",
        "versions of a policy": f"/policies/{policy.pk}/versions/",
        "requests under a policy": f"/policies/open-requests/{policy.pk}/",
        "target": f"/targets/{policy.target_id}/",
        "new policy": "/policies/new/",
        "new target": "/targets/new/",
        "metrics of record": f"{version.model.get_absolute_url()}metrics-of-record/",
        "freezes": "/freezes/",
        "new freeze": "/freezes/new/",
        "webhooks": "/webhooks/",
        "new webhook": "/webhooks/new/",
        "notifications": "/notifications/",
        "counts in the head": "/notifications/counts/",
        "choices of notifications": "/preferences/notifications/",
        "people": "/people/",
        "invitation": "/people/invite/",
        "invitation of many": "/people/invite/list/",
        "person": f"/people/{request.requester_id}/",
        "search": f"/search/?q={name[:5]}",
        "jump": f"/search/jump/?q={name[:5]}",
        "audit of everything": "/history/audit/?since=2020-01-01",
        "how people review, everything": "/history/audit/reviews/?since=2020-01-01",
        "audit, who can approve what": "/history/audit/access/",
        "MLflow's gate, its policy": "/gate/policy",
        "system": "/system/",
        "preferences": "/preferences/",
        "tokens": "/preferences/tokens/",
        "new token": "/preferences/tokens/new/",
        "everyone's tokens": "/people/tokens/",
        "new service account": "/people/service-accounts/new/",
        "readyz": "/readyz",
    }
