"""External checks as the worker makes them: claimed, made again, given up, and what their answers move."""

import json
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from approvals import tasks, workflow
from approvals.assessment import external_calls
from approvals.checks import external
from approvals.models import Assessment, PromotionRequest, Status, Target
from approvals.selectors import request_timeline
from registry_ui import lanes
from tests.support.ci_service import (
    FAIL,
    Service,
    answers_to,
    ask_for,
    hangs,
    result_of,
    says,
    status_of,
)

NO_RESULT = 'The answer has no "result" that is "pass" or "fail".'


@pytest.fixture
def asked(service: Service, rita: User, staging: Target) -> PromotionRequest:
    """In checks, waiting for one external check that blocks."""
    return ask_for(service, rita, staging)


def said_on_the_timeline(request: PromotionRequest) -> list[str]:
    return [entry.sentence for entry in request_timeline.of(request)[0]]


def test_people_are_asked_when_the_check_has_passed(service: Service, asked: PromotionRequest) -> None:
    assert status_of(asked) == Status.CHECKING
    assert external_calls.call_due() == 1
    found = result_of(asked)
    assert (found.outcome, found.reason, found.attempts) == ("pass", "All 214 tests passed.", 1)
    assert status_of(asked) == Status.PENDING
    assert answers_to(asked) == [
        {"check": "External check: ci", "passed": True, "reason": "All 214 tests passed.", "said_by": "ci"}
    ]
    assert "answered the check External check: ci: pass" in said_on_the_timeline(asked)
    told = json.loads(service.calls[0][1])["data"]
    assert told["model"] == "churn_predictor"
    assert told["version"] == asked.version.number
    assert told["target"] == "Staging"
    assert told["fingerprint"] == asked.fingerprint
    assert told["files_digest"] == "d" * 64
    assert told["answer_url"].endswith(f"/callbacks/checks/{found.token}/")
    assert external_calls.call_due() == 0


def test_a_check_that_fails_blocks_and_one_that_warns_does_not(
    service: Service, asked: PromotionRequest, rita: User, production: Target
) -> None:
    warned = ask_for(service, rita, production, "warn")
    service.behave = says(200, FAIL)
    assert external_calls.call_due() == 2
    assert result_of(asked).blocks
    assert status_of(asked) == Status.CHECKING
    asked.refresh_from_db()
    assert asked.status_reason == "Blocked by checks: External check: ci (3 tests failed)."
    assert result_of(warned).outcome == "warn"
    assert status_of(warned) == Status.PENDING


def test_a_call_that_failed_is_made_again_after_longer_and_longer_pauses_and_then_has_failed(
    service: Service, asked: PromotionRequest
) -> None:
    service.behave = says(500, b"")
    began = timezone.now()
    assert external_calls.call_due(clock=lambda: began) == 1
    found = result_of(asked)
    assert found.outcome == "waiting"
    assert found.reason == "Call 1 of 3: it answered with status 500."
    assert found.next_attempt_at == began + timedelta(seconds=15)
    assert external_calls.call_due(clock=lambda: began + timedelta(seconds=14)) == 0
    second = began + timedelta(seconds=15)
    assert external_calls.call_due(clock=lambda: second) == 1
    assert result_of(asked).next_attempt_at == second + timedelta(seconds=30)
    assert external_calls.call_due(clock=lambda: second + timedelta(seconds=30)) == 1
    found = result_of(asked)
    assert (found.outcome, found.attempts, len(service.calls)) == ("fail", 3, 3)
    assert found.reason == "It was called 3 times without success. It answered with status 500."
    assert answers_to(asked)[0]["said_by"] == "Countersign"
    assert "gave up waiting for the check External check: ci" in said_on_the_timeline(asked)
    asked.refresh_from_db()
    assert asked.status_reason.startswith("Blocked by checks: External check: ci (It was called 3 times")
    assert {headers["webhook-id"] for headers, _ in service.calls} == {f"check-{found.pk}"}


def test_a_check_that_took_the_call_and_never_answers_has_failed_at_its_deadline(
    service: Service, asked: PromotionRequest
) -> None:
    service.behave = says(202, b"")
    assert external_calls.call_due() == 1
    found = result_of(asked)
    assert (found.outcome, found.reason) == ("waiting", "It took the call and has not answered yet.")
    almost = timezone.now() + timedelta(minutes=29)
    assert external_calls.call_due(almost) == 0
    assert external_calls.call_due(almost + timedelta(minutes=2)) == 1
    found = result_of(asked)
    assert found.outcome == "fail"
    assert found.reason == "It did not answer within 30 minutes. It took the call and has not answered yet."
    assert status_of(asked) == Status.CHECKING
    assert len(service.calls) == 1


def test_a_worker_that_was_away_gives_up_what_is_over_without_a_call(service: Service, asked: PromotionRequest) -> None:
    assert external_calls.call_due(timezone.now() + timedelta(minutes=31)) == 1
    assert result_of(asked).reason == "It did not answer within 30 minutes."
    assert service.calls == []


def test_a_call_whose_worker_was_killed_is_made_again(
    service: Service, asked: PromotionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(**_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(external, "call", die)
        with pytest.raises(KeyboardInterrupt):
            external_calls.call_due()
    assert external_calls.call_due() == 0
    assert external_calls.call_due(timezone.now() + timedelta(seconds=62)) == 1
    found = result_of(asked)
    assert (found.outcome, found.attempts) == ("pass", 2)


def test_a_call_is_claimed_by_one_worker(asked: PromotionRequest) -> None:
    now = timezone.now()
    (one,), (other,) = list(external_calls.due(now)), list(external_calls.due(now))
    assert external_calls._claim(one, now)
    assert not external_calls._claim(other, now)


def test_one_that_hangs_holds_up_no_other(service: Service, rita: User, staging: Target, production: Target) -> None:
    def behave(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        is_slow = json.loads(body)["data"]["target"] == "Staging"
        (hangs if is_slow else says(200, {"result": "pass", "reason": "Fine."}))(handler, body)

    service.behave = behave
    slow, quick = (ask_for(service, rita, target) for target in (staging, production))
    began = time.monotonic()
    assert external_calls.call_due() == 2
    assert time.monotonic() - began < 2
    assert status_of(quick) == Status.PENDING
    assert result_of(slow).reason == "Call 1 of 3: it did not answer within 1 second."


def test_calls_of_a_closed_request_are_not_made(service: Service, asked: PromotionRequest, rita: User) -> None:
    workflow.withdraw(asked, by=rita)
    assert external_calls.call_due() == 0
    assert service.calls == []


def test_an_answer_about_evidence_that_changed_meanwhile_does_not_count(
    service: Service, asked: PromotionRequest
) -> None:
    def change(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        says(200, {"result": "pass", "reason": "Fine."})(handler, body)

    service.behave = change
    found = result_of(asked)
    asked.version.metrics = {"auc_roc": 0.7}
    asked.version.save()
    workflow.conclude(asked)
    fresh = result_of(asked)
    assert fresh.pk != found.pk
    external_calls._store(found, external.Answer(True, "Fine."), timezone.now())
    assert status_of(asked) == Status.CHECKING
    assert result_of(asked).outcome == "waiting"
    assert external_calls.call_due() == 1
    assert status_of(asked) == Status.PENDING


def test_submitting_again_asks_a_failed_check_again_and_keeps_one_that_passed(
    service: Service, asked: PromotionRequest, rita: User
) -> None:
    service.behave = says(200, FAIL)
    external_calls.call_due()
    failed = result_of(asked)
    asked.refresh_from_db()
    workflow.resubmit(asked, by=rita)  # the same words: the evidence is the same
    workflow.conclude(asked)
    again = result_of(asked)
    assert (again.outcome, again.fingerprint) == ("waiting", failed.fingerprint)
    service.behave = says(200, {"result": "pass", "reason": "Fine now."})
    external_calls.call_due()
    assert status_of(asked) == Status.PENDING
    passed = result_of(asked)
    PromotionRequest.objects.filter(pk=asked.pk).move(Status.CHECKING)
    workflow.conclude(asked)
    assert result_of(asked).pk == passed.pk
    assert status_of(asked) == Status.PENDING


def test_an_override_stands_while_the_evidence_does(
    service: Service, asked: PromotionRequest, ada: User, rita: User
) -> None:
    service.behave = says(200, {"result": "fail", "reason": "The runner is broken."})
    external_calls.call_due()
    workflow.override(asked, result_of(asked), by=ada, reason="Ran by hand.")
    assert status_of(asked) == Status.PENDING
    PromotionRequest.objects.filter(pk=asked.pk).move(Status.CHECKING)
    workflow.conclude(asked)
    assert result_of(asked).overridden_by == ada
    assert len(service.calls) == 1


def test_an_answer_does_not_ask_people_while_the_worker_owes_a_look(service: Service, asked: PromotionRequest) -> None:
    Assessment.objects.owe(asked)
    external_calls.call_due()
    assert result_of(asked).outcome == "pass"
    assert status_of(asked) == Status.CHECKING
    workflow.conclude(asked)
    assert status_of(asked) == Status.PENDING


def test_looking_for_calls_costs_one_query_when_there_is_none(
    asked: PromotionRequest, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    external_calls.call_due()
    with django_assert_num_queries(1):
        assert external_calls.call_due() == 0


def test_the_task_leaves_it_to_the_one_that_is_at_it(service: Service, asked: PromotionRequest) -> None:
    assert lanes.OF_TASK["approvals.call_checks"].run(tasks.call_checks) is None
    assert tasks.call_checks() == 1
