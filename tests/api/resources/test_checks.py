"""Checks of a request, and results that programs report."""

from typing import Any

import pytest

from accounts.models import User
from approvals.models import PromotionRequest, Target
from approvals.policy import CheckRule
from tests.support.api import Answer, Machine
from tests.support.ci_service import CI, result_of
from tests.support.factories import make_policy, make_request, make_service_account, make_version


@pytest.fixture
def asked(rita: User, staging: Target) -> PromotionRequest:
    """In checks, waiting for the external check `ci`."""
    check = CheckRule("external", "block", {**CI, "url": "https://ci.example.com/"})
    make_policy("*", staging, (1, None), checks=(check,))
    return make_request(make_version(), staging, by=rita)


@pytest.fixture
def machine(ada: User, remy: User) -> Machine:
    return Machine(make_service_account("ci-bot", owner=remy, groups=("ci",)), "checks:write", "read", name="ci-train")


def report(machine: Machine, asked: PromotionRequest, name: str = "ci", **changed: Any) -> Answer:
    said = {"result": "pass", "reason": "All 214 tests passed.", "fingerprint": result_of(asked).fingerprint, **changed}
    return machine.post(f"/requests/{asked.pk}/checks/{name}", said)


def test_the_last_result_lets_people_review(asked: PromotionRequest, machine: Machine) -> None:
    files, external = machine.get(f"/requests/{asked.pk}/checks")["items"]
    assert (files["name"], files["outcome"]) == ("", "pass")
    assert (external["name"], external["outcome"], external["blocks"]) == ("ci", "waiting", False)
    found = report(machine, asked, fingerprint=external["fingerprint"])
    assert (found.status, found["detail"], found["check"]["outcome"]) == (200, "The answer is recorded.", "pass")
    assert machine.get(f"/requests/{asked.pk}")["status"] == "pending"
    event = asked.events.get(action="check.answered")
    assert event.actor.name == "ci-bot"
    assert event.data["through"]["token"] == "ci-train"
    assert report(machine, asked)["detail"] == "The answer was recorded already."
    other = report(machine, asked, result="fail")
    assert (other.status, other["code"], other["request"]) == (409, "already_answered", asked.pk)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"name": "other"}, 404, "no_such_check"),
        ({"name": "files"}, 404, "no_such_check"),
        ({"fingerprint": "0" * 64}, 409, "evidence_changed"),
        ({"fingerprint": ""}, 422, "invalid"),
        ({"result": "maybe"}, 422, "invalid"),
        ({"reason": "x" * 1001}, 422, "invalid"),
    ],
)
def test_what_is_no_result_of_this_check_changes_nothing(
    asked: PromotionRequest, machine: Machine, changed: dict[str, Any], status: int, code: str
) -> None:
    found = report(machine, asked, **changed)
    assert (found.status, found["code"]) == (status, code)
    assert result_of(asked).outcome == "waiting"
