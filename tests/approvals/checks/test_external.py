"""One call of an external check against a real HTTP server: one that answers, hangs, lies, redirects, says garbage or
too much."""

import json
import socket
import ssl
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from approvals.checks import external, signing
from tests.support.certificates import self_signed
from tests.support.ci_service import (
    FAIL,
    PASS,
    SECRET,
    Behaviour,
    Service,
    hangs,
    says,
)

NO_RESULT = 'The answer has no "result" that is "pass" or "fail".'


def ask(service: Service, **settings: Any) -> external.Answer:
    return external.call(
        {"name": "ci", "url": service.url, "timeout_seconds": 1, **settings},
        facts={"request": 12, "fingerprint": "f" * 64},
        answer_url="https://countersign.example.com/callbacks/checks/abc/",
        message_id="check-7",
        secret=SECRET,
        clock=timezone.now,
    )


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
