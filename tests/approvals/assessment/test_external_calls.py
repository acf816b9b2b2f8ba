"""External checks against a real HTTP server: one that answers, hangs, lies, redirects, says garbage or too much."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from approvals import tasks, workflow
from approvals.assessment import external_calls
from approvals.checks import external, signing
from approvals.models import Action, Assessment, AuditEvent, CheckResult, PromotionRequest, Status, Target
from approvals.policy import CheckRule
from approvals.selectors import request_timeline
from approvals.webhooks import check_results
from approvals.webhooks.reply import Verdict
from registry_ui import lanes
from registry_ui.demo.installation import ROOT
from tests.support.factories import make_policy, make_request, make_version

SECRET = signing.secret_for("ci")
NO_RESULT = 'The answer has no "result" that is "pass" or "fail".'
PASS = {"result": "pass", "reason": "All 214 tests passed."}
FAIL = {"result": "fail", "reason": "3 tests failed."}
Behaviour = Callable[[BaseHTTPRequestHandler, bytes], None]


# --- The other side


class Service:
    """A CI service on loopback. `behave` is what it does with a call; `calls` are the headers and bodies it got."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.behave: Behaviour = says(200, PASS)
        self.is_over = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
                service.behave(self, body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/check?branch=main"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def wrap(self, context: ssl.SSLContext) -> None:
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def close(self) -> None:
        self.is_over.set()
        self._server.shutdown()
        self._server.server_close()


def says(status: int, said: Any, **headers: str) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.close()


def ask(service: Service, **settings: Any) -> external.Answer:
    return external.call(
        {"name": "ci", "url": service.url, "timeout_seconds": 1, **settings},
        facts={"request": 12, "fingerprint": "f" * 64},
        answer_url="https://countersign.example.com/callbacks/checks/abc/",
        message_id="check-7",
        secret=SECRET,
        clock=timezone.now,
    )


# --- One call


def test_a_call_is_signed_and_says_what_is_asked_and_where_to_answer(service: Service) -> None:
    assert ask(service) == external.Answer(True, "All 214 tests passed.")
    ((headers, body),) = service.calls
    assert signing.verify(headers, body, SECRET, now=timezone.now()) == ""
    assert headers["webhook-id"] == "check-7"
    told = json.loads(body)
    assert told["type"] == "check.requested"
    assert told["data"] == {
        "check": "ci",
        "request": 12,
        "fingerprint": "f" * 64,
        "answer_url": "https://countersign.example.com/callbacks/checks/abc/",
    }


@pytest.mark.parametrize(
    ("status", "said", "answer"),
    [
        (200, FAIL, external.Answer(False, "3 tests failed.")),
        (200, {"result": "pass"}, external.Answer(True, "It gave no reason.")),
        (200, {"result": "pass", "reason": "a\x00b\ud800c"}, external.Answer(True, "a b c")),
        (200, {"result": "pass", "reason": "x" * 5000}, external.Answer(True, "x" * 1000)),
        (202, b"later", external.Answer(None)),
        (200, b"<html>", external.Answer(None, problem="The answer is not JSON.")),
        (200, b"\xff\xfe", external.Answer(None, problem="The answer is not JSON.")),
        (200, b"[" * 60_000, external.Answer(None, problem="The answer is not JSON.")),
        (200, b"", external.Answer(None, problem="The answer is not JSON.")),
        (200, ["pass"], external.Answer(None, problem=NO_RESULT)),
        (200, {"result": True}, external.Answer(None, problem=NO_RESULT)),
        (200, {"result": ["pass"]}, external.Answer(None, problem=NO_RESULT)),
        (200, PASS | {"reason": 7}, external.Answer(None, problem='The "reason" of the answer is not text.')),
        (200, PASS | {"reason": "x" * 70_000}, external.Answer(None, problem="It answered with more than 64 KB.")),
        (204, b"", external.Answer(None, problem="It answered with status 204.")),
        (404, {"result": "pass"}, external.Answer(None, problem="It answered with status 404.")),
        (503, {"result": "pass"}, external.Answer(None, problem="It answered with status 503.")),
    ],
)  # fmt: skip
def test_what_is_said_is_an_answer_or_a_problem(
    service: Service, status: int, said: Any, answer: external.Answer
) -> None:
    service.behave = says(status, said)
    assert ask(service) == answer


def test_a_redirect_is_not_followed(service: Service) -> None:
    service.behave = says(307, b"", Location=service.url)
    assert ask(service).problem == "It answered with a redirect (307), which is not followed."
    assert len(service.calls) == 1


def test_an_answer_that_is_signed_is_taken_only_when_the_signature_is_right(service: Service) -> None:
    said = json.dumps({"result": "pass", "reason": "Fine."}).encode()
    right = {name.replace("-", "_"): value for name, value in
             signing.sign(said, SECRET, message_id="a", now=timezone.now()).items()}  # fmt: skip
    service.behave = says(200, said, **right)
    assert ask(service) == external.Answer(True, "Fine.")
    service.behave = says(200, said.replace(b"Fine", b"Good"), **right)
    assert ask(service).problem == "It answered with a signature that does not hold. The signature is wrong."
    service.behave = says(200, said, webhook_signature=right["webhook_signature"])
    assert "does not hold" in ask(service).problem


def hangs(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    time.sleep(3)


def drips_headers(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    drip(handler, b"HTTP/1.1 200 OK\r\n" + b"X-Wait: a\r\n" * 60)


def drips_its_answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    drip(handler, b'{"result": "pass", "reason": "' + b"x" * 600)


def drip(handler: BaseHTTPRequestHandler, said: bytes) -> None:
    """Something comes every 20 ms, so no time-out of a socket is ever over."""
    for place in range(len(said)):
        try:
            handler.wfile.write(said[place : place + 1])
        except OSError:  # hung up
            return
        time.sleep(0.02)


@pytest.mark.parametrize("behave", [hangs, drips_headers, drips_its_answer])
def test_a_call_ends_in_time_whatever_the_other_side_does(service: Service, behave: Behaviour) -> None:
    service.behave = behave
    began = time.monotonic()
    assert ask(service).problem == "It did not answer within 1 second."
    assert 0.9 < time.monotonic() - began < 2


def test_nobody_there_is_a_problem_with_a_sentence() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        gone = Service.__new__(Service)
        gone.url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    assert ask(gone).problem == "It could not be called: Connection refused."


def test_what_is_not_http_is_a_problem(service: Service) -> None:
    service.behave = lambda handler, _: handler.wfile.write(b"220 mail.example.com ESMTP\r\n") and None
    assert ask(service).problem.startswith("It could not be called: ")


def test_a_certificate_that_nobody_vouches_for_is_refused_and_a_trusted_one_taken(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    service.wrap(context)
    url = f"https://localhost:{service.port}/"
    assert "certificate verify failed" in ask(service, url=url).problem
    assert service.calls == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(service, url=url) == external.Answer(True, "All 214 tests passed.")
    service.behave = drips_its_answer
    assert ask(service, url=url).problem == "It did not answer within 1 second."


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "certificate.pem", folder / "key.pem"


# --- Signatures

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's own libraries."""
    body = b'{"test": 2432232314}'
    headers = signing.sign(
        body,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        now=datetime.fromtimestamp(1614265330, UTC),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, ""),
        ({"webhook-signature": "v2,abc v1,abc {right}"}, ""),
        ({"webhook-signature": "v1,abc"}, "The signature is wrong."),
        ({"webhook-signature": "v1,ä\udcff"}, "The signature is wrong."),
        ({"webhook-id": "other"}, "The signature is wrong."),
        ({"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, "The signature is wrong."),
        ({"webhook-timestamp": "soon"}, "is not a number of seconds"),
        ({"webhook-timestamp": "²"}, "is not a number of seconds"),
        ({"webhook-timestamp": "9" * 5000}, "is not a number of seconds"),
        ({"webhook-id": ""}, "are needed"),
        ({"webhook-signature": ""}, "are needed"),
    ],
)
def test_a_signature_holds_for_its_id_time_and_body_alone(changed: dict[str, str], problem: str) -> None:
    headers = signing.sign(b"body", SECRET, message_id="a", now=NOW)
    right = headers["webhook-signature"]
    headers |= {name: value.replace("{right}", right) for name, value in changed.items()}
    found = signing.verify(headers, b"body", SECRET, now=NOW)
    assert (problem in found) if problem else found == ""
    assert signing.verify(headers, b"another body", SECRET, now=NOW)
    assert signing.verify(headers, b"body", signing.secret_for("other"), now=NOW)


@pytest.mark.parametrize(("seconds", "is_taken"), [(299, True), (-299, True), (301, False), (-301, False)])
def test_an_old_message_is_refused(seconds: int, is_taken: bool) -> None:
    headers = signing.sign(b"body", SECRET, message_id="a", now=NOW)
    assert (signing.verify(headers, b"body", SECRET, now=NOW + timedelta(seconds=seconds)) == "") is is_taken


def test_the_secret_goes_with_the_name_and_the_installation(settings: Settings) -> None:
    assert signing.secret_for("ci").startswith("whsec_")
    assert signing.secret_for("ci") != signing.secret_for("cd")
    settings.SECRET_KEY = "another" * 8
    assert signing.secret_for("ci") != SECRET


def test_the_command_prints_the_secret() -> None:
    out = StringIO()
    call_command("check_secret", "ci", stdout=out)
    assert out.getvalue() == f"{SECRET}\n"


# --- The worker

CI = {"name": "ci", "timeout_seconds": 1, "deadline_minutes": 30, "attempts": 3}


@pytest.fixture
def asked(service: Service, rita: User, staging: Target) -> PromotionRequest:
    """In checks, waiting for one external check that blocks."""
    return ask_for(service, rita, staging)


def ask_for(service: Service, rita: User, staging: Target, effect: str = "block") -> PromotionRequest:
    make_policy("*", staging, (1, None), checks=(CheckRule("external", effect, {**CI, "url": service.url}),))
    return make_request(make_version("churn_predictor"), staging, by=rita)


def result_of(request: PromotionRequest) -> CheckResult:
    return request.checks.live().get(kind="external")


def status_of(request: PromotionRequest) -> str:
    return PromotionRequest.objects.get(pk=request.pk).status


def answers_to(request: PromotionRequest) -> list[dict[str, Any]]:
    events = AuditEvent.objects.filter(request=request, action=Action.CHECK_ANSWERED).order_by("sequence")
    return [event.data for event in events]


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


# --- The callback


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
