"""The whole room. Programs at the same moment: real threads on a database with real commits."""

import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from api import waiting
from approvals import ledger, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, PromotionRequest, Review, Status, Target
from tests.support.api import Answer, Machine
from tests.support.factories import make_person, make_policy, make_request, make_version
from tests.support.threads import at_once

pytestmark = pytest.mark.usefixtures("committed")
BODY = {"model": "churn_predictor", "version": "1", "target": "Staging", "justification": "Better."}


@pytest.fixture
def asked(committed: None) -> PromotionRequest:
    staging = Target.objects.get(name="Staging")
    make_policy("*", staging, (2, None))
    return make_request(make_version(), staging, by=make_person("Rita Sanz", "requester"))


def reviewer(name: str) -> User:
    return make_person(name, "reviewer")


def review(machine: Machine, asked: PromotionRequest) -> Answer:
    said = {"verdict": "approve", "fingerprint": asked.fingerprint}
    return machine.post(f"/requests/{asked.pk}/reviews", said)


def outcomes(results: list[Any]) -> Counter[tuple[int, str]]:
    return Counter((each.status, each.body.get("code", "")) for each in results)


def test_two_reviewers_at_once_approve_exactly_once(asked: PromotionRequest) -> None:
    machines = [Machine(reviewer(name), name=name) for name in ("Remy Ortiz", "Rosa Lind")]
    results = at_once(*[lambda machine=machine: review(machine, asked) for machine in machines])  # type: ignore[misc]
    assert outcomes(results) == {(201, ""): 2}
    asked.refresh_from_db()
    assert asked.status == Status.APPROVED
    assert OutboxEntry.objects.count() == 1
    assert AuditEvent.objects.filter(action=Action.REQUEST_APPROVED).count() == 1
    for event in AuditEvent.objects.filter(action=Action.REVIEW_APPROVED):
        assert event.actor is not None
        assert event.data["through"]["token"] == event.actor.name  # each its own, though they ran side by side
    assert ledger.verify().is_intact


def test_one_reviewer_with_two_tokens_counts_once(asked: PromotionRequest) -> None:
    remy = reviewer("Remy Ortiz")
    machines = [Machine(remy, name=name) for name in ("one", "two", "three")]
    results = at_once(*[lambda machine=machine: review(machine, asked) for machine in machines])  # type: ignore[misc]
    assert outcomes(results) == {(201, ""): 1, (403, "already_decided"): 2}
    assert Review.objects.count() == 1


def test_the_same_asked_twice_at_once_is_one_request(asked: PromotionRequest) -> None:
    workflow.withdraw(asked, by=asked.requester)
    machine = Machine(asked.requester)
    results = at_once(*[lambda: machine.post("/requests", BODY)] * 3)
    assert outcomes(results) == {(201, ""): 1, (409, "already_open"): 2}
    assert PromotionRequest.objects.open().count() == 1


def test_the_same_key_twice_at_once_is_one_request(asked: PromotionRequest) -> None:
    workflow.withdraw(asked, by=asked.requester)
    machine = Machine(asked.requester)
    results: list[Any] = at_once(*[lambda: machine.post("/requests", BODY, idempotency_key="run-7")] * 3)
    found = outcomes(results)
    assert found[(201, "")] == 1
    assert found.keys() <= {(201, ""), (200, ""), (409, "still_running")}
    assert PromotionRequest.objects.open().count() == 1
    assert machine.post("/requests", BODY, idempotency_key="run-7").status == 200


def test_who_waits_holds_no_transaction_and_sees_what_others_commit(
    asked: PromotionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, remy = Machine(asked.requester), reviewer("Remy Ortiz")
    seen = machine.get(f"/requests/{asked.pk}")["revision"]
    slept = []

    def approve() -> None:
        workflow.review(asked, by=remy, verdict="approve")
        connection.close()

    def sleep(seconds: float) -> None:
        assert not connection.in_atomic_block
        slept.append(seconds)
        if len(slept) == 2:
            thread = threading.Thread(target=approve)
            thread.start()
            thread.join(60)

    monkeypatch.setattr(waiting.time, "sleep", sleep)
    found = machine.get(f"/requests/{asked.pk}?wait=30&since={seen}")
    assert (found["approvals_given"], len(slept)) == (1, 2)
