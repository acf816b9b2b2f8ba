"""Changes outside Countersign, listed and resolved."""

import pytest

from accounts.models import User
from approvals import watch
from approvals.models import Incident, Target
from tests.support.api import Machine
from tests.support.factories import make_incident


@pytest.fixture
def incident(production: Target) -> Incident:
    return make_incident("churn_predictor")


def test_they_are_listed_and_filtered(incident: Incident, remy: User, staging: Target) -> None:
    other = make_incident("demand", staging)
    watch.resolve(other, by=remy, reason="A migration.")
    machine = Machine(remy, "read")

    def numbers(query: str) -> list[int]:
        return [each["id"] for each in machine.get(f"/incidents?{query}")["items"]]

    assert numbers("") == [other.pk, incident.pk]
    assert numbers("is_open=true") == numbers("model=churn_predictor") == numbers("target=Production") == [incident.pk]
    assert numbers("is_open=false") == [other.pk]
    assert (numbers("what=deleted"), numbers("what=moved")) == ([], [other.pk, incident.pk])
    page = machine.get("/incidents?limit=1")
    assert machine.get(f"/incidents?limit=1&cursor={page['next']}")["items"][0]["id"] == incident.pk


def test_one_says_what_happened_and_ends_with_a_reason(incident: Incident, remy: User) -> None:
    machine = Machine(remy)
    found = machine.get(f"/incidents/{incident.pk}")
    assert found["title"] == "Production of churn_predictor went from version 1 to version 2"
    assert (found["before"], found["after"], found["place"]) == (["1"], ["2"], {"type": "stage", "name": "Production"})
    assert machine.post(f"/incidents/{incident.pk}/resolve", {"reason": " "})["code"] == "reason_required"
    done = machine.post(f"/incidents/{incident.pk}/resolve", {"reason": "Rolled out by hand."})
    assert (done.status, done["is_open"], done["resolution"]) == (200, False, "explained")
    assert done["resolved_by"]["name"] == "Remy Ortiz"
    again = machine.post(f"/incidents/{incident.pk}/resolve", {"reason": "Again."})
    assert (again.status, again["code"]) == (409, "already_resolved")


@pytest.mark.parametrize("number", ["7", "9" * 30])
def test_there_is_none_of_what_there_is_not(remy: User, number: str) -> None:
    machine = Machine(remy)
    assert machine.get(f"/incidents/{number}")["code"] == "no_such_incident"
    assert machine.post(f"/incidents/{number}/resolve", {"reason": "x"})["code"] == "no_such_incident"


def test_those_who_may_not_resolve_are_told_as_on_the_page(incident: Incident, rita: User) -> None:
    found = Machine(rita).post(f"/incidents/{incident.pk}/resolve", {"reason": "Mine."})
    assert (found.status, found["code"]) == (403, "role_required")
    assert found["detail"] == "Only reviewers and administrators can resolve incidents."
