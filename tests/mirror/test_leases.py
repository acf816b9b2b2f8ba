"""The lease of a pull or sweep says that its process lives."""

import time
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from mirror import clock, leases
from mirror.models import MirrorState

LEASE = "sweeping_until"


def until() -> object:
    return getattr(MirrorState.objects.current(), LEASE)


def renewed_after(moment: object) -> None:
    deadline = time.monotonic() + 30
    while until() == moment and time.monotonic() < deadline:
        time.sleep(0.01)
    assert until() > moment  # type: ignore[operator]


@pytest.mark.django_db
def test_one_holds_it_and_the_next_one_gets_it_afterwards() -> None:
    with leases.held(LEASE) as first:
        with leases.held(LEASE) as second:
            assert (first, second) == (True, False)
        assert until() is not None, "who did not get it does not give it back"
    assert until() is None
    with pytest.raises(KeyError), leases.held(LEASE):
        raise KeyError
    assert until() is None


@pytest.mark.django_db
def test_after_a_process_that_was_killed_the_next_one_waits_for_seconds_and_not_for_minutes() -> None:
    MirrorState.objects.claim(LEASE, seconds=leases.SECONDS)
    left = (MirrorState.objects.current().sweeping_until - timezone.now()).total_seconds()
    assert left <= 20
    MirrorState.objects.record(**{LEASE: timezone.now() - timedelta(milliseconds=1)})
    with leases.held(LEASE) as is_ours:
        assert is_ours


@pytest.mark.usefixtures("committed")
def test_it_is_renewed_while_the_work_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.02)
    with leases.held(LEASE):
        renewed_after(until())
    assert until() is None


@pytest.mark.usefixtures("committed")
def test_a_lease_that_another_process_took_over_is_neither_renewed_nor_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.01)
    others = timezone.now() + timedelta(hours=1)
    with leases.held(LEASE):
        MirrorState.objects.record(**{LEASE: others})
        time.sleep(0.1)
        assert until() == others
    assert until() == others


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("breaks", ["the database is away", "the session is gone"])
def test_what_breaks_between_two_renewals_does_not_end_them(breaks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.02)
    if breaks == "the session is gone" and connection.vendor != "postgresql":
        pytest.skip("SQLite has no session that another can end.")
    with leases.held(LEASE):
        renewed_after(until())
        if breaks == "the session is gone":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        else:
            there, failed = clock.now, list[bool]()

            def away() -> datetime:
                if not failed:
                    failed.append(True)
                    raise OperationalError("the connection is closed")
                return there()

            monkeypatch.setattr(clock, "now", away)
            deadline = time.monotonic() + 30
            while not failed and time.monotonic() < deadline:
                time.sleep(0.01)
        renewed_after(until())
    assert until() is None


@pytest.mark.django_db
def test_a_lease_that_cannot_be_given_back_does_not_hide_what_became_of_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(_: object) -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(leases._Keeper, "_ours", away)
    with pytest.raises(KeyError), leases.held(LEASE):
        raise KeyError
    assert until() is not None, "it runs out"


@pytest.mark.usefixtures("committed")
def test_work_that_never_ends_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.01)
    monkeypatch.setattr(leases, "LONGEST", 0)
    with leases.held(LEASE):
        began_with = until()
        time.sleep(0.1)
        assert until() == began_with
