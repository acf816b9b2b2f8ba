"""Answers of external checks that are posted later, and the example that a CI runs."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals import workflow
from approvals.assessment import external_calls
from approvals.checks import signing
from approvals.models import CheckResult, PromotionRequest, Status, Target
from approvals.webhooks import check_results
from approvals.webhooks.reply import Verdict
from registry_ui.demo.installation import ROOT
from tests.support.ci_service import (
    FAIL,
    PASS,
    SECRET,
    Service,
    answers_to,
    ask_for,
    result_of,
    says,
    status_of,
)
from tests.support.factories import make_service_account

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def asked(service: Service, rita: User, staging: Target) -> PromotionRequest:
    """In checks, waiting for one external check that blocks."""
    return ask_for(service, rita, staging)


def post(
    client: Client,
    result: CheckResult,
    said: Any = None,
    *,
    secret: str = SECRET,
    at: datetime | None = None,
    token: str = "",
    **changed: str,
) -> Any:
    body = said if isinstance(said, bytes) else json.dumps({"fingerprint": result.fingerprint, **said}).encode()
    headers = signing.sign(body, secret, message_id="answer-1", now=at or timezone.now()) | changed
    address = f"/callbacks/checks/{token or result.token}/"
    return client.post(address, body, content_type="application/json", headers=headers)


@pytest.fixture
def waiting(service: Service, asked: PromotionRequest) -> CheckResult:
    """The service took the call and will post its answer."""
    service.behave = says(202, b"")
    external_calls.call_due()
    return result_of(asked)


@pytest.fixture
def outside() -> Client:
    return Client(enforce_csrf_checks=True)


def test_an_answer_that_is_posted_later_moves_the_request_on(
    outside: Client, asked: PromotionRequest, waiting: CheckResult
) -> None:
    answer = post(outside, waiting, PASS)
    assert (answer.status_code, answer.json()) == (200, {"detail": "The answer is recorded."})
    assert result_of(asked).reason == "All 214 tests passed."
    assert status_of(asked) == Status.PENDING


def test_the_same_answer_twice_is_fine_and_another_one_changes_nothing(
    outside: Client, asked: PromotionRequest, waiting: CheckResult
) -> None:
    assert post(outside, waiting, FAIL).status_code == 200
    assert post(outside, waiting, FAIL).json() == {"detail": "The answer was recorded already."}
    other = post(outside, waiting, PASS)
    assert (other.status_code, other.json()["detail"]) == (409, "Another answer was recorded before, and counts.")
    assert result_of(asked).outcome == "fail"
    assert [told["passed"] for told in answers_to(asked)] == [False]
    assert status_of(asked) == Status.CHECKING


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        ({"secret": signing.secret_for("other")}, 401, "The signature is wrong."),
        ({"webhook-signature": "v1,AAAA"}, 401, "The signature is wrong."),
        ({"webhook-signature": ""}, 401, "The headers webhook-id, webhook-timestamp and webhook-signature are needed."),
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, 401, "more than 300 seconds off"),
        ({"token": "unknown"}, 404, "No check waits here."),
        ({"said": b"not json"}, 400, "The answer is not JSON."),
        ({"said": {"result": "maybe"}}, 400, "no \"result\""),
        ({"said": {**PASS, "fingerprint": "0" * 64}}, 409, "fingerprint is not that"),
        ({"said": {**PASS, "fingerprint": None}}, 409, "fingerprint is not that"),
        ({"said": b" " * (64 * 1024 + 1)}, 413, "at most 64 KB"),
    ],
)  # fmt: skip
def test_what_is_not_an_answer_changes_nothing(
    outside: Client, asked: PromotionRequest, waiting: CheckResult, sent: dict[str, Any], status: int, detail: str
) -> None:
    answer = post(outside, waiting, **{"said": PASS, **sent})
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    found = result_of(asked)
    assert (found.outcome, found.answered_at) == ("waiting", None)
    assert answers_to(asked) == []


def test_a_body_that_was_changed_on_the_way_changes_nothing(
    outside: Client, asked: PromotionRequest, waiting: CheckResult
) -> None:
    signed = json.dumps({**FAIL, "fingerprint": waiting.fingerprint}).encode()
    headers = signing.sign(signed, SECRET, message_id="a", now=timezone.now())
    changed = signed.replace(b'"fail"', b'"pass"')
    answer = outside.post(
        f"/callbacks/checks/{waiting.token}/", changed, content_type="application/json", headers=headers
    )
    assert answer.status_code == 401
    assert result_of(asked).outcome == "waiting"


def test_a_late_answer_does_not_count(outside: Client, asked: PromotionRequest, waiting: CheckResult) -> None:
    """Nobody has looked since the deadline; the answer itself makes it fail."""
    CheckResult.objects.filter(pk=waiting.pk).update(deadline_at=timezone.now() - timedelta(seconds=1))
    answer = post(outside, waiting, PASS)
    assert answer.status_code == 409
    found = result_of(asked)
    assert found.outcome == "fail"
    assert found.reason.startswith("It did not answer within 30 minutes.")


def test_the_answer_for_a_closed_request_is_refused(
    outside: Client, asked: PromotionRequest, waiting: CheckResult, rita: User
) -> None:
    workflow.withdraw(asked, by=rita)
    answer = post(outside, waiting, PASS)
    assert (answer.status_code, answer.json()["detail"]) == (409, "The request does not wait for this answer any more.")
    assert answers_to(asked) == []


def test_an_answer_for_one_request_cannot_be_posted_for_another(
    outside: Client, service: Service, waiting: CheckResult, rita: User, production: Target
) -> None:
    other = result_of(ask_for(service, rita, production))
    said = {**PASS, "fingerprint": waiting.fingerprint}
    assert post(outside, other, said).status_code == 409
    assert result_of(other.request).outcome == "waiting"


def test_a_result_without_a_token_is_not_addressed_by_an_empty_one(outside: Client, asked: PromotionRequest) -> None:
    assert check_results.receive("", b"{}", {}, now=timezone.now()).verdict == Verdict.UNKNOWN
    assert outside.get(f"/callbacks/checks/{result_of(asked).token}/").status_code == 405


# --- The example for CI


@pytest.mark.parametrize(
    ("command", "outcome", "reason"),
    [
        ("import os; print(os.environ['MODEL_NAME'], os.environ['MODEL_VERSION'], 'is fine.')", "pass", " 1 is fine."),
        ("import sys; sys.exit('The accuracy is too low.')", "fail", "The accuracy is too low."),
    ],
)
def test_the_example_for_ci_believes_the_call_and_posts_what_the_command_said(
    settings: Settings,
    outside: Client,
    service: Service,
    rita: User,
    staging: Target,
    tmp_path: Path,
    command: str,
    outcome: str,
    reason: str,
) -> None:
    settings.SITE_URL = f"http://127.0.0.1:{service.port}"  # it posts its answer to the service, which keeps it
    asked = ask_for(service, rita, staging)
    service.behave = says(202, {"detail": "Kept."})
    external_calls.call_due()
    (headers, body) = service.calls.pop()
    call = tmp_path / "call.json"
    call.write_text(json.dumps({"headers": headers, "body": body.decode()}))
    done = run_example(call, SECRET, command)
    assert (done.returncode, done.stdout) == (0, "Kept.\n"), done.stderr

    posted, answer = service.calls.pop()
    kept = {name: value for name, value in posted.items() if name.startswith("webhook-")}
    address = f"/callbacks/checks/{result_of(asked).token}/"
    assert outside.post(address, answer, content_type="application/json", headers=kept).status_code == 200
    found = result_of(asked)
    assert found.outcome == outcome
    assert found.reason.endswith(reason)


def test_the_example_for_ci_runs_nothing_for_a_call_that_is_not_ours(tmp_path: Path) -> None:
    body = json.dumps({"data": {"model": "churn_predictor"}})
    headers = signing.sign(body.encode(), SECRET, message_id="a", now=timezone.now())
    call, ran = tmp_path / "call.json", tmp_path / "ran"
    command = f"open({str(ran)!r}, 'w')"
    for sent, problem in [
        ({"headers": headers, "body": body.replace("churn", "fraud")}, "The call's signature is wrong."),
        ({"headers": signing.sign(body.encode(), SECRET, message_id="a", now=NOW - timedelta(days=90)), "body": body},
         "The call is too old."),
    ]:  # fmt: skip
        call.write_text(json.dumps(sent))
        done = run_example(call, SECRET, command)
        assert (done.returncode, done.stderr) == (1, f"{problem}\n")
    assert not ran.exists()


def run_example(call: Path, secret: str, command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, str(ROOT / "examples" / "ci_check.py"), str(call), "--", sys.executable, "-c", command]
    environment = os.environ | {"CHECK_SECRET": secret}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)


# --- Reported by a service account ------------------------------------------------------------------------------------


@pytest.fixture
def bot(ada: User, remy: User) -> User:
    """Of the group that the check is named after; Remy answers for it."""
    return make_service_account("ci-bot", owner=remy, groups=("ci",))


def report(result: CheckResult, by: User, *, passed: bool = True, **changed: Any) -> str:
    said = {"passed": passed, "reason": "214\x07tests.", "fingerprint": result.fingerprint, "now": timezone.now()}
    return check_results.report(result, by=by, **{**said, **changed})


def test_a_service_account_reports_and_is_named(asked: PromotionRequest, waiting: CheckResult, bot: User) -> None:
    assert report(waiting, bot) == "The answer is recorded."
    assert status_of(asked) == Status.PENDING
    assert result_of(asked).reason == "214 tests."
    event = asked.events.get(action="check.answered")
    assert (event.actor, event.data["said_by"], event.data["passed"]) == (bot, "ci", True)
    assert report(waiting, bot) == "The answer was recorded already."
    with pytest.raises(workflow.Conflict, match="Another answer was recorded") as refused:
        report(waiting, bot, passed=False)
    assert refused.value.code == "already_answered"


def test_who_asked_cannot_report_through_any_account_of_theirs(
    asked: PromotionRequest, waiting: CheckResult, rita: User, ada: User
) -> None:
    own = make_service_account("ci-rita", owner=rita, groups=("ci",))
    with pytest.raises(workflow.NotAllowed) as refused:
        report(waiting, own)
    assert refused.value.code == "self_check"
    assert result_of(asked).outcome == "waiting"


def test_people_and_accounts_out_of_the_group_cannot(
    asked: PromotionRequest, waiting: CheckResult, remy: User, ada: User
) -> None:
    stranger = make_service_account("train-bot", owner=remy)
    for by, code in ((remy, "persons_cannot"), (stranger, "not_in_group")):
        with pytest.raises(workflow.NotAllowed) as refused:
            report(waiting, by)
        assert refused.value.code == code
    assert result_of(asked).outcome == "waiting"


def test_a_role_is_no_group_of_a_check(asked: PromotionRequest, waiting: CheckResult, remy: User, ada: User) -> None:
    bot = make_service_account("train-bot", owner=remy, groups=("requester",))
    waiting.terms["name"] = "requester"
    with pytest.raises(workflow.NotAllowed, match="in the group requester"):
        report(waiting, bot)


def test_a_report_on_other_evidence_or_after_the_deadline_is_refused(
    asked: PromotionRequest, waiting: CheckResult, bot: User
) -> None:
    with pytest.raises(workflow.Conflict) as refused:
        report(waiting, bot, fingerprint="0" * 64)
    assert refused.value.code == "evidence_changed"
    with pytest.raises(workflow.Conflict):
        report(waiting, bot, now=timezone.now() + timedelta(minutes=31))
    assert result_of(asked).outcome == "fail"
