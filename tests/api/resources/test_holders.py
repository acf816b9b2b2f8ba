"""What holds a target, now and at a moment."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from api.encoding import timestamp
from approvals.models import RequestKind, Target
from mirror.models import MirrorState
from tests.support.api import Machine
from tests.support.factories import NOON, hours, make_commenter, make_model, make_request, make_tenure, make_version
from tests.support.world import bypass, hold, settle

PATH = "/models/churn_predictor/targets/Production/holder"


@pytest.fixture
def machine(rita: User) -> Machine:
    return Machine(rita, "read")


def promoted(number: int, production: Target, rita: User, *people: User, **kind: Any) -> Any:
    version = make_version("churn_predictor", number)
    request = settle(make_request(version, production, by=rita), *people, **kind)
    hold(version, production)
    return request


def test_who_asked_and_who_approved_what_holds_it(
    machine: Machine, rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = promoted(7, production, rita, remy, rosa)
    found = machine.get(PATH).body
    assert (found["model"], found["version"], found["target"]) == ("churn_predictor", "7", "Production")
    assert found["via"] == "gate"
    assert found["request"] == {"id": request.pk, "url": f"http://127.0.0.1:8000/requests/{request.pk}/"}
    assert [each["by"]["email"] for each in found["approvals"]] == ["remy@example.com", "rosa@example.com"]
    stage = {"type": "stage", "name": "Production"}
    assert stage in found["places"]
    assert "models:/churn_predictor/Production" in found["uris"]
    assert found["at"] is None
    assert found["how"].endswith(".")


def test_how_it_came_there_is_said(machine: Machine, rita: User, remy: User, rosa: User, production: Target) -> None:
    promoted(1, production, rita, remy, rosa, kind=RequestKind.BREAK_GLASS)
    assert machine.get(PATH)["via"] == "emergency"
    two = make_version("churn_predictor", 2)
    hold(two, production)
    bypass(two, production, "Production")
    found = machine.get(PATH).body
    assert (found["version"], found["via"], found["request"], found["approvals"]) == ("2", "outside", None, [])


def test_nothing_holds_it(machine: Machine) -> None:
    make_version("churn_predictor", 1)
    found = machine.get(PATH)
    assert (found.status, found["code"]) == (404, "no_holder")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/models/nothing/targets/Production/holder", "no_such_model"),
        ("/models/nothing/targets/Production/holder?at=2026-01-01", "no_such_model"),
        ("/models/churn_predictor/targets/nowhere/holder", "no_such_target"),
        (f"{PATH}?at=2020-01-01", "no_holder"),
    ],
)
def test_what_there_is_not(machine: Machine, path: str, code: str) -> None:
    make_version("churn_predictor", 1)
    found = machine.get(path)
    assert (found.status, found["code"]) == (404, code)


def test_its_tag_changes_with_the_holder_and_not_with_the_mirror(machine: Machine, production: Target) -> None:
    hold(make_version("churn_predictor", 1), production)
    MirrorState.objects.record(pulled_at=NOON)
    tag = machine.get(PATH).header("ETag")
    MirrorState.objects.record(pulled_at=NOON + timedelta(seconds=5))
    assert machine.get(PATH, if_none_match=tag).status == 304
    hold(make_version("churn_predictor", 2), production)
    assert machine.get(PATH, if_none_match=tag)["version"] == "2"


def test_at_a_moment_the_record_answers(machine: Machine, production: Target) -> None:
    for number in (1, 2):
        make_version("churn_predictor", number)
    make_tenure("churn_predictor", 1, production, hours(0), hours(10))
    make_tenure("churn_predictor", 2, production, hours(10))
    found = machine.get(f"{PATH}?at={timestamp(hours(5))}").body
    assert (found["version"], found["since"], found["until"]) == ("1", timestamp(hours(0)), timestamp(hours(10)))
    assert found["at"] == timestamp(hours(5))
    assert machine.get(f"{PATH}?at={timestamp(hours(10))}")["version"] == "2"
    assert machine.get(f"{PATH}?at=2026-03-01T15:00%2B02:00")["at"] == "2026-03-01T13:00:00.000000Z"
    assert machine.get(f"{PATH}?at=2026-03-01")["code"] == "no_holder"


@pytest.mark.each_database
@pytest.mark.parametrize("at", ["", "x", "2026-13-01", "0001-01-01T00:00%2B10:00", "1772366400", "9999-12-31"])
def test_a_moment_that_makes_no_sense_is_refused(machine: Machine, at: str) -> None:
    make_version("churn_predictor", 1)
    found = machine.get(f"{PATH}?at={at}")
    assert found.status == 422, found.body
    assert found["errors"][0]["pointer"] == "/query/at"


def test_the_past_is_for_those_who_may_read_the_history(production: Target) -> None:
    machine = Machine(make_commenter(), "read")
    hold(make_version("churn_predictor", 1), production)
    for path in (PATH, "/holders"):
        assert machine.get(path).status == 200
        found = machine.get(f"{path}?at=2026-03-01")
        assert (found.status, found["detail"]) == (
            403, "You need a role to read the history. An administrator can give you one.",
        )  # fmt: skip


def test_all_holders_now_and_then_are_what_each_address_says(machine: Machine, production: Target) -> None:
    names = ["a/b", "m1", "m2", "m3"]
    for number, name in enumerate(names, start=1):
        hold(make_version(name, number), production)
        make_tenure(name, number, production, hours(number))
    make_model("idle")
    for query in ("", f"&at={timestamp(timezone.now())}"):
        found: list[dict[str, Any]] = []
        following: str | None = ""
        while following is not None:
            page = machine.get(f"/holders?limit=2{query}&cursor={following}")
            found += page["items"]
            following = page["next"]
        assert [(each["model"], each["version"]) for each in found] == [
            (name, str(number)) for number, name in enumerate(names, start=1)
        ]
        one = machine.get(f"/models/m2/targets/Production/holder?{query.lstrip('&')}").body
        assert {name: one[name] for name in found[2]} == found[2]


def test_the_holder_costs_few_queries(machine: Machine, rita: User, remy: User, rosa: User, production: Target) -> None:
    promoted(7, production, rita, remy, rosa)
    machine.get(PATH)
    with CaptureQueriesContext(connection) as queries:
        assert machine.get(PATH).status == 200
    assert len(queries) <= 10, [each["sql"][:120] for each in queries]
