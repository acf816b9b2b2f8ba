"""The ledger: appended in the transaction of what it tells of, and any alteration is found."""

import uuid
from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import User
from approvals import ledger
from approvals.ledger import triggers
from approvals.models import Action, AuditEvent, ChainHead, defaults

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


def test_record_refuses_values_that_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        append(value=float("nan"))
    assert ledger.verify().events == 0


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
