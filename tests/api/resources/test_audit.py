"""Population and sample, as a program draws them."""

from collections.abc import Iterator

import pytest

from accounts.models import User
from approvals.audit import units
from approvals.models import AuditEvent, Target
from tests.support.api import Machine
from tests.support.factories import hours, make_person, make_tenure

SINCE = "since=2026-02-01&until=2026-04-01"


@pytest.fixture
def machine(vera: User, production: Target, staging: Target) -> Machine:
    held = {"origin": "imported", "places": ("Production",)}
    for number in range(1, 8):
        end = hours(number + 1) if number < 7 else None
        make_tenure("churn_predictor", number, production, hours(number), end, **held)  # type: ignore[arg-type]
    make_tenure("demand", 1, staging, hours(1), origin="imported", places=("Staging",))
    return Machine(vera, "audit:read", name="ci-train")


def pages(machine: Machine, query: str) -> Iterator[dict[str, object]]:
    cursor = ""
    while cursor is not None:
        page = machine.get(f"/audit/population?{query}&cursor={cursor}")
        assert page.status == 200, page.body
        yield page.body
        cursor = page["next"]


def test_all_pages_have_each_change_once(machine: Machine, vera: User) -> None:
    found = list(pages(machine, f"{SINCE}&limit=3"))
    ids = [each["unit"] for page in found for each in page["items"]]
    assert len(ids) == len(set(ids)) == 8 == found[0]["total"]
    assert [len(page["items"]) for page in found] == [3, 3, 2]
    assert tuple(found[0]["items"][0]) == units.COLUMNS, "what the page's export has"
    event = AuditEvent.objects.get(action="evidence.exported")
    assert (event.actor, event.data["what"], event.data["through"]["token"]) == (vera, "population", "ci-train")


def test_what_comes_while_it_is_read_is_on_no_page(machine: Machine, production: Target) -> None:
    first = machine.get("/audit/population?since=2026-02-01&limit=7")
    make_tenure("late", 1, production, AuditEvent.objects.latest("sequence").at, origin="imported")
    rest = machine.get(f"/audit/population?since=2026-02-01&limit=7&cursor={first['next']}")
    assert (len(rest["items"]), rest["total"], rest["until"], rest["next"]) == (1, 8, first["until"], None)


def test_it_is_narrowed_to_a_model_and_a_target(machine: Machine) -> None:
    for query, many in (("model=demand", 1), ("target=Production", 7), ("model=demand&target=Production", 0)):
        assert machine.get(f"/audit/population?{SINCE}&{query}")["total"] == many


def test_a_sample_can_be_drawn_again(machine: Machine) -> None:
    first = machine.get(f"/audit/sample?{SINCE}&size=3&seed=dice")
    again = machine.get(f"/audit/sample?{SINCE}&size=3&seed=dice")
    assert first["items"] == again["items"]
    assert (len(first["items"]), first["seed"], first["is_default_seed"], first["total"]) == (3, "dice", False, 8)
    assert machine.get(f"/audit/sample?{SINCE}")["is_default_seed"] is True
    told = AuditEvent.objects.filter(action="evidence.exported").order_by("sequence").first().data
    assert (told["what"], told["seed"], told["size"]) == ("sample", "dice", 3)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("since=2026-04-01&until=2026-02-01", "/query/until"),
        ("until=2026-02-01", "/query/since"),
        (f"{SINCE}&model=nothing", "/query/model"),
        (f"{SINCE}&target=Moon", "/query/target"),
        (f"{SINCE}&cursor=forged", "/query/cursor"),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_recorded(machine: Machine, query: str, pointer: str) -> None:
    found = machine.get(f"/audit/population?{query}")
    assert (found.status, found["errors"][0]["pointer"]) == (422, pointer)
    assert not AuditEvent.objects.filter(action="evidence.exported").exists()


@pytest.mark.parametrize("path", ["population", "sample"])
def test_it_is_for_those_who_may_export(machine: Machine, rita: User, path: str) -> None:
    found = Machine(rita).get(f"/audit/{path}?{SINCE}")
    assert (found.status, found["code"]) == (403, "role_required")
    assert not AuditEvent.objects.filter(action="evidence.exported").exists()


def test_a_cursor_is_no_way_round_the_role(machine: Machine, vera: User) -> None:
    page = machine.get(f"/audit/population?{SINCE}&limit=3")
    vera.groups.clear()
    assert machine.get(f"/audit/population?{SINCE}&limit=3&cursor={page['next']}").status == 403


@pytest.mark.parametrize(
    "other", ["since=2020-01-01", "since=2026-02-01&model=churn_predictor", "since=2026-02-01&target=Staging"]
)
def test_a_cursor_is_no_way_to_more_than_the_record_says(machine: Machine, other: str) -> None:
    cursor = machine.get("/audit/population?since=2026-02-01&target=Production&limit=1")["next"]
    found = machine.get(f"/audit/population?{other}&cursor={cursor}")
    assert (found.status, found["code"]) == (422, "bad_cursor")
    assert AuditEvent.objects.filter(action="evidence.exported").count() == 1


def test_a_cursor_of_someone_else_is_none(machine: Machine, vera: User) -> None:
    cursor = machine.get(f"/audit/population?{SINCE}&limit=3")["next"]
    other = make_person("Otto Reyes", *vera.group_names)
    found = Machine(other).get(f"/audit/population?{SINCE}&limit=3&cursor={cursor}")
    assert (found.status, found["code"]) == (422, "bad_cursor")
