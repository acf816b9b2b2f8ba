"""Settlements that meet: of two models side by side, of one model one after the other, and never beside a verb."""

import threading
import time
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, transaction

from approvals.models import Target
from approvals.workflow import locks
from tests.support.factories import approve, make_person, make_request, make_version
from tests.support.threads import at_once

pytestmark = [
    pytest.mark.usefixtures("committed"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="On SQLite the transaction is the lock."),
]


@pytest.fixture
def owed(committed: None) -> Target:
    """Deliveries of two models to Production."""
    rita, remy, rosa = (
        make_person("Rita Sanz", "requester"),
        make_person("Remy Ortiz", "reviewer"),
        make_person("Rosa Lind", "reviewer"),
    )
    production = Target.objects.get(name="Production")
    for name in ("alpha", "beta"):
        approve(make_request(make_version(name), production, by=rita), remy, rosa)
    return production


def waits(held: Callable[[], object], wanted: Callable[[], object]) -> bool:
    """Whether who wants the one has to wait for who holds the other."""

    def beside() -> bool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '300ms'")
            try:
                wanted()
            except OperationalError:
                return True
            return False

    def tried() -> bool:
        try:
            return beside()
        except OperationalError:  # the transaction has ended with it
            return True

    with transaction.atomic():
        held()
        [has_waited] = at_once(tried)
    return bool(has_waited)


def test_deliveries_of_two_models_are_settled_side_by_side(owed: Target) -> None:
    assert not waits(lambda: locks.lock_place("alpha", owed.pk), lambda: locks.lock_place("beta", owed.pk))


def test_deliveries_of_one_model_are_settled_one_after_the_other(owed: Target) -> None:
    assert waits(lambda: locks.lock_place("alpha", owed.pk), lambda: locks.lock_place("alpha", owed.pk))


def test_no_verb_judges_a_target_while_a_delivery_to_it_is_settled(owed: Target) -> None:
    assert waits(lambda: locks.lock_place("alpha", owed.pk), lambda: locks.lock_targets([owed.pk]))
    assert waits(lambda: locks.lock_targets([owed.pk]), lambda: locks.lock_place("alpha", owed.pk))


def test_who_signs_waits_for_what_is_settled_now_and_not_for_what_comes_after(owed: Target) -> None:
    """Else a signature would wait for as long as deliveries of some models overlap."""
    has_signed = threading.Event()

    def sign() -> None:
        with transaction.atomic():
            locks.lock_targets([owed.pk])
            has_signed.set()
        connection.close()

    signer = threading.Thread(target=sign)

    def stand_in_line() -> None:
        locks.lock_place("alpha", owed.pk)
        signer.start()
        deadline, waiting = time.monotonic() + 30, 0
        while not waiting and time.monotonic() < deadline:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                waiting = cursor.fetchone()[0]
        assert waiting

    try:
        assert waits(stand_in_line, lambda: locks.lock_place("beta", owed.pk))
    finally:
        signer.join(30)
    assert has_signed.is_set()
