"""How often somebody may ask."""

from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError

from accounts import limits as counting
from accounts.limits import Limiter
from accounts.models import User
from api import limits
from api.problems import Problem
from tests.support.api import Machine


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, db: None) -> "Clock":
    clock = Clock()
    cache.clear()
    monkeypatch.setattr(limits, "LIMITER", Limiter(clock))
    return clock


class Clock:
    now = 1_000_000_020.0  # a minute begins here

    def __call__(self) -> float:
        return self.now


def test_who_asks_too_often_is_told_when_to_come_back(rita: User, settings: Any, fresh: Clock) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    machine, other = Machine(rita), Machine(rita)
    fresh.now += 20
    assert [machine.get("/me").status for _ in range(3)] == [200] * 3
    found = machine.get("/me")
    assert (found.status, found["code"], found.header("Retry-After")) == (429, "too_many_requests", "40")
    assert "40 seconds" in found["detail"]
    assert other.get("/me").status == 200, "Another token has its own."
    fresh.now += 40
    assert machine.get("/me").status == 200


def test_without_a_good_token_an_address_has_few_tries(settings: Any, rita: User) -> None:
    settings.API_ANONYMOUS_PER_MINUTE = 2
    stranger = Machine()
    assert [stranger.get("/models").status for _ in range(3)] == [401, 401, 429]
    assert Machine(text="csn_x").get("/models").status == 429
    assert stranger.get("/openapi.json").status == 429
    assert Machine(rita).get("/me").status == 200, "A good token is not its neighbours' fault."


def test_all_addresses_of_one_network_of_ipv6_have_those_together(settings: Any) -> None:
    settings.API_ANONYMOUS_PER_MINUTE = 2
    limits.check_address("2001:db8::1")
    limits.check_address("2001:db8::2")
    with pytest.raises(Problem):
        limits.check_address("2001:db8::3")
    limits.check_address("2001:db8:1::1")


def test_processes_share_what_they_counted() -> None:
    clock = Clock()
    one, two = Limiter(clock), Limiter(clock)
    let_through = sum(not limiter.hit("token:1", 100) for _ in range(100) for limiter in (one, two))
    assert 100 <= let_through <= 105, "At most a step more."


def test_most_requests_cost_no_query(django_assert_num_queries: Any) -> None:
    limiter = Limiter(Clock())
    with django_assert_num_queries(0):
        for _ in range(29):
            limiter.hit("token:1", 600)


def test_without_the_cache_each_process_goes_by_its_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(counting, "hit", fail)
    limiter = Limiter(Clock())
    assert [bool(limiter.hit("token:1", 5)) for _ in range(7)] == [False] * 5 + [True] * 2


def test_many_clients_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_KEPT", 10)
    limiter = Limiter(Clock())
    for number in range(100):
        limiter.hit(f"address:{number}", 600)
    assert len(limiter._counts) <= 10
