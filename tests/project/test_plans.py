"""How PostgreSQL answers what the pages ask of a large installation: along indexes, never through all events, versions
or tenures, and with as many queries as are written here."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from approvals.models import AuditEvent, Tenure
from bench import filling
from bench.browser import signed_in_client
from bench.pages import GATES_OWN, WHOLE_PERIOD, pages
from bench.planned import Sizes
from mirror.models import ModelVersion
from registry_ui.metrics import database

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has other plans."),
]

SIZES = Sizes(versions=20_000, requests=4_000, events=40_000)
EXPLAIN = "EXPLAIN (FORMAT JSON) "
MEMORY = "SET random_page_cost = 1.1"
"""What the tables of a large installation are read from, and so worth an index also at the size of this test."""

MOMENT = ("time travel, long ago", "time travel, last page", "time travel, part of a name")
"""Half of all tenures that ever were may have run at a moment: what is distinct among them is no matter of indexes."""

GROWING = {each._meta.db_table for each in (AuditEvent, ModelVersion, Tenure)}


QUERIES = {
    "overview": 21,
    "overview, worst state first": 21,
    "overview, outside approval": 20,
    "inbox": 14,
    "inbox, by risk": 14,
    "inbox, mine": 11,
    "inbox, decided": 15,
    "review queue": 41,
    "review queue, by risk": 41,
    "models": 15,
    "models, last page": 15,
    "models, part of a name": 15,
    "models, with open requests": 16,
    "models, by name": 15,
    "model": 35,
    "model of 10,000 versions": 35,
    "model of 10,000 versions, last page": 34,
    "version": 32,
    "version of 10,000 versions": 32,
    "compare versions": 21,
    "new request": 22,
    "new request of 10,000 versions": 22,
    "request": 33,
    "request, live part": 24,
    "request, comparison": 11,
    "certificate": 15,
    "findings": 9,
    "incidents": 9,
    "incidents, resolved": 10,
    "incident": 12,
    "history": 12,
    "history, last page": 12,
    "history of a model": 14,
    "history of a person": 13,
    "history of a version": 14,
    "history of a request": 14,
    "history of an action": 13,
    "history of a kind of action": 13,
    "history of a time": 14,
    "history of a target": 14,
    "event": 9,
    "time travel": 20,
    "time travel of a model": 23,
    "import of history": 7,
    "ledger": 14,
    "ledger, live part": 7,
    "checkpoints": 4,
    "policies": 13,
    "policy": 19,
    "versions of a policy": 8,
    "requests under a policy": 9,
    "target": 8,
    "freezes": 7,
    "notifications": 9,
    "counts in the head": 5,
    "choices of notifications": 9,
    "people": 12,
    "person": 13,
    "search": 13,
    "jump": 10,
    "audit, who can approve what": 14,
    "MLflow's gate, its policy": 2,
    "system": 38,
    "preferences": 8,
    "readyz": 14,
}
"""The most that each page may ask, session and head included."""

MORE = 3
"""So many more where the filling, which hangs on the hour, has left something to tell of, such as an incident."""

OTHERS = 25
"""The same of a page that is not named here."""


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The growing tables that this step of a plan, or one below it, reads from end to end."""
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in GROWING:
        yield plan["Relation Name"]
    for below in plan.get("Plans", ()):
        yield from scanned(below)


class Explained:
    """Wraps each query of a page: counts it, and asks for its plan before it runs."""

    def __init__(self) -> None:
        self.queries, self.faults = 0, list[str]()

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(EXPLAIN):
            self.queries += 1
            if sql.lstrip(" (").startswith("SELECT"):
                self.faults += [f"{table} is read from end to end by {sql}" for table in scanned(_plan(sql, params))]
        return execute(sql, params, many, context)


def _plan(sql: str, params: Any) -> dict[str, Any]:
    with connection.cursor() as cursor:  # of its own: rows in batches come by one that can do nothing else
        cursor.execute(f"{EXPLAIN}{sql}", params)
        (found,) = cursor.fetchone()
    return dict((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])


@pytest.fixture
def large(committed: None) -> None:
    filling.fill(SIZES)


@pytest.mark.usefixtures("large")
def test_no_page_reads_all_events_versions_or_tenures() -> None:
    client, faults, counted = signed_in_client(), [], {}
    with connection.cursor() as cursor:
        cursor.execute(MEMORY)
    for page, path in pages().items():
        if page in (*WHOLE_PERIOD, *MOMENT):
            continue
        client.get(path, headers=GATES_OWN if path.startswith("/gate/") else {})  # what is kept is there afterwards
        explained = Explained()
        with connection.execute_wrapper(explained):
            answer = client.get(path, headers=GATES_OWN if path.startswith("/gate/") else {})
            b"".join(answer) if answer.streaming else answer.content
        counted[page] = explained.queries
        faults += [f"{page}: {fault}" for fault in explained.faults]
    scrape = Explained()
    with connection.execute_wrapper(scrape):
        list(database.numbers())
    faults += [f"metrics: {fault}" for fault in scrape.faults]
    assert not faults, "\n\n".join(faults)
    assert {page: count for page, count in counted.items() if count > QUERIES.get(page, OTHERS) + MORE} == {}
    explained = Explained()
    with connection.execute_wrapper(explained):
        AuditEvent.objects.filter(payload__contains="October").count()
    assert len(explained.faults) == 1, "what would be a fault is found"
    assert "approvals_auditevent" in explained.faults[0]
