"""Pages of lists, cut where the last row stood."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from api import cursors
from api.problems import Problem
from mirror.models import RegisteredModel
from tests.support.api import Machine
from tests.support.factories import make_model


def all_pages(machine: Machine, path: str) -> list[str]:
    """Names, following the header `Link` to the end."""
    found: list[str] = []
    following: str | None = path
    while following:
        answer = machine.get(following)
        found += [each["model"] for each in answer["items"]]
        link = answer.header("Link")
        assert bool(link) is (answer["next"] is not None)
        following = link.removeprefix("<").partition(">")[0].partition("/api/v1")[2] or None
    return found


@pytest.mark.each_database
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_following_the_link_shows_every_row_once_in_order(rita: User, limit: int) -> None:
    names = ["a/b", "a b", "größe", "m1", "m10", "m2", "zz"]
    for name in names:
        make_model(name)
    in_order = list(RegisteredModel.objects.order_by("name").values_list("name", flat=True))
    assert all_pages(Machine(rita), f"/models?limit={limit}") == in_order


def test_what_is_asked_for_stays_in_the_address_of_the_next_page(rita: User) -> None:
    for name in ("churn_a", "churn_b", "churn_c", "demand"):
        make_model(name)
    assert all_pages(Machine(rita), "/models?q=churn&limit=1") == ["churn_a", "churn_b", "churn_c"]


def test_a_row_that_comes_or_goes_meanwhile_moves_no_other(rita: User) -> None:
    for name in ("b", "d", "f"):
        make_model(name)
    machine = Machine(rita)
    first = machine.get("/models?limit=2")
    make_model("a")
    make_model("e")
    second = machine.get(f"/models?limit=2&cursor={first['next']}")
    assert [each["model"] for each in second["items"]] == ["e", "f"]


def test_a_cursor_is_what_was_handed_out_for_this_list() -> None:
    cursor = cursors.write("größe:1", "name")
    assert cursors.read(cursor, "name") == "größe:1"
    assert cursors.read("", "name") is None
    for wrong, key in (
        (cursor, "-number"),
        (cursor[:-1], "name"),
        (f"x{cursor}", "name"),
        (".", "name"),
        ("é", "name"),
    ):
        with pytest.raises(Problem) as refused:
            cursors.read(wrong, key)
        assert (refused.value.status, refused.value.code) == (422, "bad_cursor")


def test_a_page_far_down_costs_what_the_first_does(rita: User) -> None:
    for number in range(12):
        make_model(f"m{number:02}")
    machine = Machine(rita)
    machine.get("/models?limit=2")
    counts = set()
    following = ""
    for _ in range(5):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            following = machine.get(f"/models?limit=2&cursor={following}")["next"]
        counts.add(len(queries))
    assert len(counts) == 1
