"""The ledger in its order, as a program reads it."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals.models import AuditEvent, Target
from approvals.selectors import history
from tests.support.api import Machine
from tests.support.factories import approve, make_policy, make_request, make_version


@pytest.fixture
def machine(rita: User, remy: User, vera: User, staging: Target) -> Machine:
    make_policy("*", staging, (1, None))
    approve(make_request(make_version(), staging, by=rita), remy)
    return Machine(vera, "audit:read", name="ci-train")


def test_it_is_read_to_its_end_in_order_and_goes_on(machine: Machine, rita: User, staging: Target) -> None:
    seen, after = [], 0
    while True:
        page = machine.get(f"/events?after={after}&limit=2")
        if not page["items"]:
            break
        seen += [each["sequence"] for each in page["items"]]
        after = page["next"]
    assert seen == list(AuditEvent.objects.order_by("sequence").values_list("sequence", flat=True))
    assert (page["next"], page["last"]) == (seen[-1], seen[-1])
    make_request(make_version(), staging, by=rita)
    later = machine.get(f"/events?after={after}")["items"]
    assert [each["action"] for each in later] == ["request.created", "request.checked"]


def test_an_event_is_told_in_words_and_as_the_hash_covers_it(machine: Machine) -> None:
    found = machine.get("/events")
    exported = [json.loads(line) for line in history.json_lines(AuditEvent.objects.all())]
    assert [each["record"] for each in found["items"]] == exported
    approved = next(each for each in found["items"] if each["action"] == "review.approved")
    assert approved["actor"] == "Remy Ortiz <remy@example.com>"
    assert approved["sentence"].startswith("approved")
    assert (approved["model"], approved["version"], approved["target"]) == ("churn_predictor", "1", "Staging")


def test_that_it_is_read_is_on_the_record_once_a_day(machine: Machine, vera: User) -> None:
    for _ in range(3):
        last = machine.get("/events?after=1")["items"][-1]
    assert AuditEvent.objects.filter(action="history.exported").count() == 1
    assert (last["action"], last["data"]["through"]["token"]) == ("history.exported", "ci-train")


def test_it_is_for_those_who_may_export(machine: Machine, rita: User) -> None:
    found = Machine(rita).get("/events")
    assert (found.status, found["code"]) == (403, "role_required")
    assert found["detail"] == "Only auditors and administrators can export the history."


@pytest.mark.each_database
@pytest.mark.parametrize("after", ["-1", "x", str(2**63)])
def test_what_is_no_number_of_an_event_is_refused(machine: Machine, after: str) -> None:
    assert machine.get(f"/events?after={after}").status == 422


def test_a_page_costs_the_same_however_long(machine: Machine) -> None:

    machine.get("/events")
    with CaptureQueriesContext(connection) as short:
        machine.get("/events?limit=1")
    with CaptureQueriesContext(connection) as long:
        machine.get("/events?limit=5")
    assert len(long) == len(short)
