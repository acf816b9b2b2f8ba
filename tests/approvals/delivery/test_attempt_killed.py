"""A worker that is killed before and after every single call of a delivery, in one world that is made once."""

import copy
from typing import Any

import pytest

from approvals import delivery
from approvals.models import PromotionRequest, Target
from tests.approvals.delivery.test_attempt import Dying, Killed, assert_promoted
from tests.support.factories import approve, make_person
from tests.support.fakes import FakeRegistry
from tests.support.world import ask, deliver, make_registry


@pytest.fixture(scope="module")
def made(kept: None) -> tuple[FakeRegistry, PromotionRequest]:
    """Version 7 approved for Production, where 6 is."""
    rita, remy, rosa = (
        make_person(name, role)
        for name, role in (("Rita Sanz", "requester"), ("Remy Ortiz", "reviewer"), ("Rosa Lind", "reviewer"))
    )
    fake = make_registry(versions=7, production=6, staging=7)
    return fake, approve(ask(fake, 7, Target.objects.get(name="Production"), by=rita), remy, rosa)


@pytest.fixture
def registry(db: None, made: tuple[FakeRegistry, PromotionRequest]) -> FakeRegistry:
    return copy.deepcopy(made[0])


@pytest.fixture
def approved(db: None, made: tuple[FakeRegistry, PromotionRequest]) -> PromotionRequest:
    return PromotionRequest.objects.get(pk=made[1].pk)


@pytest.mark.each_database
@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, 31))
def test_a_worker_killed_at_any_call_is_resumed(
    registry: FakeRegistry, approved: PromotionRequest, at: int, is_after: bool
) -> None:
    entry = approved.outbox_entries.get()
    dying: Any = Dying(registry, at, is_after=is_after)
    try:
        delivery.deliver(entry.pk, dying)
    except Killed:
        entry.refresh_from_db()
        assert entry.closed_at is None
        assert delivery.deliver(entry.pk, registry) == "skipped"  # the lease still runs
        assert deliver(approved, registry) == "applied"
    else:
        assert at > 20, "a delivery makes fewer calls than this test kills"
    assert_promoted(registry, approved)
