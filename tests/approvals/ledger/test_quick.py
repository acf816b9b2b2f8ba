"""The first pass, in which PostgreSQL computes the hashes: it gives the same verdicts as computing them here, and one
that lies is found by the sample, or by the proof that asks it for no hash. SQLite has no such function."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from approvals import ledger
from approvals.ledger import chain, quick
from approvals.ledger.quick import Block, Hashed, Way
from approvals.models import Action, AuditEvent, ChainHead
from tests.approvals.ledger import tampering

pytestmark = pytest.mark.django_db
IS_POSTGRESQL = connection.vendor == "postgresql"
NASTY = '"quoted" \\ \u2028 é \U0001f600 \x01\x1f\x7f \n\t'


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "OURS", Way(2, quick.OURS.ask))
    monkeypatch.setattr(quick, "THE_DATABASES", Way(3, quick.THE_DATABASES.ask))
    monkeypatch.setattr(chain, "SAMPLE", 1)


def append(count: int = 10) -> None:
    with transaction.atomic():
        for number in range(count):
            ledger.record(Action.GROUP_CREATED, actor=None, acting=NASTY, model_name="fraud", data={NASTY: number})


def first_pass() -> ledger.Verdict:
    return ledger.verify(first_pass=True)


def test_it_says_who_computed_the_hashes() -> None:
    append()
    verdict = first_pass()
    assert (verdict.problem, verdict.events, verdict.in_database) == ("", 10, IS_POSTGRESQL)
    assert verdict.head == ledger.head().hash
    assert not ledger.verify().in_database


def test_a_chain_that_a_sample_would_cover_is_computed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "SAMPLE", 20)
    append()
    assert (first_pass().is_intact, first_pass().in_database) == (True, False)


TAMPERED: dict[str, Callable[[], None]] = {
    "a payload": lambda: tampering.alter(5, payload="{}"),
    "a label": lambda: tampering.alter(5, actor_label="Mallory"),
    "a time": lambda: tampering.alter(5, at="2026-01-01T00:00:00Z"),
    "a link": lambda: tampering.alter(5, previous_hash="0" * 64),
    "a hash": lambda: tampering.alter(5, hash="0" * 64),
    "with a hash that fits": lambda: tampering.alter(5, payload="{}", with_fitting_hash=True),
    "deleted": lambda: tampering.delete(5),
    "the last deleted": lambda: tampering.delete(10),
    "swapped": lambda: tampering.swap(4, 6),
    "cut off": lambda: tampering.cut_off(5),
}


@pytest.mark.each_database
@pytest.mark.parametrize("what", TAMPERED)
def test_it_names_what_computing_every_hash_names(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append()
    TAMPERED[what]()
    # Without a sample: what is found, the database found.
    monkeypatch.setattr(chain, "SAMPLE", 0)
    monkeypatch.setattr(chain, "_sampled", lambda *_: None)
    quickly, ours = first_pass(), ledger.verify()
    assert (quickly.problem, quickly.first_bad, quickly.events) == (ours.problem, ours.first_bad, ours.events)
    assert ours.is_intact is (what == "cut off")  # which checkpoints know
    assert quickly.in_database is IS_POSTGRESQL


def test_a_head_that_is_gone_is_told_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    append()
    with tampering.without_triggers():
        ChainHead.objects.all().delete()
    assert first_pass().problem == ledger.verify().problem == "The head of the ledger is not there."
    monkeypatch.setattr(chain, "connection", SimpleNamespace(vendor="postgresql"))
    assert not chain.can_hash_in_database()


def believing(first: int, last: int) -> Hashed:
    """What a database says that calls every row fitting."""
    rows = AuditEvent.objects.filter(sequence__range=(first, last)).order_by("sequence")
    return Hashed(True, *(" ".join(rows.values_list(name, flat=True)) for name in ("previous_hash", "hash")))


def test_a_database_that_lies_is_found_by_the_sample_and_by_the_whole_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    append()
    lying = Way(3, lambda _, first, last: believing(first, last))
    monkeypatch.setattr(quick, "THE_DATABASES", lying)
    monkeypatch.setattr(chain, "can_hash_in_database", lambda _: True)
    assert first_pass().is_intact
    tampering.alter(5, payload="{}")
    monkeypatch.setattr(chain, "SAMPLE", 0)  # the last block alone
    assert first_pass().is_intact
    monkeypatch.setattr(chain, "SAMPLE", 5)  # all of them
    assert first_pass().problem.startswith("Event 5 was altered")
    monkeypatch.setattr(chain, "SAMPLE", 0)
    assert ledger.verify().problem.startswith("Event 5 was altered")
    tampering.alter(10, payload="{}")  # the newest are always in the sample
    assert first_pass().problem.startswith("Event 10 was altered")


def test_no_verdict_on_a_row_is_none_in_its_favour() -> None:
    """A column that may be empty by force gives no text, no hash and no comparison."""
    if not IS_POSTGRESQL:
        assert first_pass().in_database is False
        return
    append()
    with tampering.without_triggers(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE approvals_auditevent ALTER COLUMN allowed_by DROP NOT NULL")
        cursor.execute("UPDATE approvals_auditevent SET allowed_by = NULL WHERE sequence = 5")
    assert first_pass().first_bad == 5
    assert ledger.verify().first_bad == 5


def test_a_function_of_the_same_name_elsewhere_is_not_asked() -> None:
    if not IS_POSTGRESQL:
        return  # nobody can add one there but this program
    append()
    with connection.cursor() as cursor:
        for name, given in (("to_json", "text"), ("sha256", "bytea"), ("encode", "bytea, text")):
            cursor.execute(
                f"CREATE FUNCTION public.{name}({given}) RETURNS text LANGUAGE sql AS $$ SELECT 'x'::text $$"
            )
        cursor.execute("SET LOCAL search_path = public, pg_catalog")
    assert (first_pass().problem, first_pass().in_database) == ("", True)


def test_a_block_ends_where_each_row_follows_and_fits() -> None:
    append(4)
    block = quick.block(connection, 2, 4)
    first, second, last = AuditEvent.objects.filter(sequence__in=(1, 2, 4)).order_by("sequence")
    assert isinstance(block, Block)
    assert block.ending(first.hash) == last.hash
    assert block.ending(second.hash) is None
    assert quick.block(connection, 2, 5) is None
    believed = believing(2, 4)
    assert believed.ending(first.hash) == last.hash
    assert believed.ending(second.hash) is None
    assert believing(2, 2).ending(first.hash) == second.hash
