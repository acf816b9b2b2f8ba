"""One call: what is tried again and for how long, what is said, and what is never sent."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from countersign.credentials import Given
from countersign.errors import Misconfigured, Refused, Unavailable
from countersign.transport import TRIES, Transport

from tests.support.certificates import self_signed
from tests.support.mlflow_server import free_port
from tests.support.stub_api import TOKEN, Answer, StubApi, problem

ME = ("GET", "/api/v1/me")


class Naps:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


def transport(url: str, naps: Naps, *, timeout: float = 5) -> Transport:
    return Transport(url, Given(TOKEN), timeout=timeout, headers={}, sleep=naps)


def test_a_call_has_the_token_and_gives_the_answer(stub: StubApi, naps: Naps) -> None:
    stub.says(*ME, Answer(body={"a": "ü"}))
    assert transport(f"{stub.url}/", naps).json("GET", "/me", params={"at": "", "limit": 3, "x": None}) == {"a": "ü"}
    (call,) = stub.calls
    assert (call.headers["Authorization"], call.query) == (f"Bearer {TOKEN}", {"limit": "3"})
    assert "Idempotency-Key" not in call.headers


def test_what_a_netrc_says_of_the_host_does_not_replace_the_token(
    stub: StubApi, naps: Naps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    stub.says(*ME, Answer())
    transport(stub.url, naps).json("GET", "/me")
    assert stub.calls[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again_after_what_the_answer_asks(stub: StubApi, naps: Naps, status: int) -> None:
    stub.says(*ME, problem(status, "busy", "Later.", headers={"Retry-After": "7"}), Answer(body={"ok": 1}))
    assert transport(stub.url, naps).json("GET", "/me") == {"ok": 1}
    assert naps.seconds == [7]


def test_a_date_is_understood_and_no_answer_can_ask_for_an_hour(stub: StubApi, naps: Naps) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    waits = [problem(503, "away", "Later.", headers={"Retry-After": each}) for each in (soon, "3600", "soon", "")]
    stub.says(*ME, *waits, Answer())
    transport(stub.url, naps).json("GET", "/me")
    assert 15 <= naps.seconds[0] <= 20
    assert naps.seconds[1] == 60
    assert 1.4 <= naps.seconds[2] <= 2
    assert 2.8 <= naps.seconds[3] <= 4


def test_a_post_keeps_its_key_when_it_is_tried_again(stub: StubApi, naps: Naps) -> None:
    path = ("POST", "/api/v1/requests")
    soon = [problem(409, "still_running", "."), problem(422, "unknown_version", ".")]
    stub.says(*path, problem(503, "away", "."), *soon, Answer(201, {"id": 1}))
    assert transport(stub.url, naps).json("POST", "/requests", body={"a": 1}) == {"id": 1}
    keys = {call.headers["Idempotency-Key"] for call in stub.calls}
    assert len(stub.calls) == 4
    assert len(keys) == 1
    assert [call.body for call in stub.calls] == [{"a": 1}] * 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_is_not_tried_again_and_has_its_code_and_sentence(stub: StubApi, naps: Naps, status: int) -> None:
    stub.says(*ME, problem(status, "self_approval", "You requested it.", url="https://c.example/requests/1/"))
    with pytest.raises(Refused) as caught:
        transport(stub.url, naps).json("GET", "/me")
    error = caught.value
    assert (error.status, error.code, str(error)) == (status, "self_approval", "You requested it.")
    assert error.url == "https://c.example/requests/1/"
    assert error.to_json() == {
        "code": "self_approval",
        "detail": "You requested it.",
        "status": status,
        "url": "https://c.example/requests/1/",
    }
    assert len(stub.calls) == 1


def test_wrong_fields_are_named(stub: StubApi, naps: Naps) -> None:
    errors = [{"pointer": "/body/version", "detail": "It is no text."}]
    stub.says(*ME, problem(422, "invalid", "Not as it should be.", errors=errors))
    with pytest.raises(Refused, match=r"^Not as it should be\. /body/version: It is no text\.$"):
        transport(stub.url, naps).json("GET", "/me")


def test_too_many_calls_end_as_a_refusal(stub: StubApi, naps: Naps) -> None:
    stub.says(*ME, Answer(429, b"slow down", {"Content-Type": "text/plain", "Retry-After": "1"}))
    with pytest.raises(Refused, match="asked too often") as caught:
        transport(stub.url, naps).json("GET", "/me")
    assert caught.value.code == "rate_limited"
    assert len(stub.calls) == TRIES


def test_a_server_that_fails_is_unavailable(stub: StubApi, naps: Naps) -> None:
    stub.says(*ME, Answer(500, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(Unavailable, match=r"failed \(500\)"):
        transport(stub.url, naps).json("GET", "/me")
    assert len(naps.seconds) == TRIES - 1


def test_nothing_there_is_unavailable_and_says_why(naps: Naps) -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=rf"Countersign at 127\.0\.0\.1:{port} cannot be reached: Connection refused"):
        transport(f"http://127.0.0.1:{port}", naps).json("GET", "/me")
    assert len(naps.seconds) == TRIES - 1


def test_no_answer_in_time_is_unavailable(stub: StubApi, naps: Naps) -> None:
    stub.says(*ME, Answer(seconds=1))
    with pytest.raises(Unavailable, match="no answer in time"):
        transport(stub.url, naps, timeout=0.1).json("GET", "/me")
    assert len(stub.calls) == TRIES


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(302, b"", {"Location": "https://sso.example/login"}), r"elsewhere \(302, https://sso.example/login\)"),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), r"not Countersign's API \(200, text/html\)"),
        (Answer(404, b"<html>", {"Content-Type": "text/html"}), r"not Countersign's API \(404, text/html\)"),
        (Answer(403, b"<html>", {"Content-Type": "text/html"}), r"not Countersign's API \(403, text/html\)"),
    ],
)
def test_another_server_is_not_taken_for_countersign(stub: StubApi, naps: Naps, answer: Answer, words: str) -> None:
    stub.says(*ME, answer)
    with pytest.raises(Misconfigured, match=words):
        transport(stub.url, naps).json("GET", "/me")
    assert len(stub.calls) == 1  # the token went nowhere else


@pytest.mark.parametrize(
    "url", ["countersign.example", "ftp://a", "https://", "https://user:secret@countersign.example"]
)
def test_an_address_that_is_none(url: str, naps: Naps) -> None:
    with pytest.raises(Misconfigured, match="COUNTERSIGN_URL"):
        transport(url, naps)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://no-such-host.invalid", "Countersign at no-such-host.invalid cannot be reached: "),
        ("http://127.0.0.1:1", "Countersign at 127.0.0.1:1 cannot be reached: Connection refused."),
    ],
)
def test_what_is_said_of_the_network_has_no_python_in_it(url: str, words: str, naps: Naps) -> None:
    with pytest.raises(Unavailable) as caught:
        transport(url, naps).json("GET", "/me", params={"at": "secret"})
    assert str(caught.value).startswith(words)
    assert not set(str(caught.value)) & set("<>[]")
    assert "secret" not in str(caught.value)


def test_the_certificate_of_an_own_authority_is_taken_from_the_environment(
    stub: StubApi, naps: Naps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    stub.wrap(certificate, key)
    stub.says(*ME, Answer(body={"ok": 1}))
    with pytest.raises(Unavailable, match=r"not trusted here \(.*\)\. Name the file .* in REQUESTS_CA_BUNDLE\.$"):
        transport(stub.url, naps).json("GET", "/me")
    assert naps.seconds == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert transport(stub.url, naps).json("GET", "/me") == {"ok": 1}
