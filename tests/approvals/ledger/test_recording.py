"""The ledger: appended in the transaction of what it tells of, and any alteration is found."""

import uuid
from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals import ledger
from approvals.ledger import recording, triggers
from approvals.models import Action, AuditEvent, ChainHead, Target, defaults
from mirror import clock
from tests.support.factories import make_request, make_version

pytestmark = pytest.mark.django_db


def append(actor: User | None = None, **data: object) -> AuditEvent:
    with transaction.atomic():
        return ledger.record(Action.GROUP_CREATED, actor=actor, correlation_id=uuid.uuid4(), data=data)


def test_events_follow_each_other_from_the_first(rita: User) -> None:
    first, second = append(rita, group="risk"), append(group="é \u2028 \U0001f600")
    assert (first.sequence, first.previous_hash) == (1, defaults.GENESIS)
    assert (second.sequence, second.previous_hash) == (2, first.hash)
    assert first.actor_label == "Rita Sanz <rita@example.com>"
    assert second.actor_label == "Countersign worker"
    assert ledger.verify() == ledger.Verdict(events=2)


def test_many_are_recorded_as_one_by_one_would_be_and_the_head_is_asked_for_once(rita: User) -> None:
    said = f"Ask {rita.label}, or rita@example.com."
    entries = [
        ledger.Entry(Action.TENURE_FOUND, f"model {number}", number, "Production", {"place": "@champion", "note": said})
        for number in range(1, 31)
    ]
    with transaction.atomic():
        ledger.record_many(entries[:2])  # the first ones of all, and those who are named have no tokens yet
        one = ledger.record(
            Action.TENURE_FOUND,
            actor=None,
            model_name="model 3",
            version_number=3,
            target_name="Production",
            data=entries[2].data,
        )
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        many = ledger.record_many(entries[3:])
    assert sum("FROM approvals_chainhead" in each["sql"] for each in queries) == 1
    assert sum(each["sql"].startswith("SELECT") for each in queries) <= 3  # the head, people, what they are called
    assert ledger.verify(with_references=False) == ledger.Verdict(events=30)
    stored = list(AuditEvent.objects.order_by("sequence"))
    assert [event.hash for event in stored[3:]] == [event.hash for event in many]
    assert [(event.model_name, event.version_number) for event in stored] == [
        (f"model {number}", number) for number in range(1, 31)
    ]
    alike = ("stored_actor", "stored_allowed_by", "payload", "target_name", "action", "actor_id", "request_id")
    for event in stored[1:]:
        assert [getattr(event, name) for name in alike] == [getattr(one, name) for name in alike]
    assert "sealed" in stored[0].payload
    assert "rita@example.com" not in stored[5].payload
    assert stored[5].data["note"] == said
    assert len({event.correlation_id for event in stored}) == 30


def test_none_of_many_is_recorded_when_one_cannot_be() -> None:
    append()
    entries = [ledger.Entry(Action.TENURE_FOUND, "fraud", data={"at": at}) for at in (1.0, float("nan"))]
    with pytest.raises(ValueError, match="Out of range float"), transaction.atomic():
        ledger.record_many(entries)
    with transaction.atomic():
        assert ledger.record_many([]) == []
    assert ledger.verify() == ledger.Verdict(events=1)


def test_what_the_database_refuses_is_an_error_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it answers to several statements at once."""
    append()
    monkeypatch.setattr(recording, "locked_head", lambda: (ledger.Link(7, "f" * 64), clock.now()))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        ledger.record_many([ledger.Entry(Action.TENURE_FOUND, "fraud")])
    with pytest.raises(DatabaseError, match="append-only"):
        append()
    assert AuditEvent.objects.count() == 1


def test_record_refuses_values_that_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        append(value=float("nan"))
    assert ledger.verify().events == 0


@pytest.mark.each_database
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE approvals_auditevent SET actor_label = 'Somebody else' WHERE sequence = 1",
        "DELETE FROM approvals_auditevent WHERE sequence = 1",
        "DELETE FROM approvals_chainhead",
        "UPDATE approvals_chainhead SET sequence = 0",
        "UPDATE approvals_chainhead SET hash = 'x'",
        "UPDATE approvals_chainhead SET sequence = 2",
    ],
)
def test_the_database_refuses_to_rewrite(statement: str) -> None:
    append()
    with pytest.raises(DatabaseError, match=r"append-only|only moves forward"), transaction.atomic():
        connection.cursor().execute(statement)
    assert ledger.verify() == ledger.Verdict(events=1)


COLUMNS = "at, action, actor_id, actor_label, allowed_by, model_name, version_number, target_name, request_id"
COPY = f"{COLUMNS}, correlation_id, payload"


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("sequence", "previous", "digest"),
    [
        ("1", "previous_hash", "hash"),  # in the place of the first
        ("1", "previous_hash", "'f'"),
        ("2", "hash", "hash"),  # the next in order, but with the hash that the first has
        ("2", "'f'", "'f'"),  # the next in number alone
        ("3", "hash", "'f'"),
    ],
)
def test_a_forged_row_is_refused_even_as_a_replacement(sequence: str, previous: str, digest: str) -> None:
    event = append()
    verb = "INSERT OR REPLACE" if connection.vendor == "sqlite" else "INSERT"
    statement = (
        f"{verb} INTO approvals_auditevent (sequence, {COPY}, previous_hash, hash) "  # noqa: S608  only parts from here
        f"SELECT {sequence}, {COPY}, {previous}, {digest} FROM approvals_auditevent WHERE sequence = 1"
    )
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(statement)
    assert ledger.verify() == ledger.Verdict(events=1)
    assert AuditEvent.objects.get().hash == event.hash


def test_the_head_cannot_be_replaced() -> None:
    append()
    verb = "INSERT OR REPLACE" if connection.vendor == "sqlite" else "INSERT"
    with pytest.raises(DatabaseError), transaction.atomic():
        connection.cursor().execute(f"{verb} INTO approvals_chainhead (id, sequence, hash) VALUES (1, 0, 'x')")
    assert ledger.verify() == ledger.Verdict(events=1)


def test_postgresql_refuses_truncate_too() -> None:
    if connection.vendor != "postgresql":
        assert connection.vendor == "sqlite"  # which has no TRUNCATE; DELETE is tried above
        return
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute("TRUNCATE approvals_auditevent CASCADE")


def alter(**fields: object) -> None:
    AuditEvent.objects.filter(sequence=2).update(**fields)


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("tamper", "first_bad", "problem"),
    [
        (lambda: alter(stored_actor="Mallory"), 2, "altered"),
        (lambda: alter(payload='{"group":"other"}'), 2, "altered"),
        (lambda: alter(stored_allowed_by="Mallory"), 2, "altered"),
        (lambda: alter(previous_hash="0" * 64), 2, "does not follow"),
        (lambda: AuditEvent.objects.filter(sequence=2).delete(), 2, "missing"),
        (lambda: AuditEvent.objects.filter(sequence=3).delete(), 3, "its head says 3"),
        (lambda: ChainHead.objects.update(hash="f" * 64), 4, "its head says 3"),
    ],
)
def test_alterations_behind_the_triggers_back_are_found(
    tamper: Callable[[], None], first_bad: int, problem: str
) -> None:
    for number in range(3):
        append(group=f"group {number}")
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in triggers._SQLITE:
                cursor.execute(f"DROP TRIGGER {name}")
        else:
            for name, (table, *_) in triggers._POSTGRESQL.items():
                cursor.execute(f"DROP TRIGGER {name} ON {table}")
    tamper()
    verdict = ledger.verify()
    assert verdict.first_bad == first_bad
    assert problem in verdict.problem


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite looks along an index in any case.")
def test_an_event_is_held_against_the_others_along_an_index(db: None) -> None:
    """A session keeps the plan that it made when there were few, and would read all for each one that follows."""
    read = []
    with transaction.atomic(), connection.cursor() as cursor:
        for count in range(20):
            ledger.record(Action.GROUP_CREATED, actor=None, data={"group": str(count)})
            cursor.execute("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'approvals_auditevent'")
            read.append(cursor.fetchone())
    assert read[-1] == read[0]


def test_what_is_said_with_an_event_follows_it_in_the_chain(production: Target, rita: User) -> None:
    request = make_request(make_version(number=7), production, by=rita)
    told = [ledger.Sequel(Action.VERSION_REPLACED, number, {"by": 7, "how": "archived"}) for number in (5, 6)]
    with transaction.atomic():
        first = ledger.record(Action.VERSION_PROMOTED, actor=None, request=request, data={"stage": "x"}, then=told)
    events = list(AuditEvent.objects.filter(sequence__gt=first.sequence).order_by("sequence"))
    assert [(each.sequence, each.version_number, each.data["by"]) for each in events] == [
        (first.sequence + 1, 5, 7),
        (first.sequence + 2, 6, 7),
    ]
    assert {(each.request_id, each.correlation_id, each.at, each.stored_actor) for each in events} == {
        (request.pk, request.correlation_id, first.at, ledger.WORKER)
    }
    assert ledger.verify().is_intact
