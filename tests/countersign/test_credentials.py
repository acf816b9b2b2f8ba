"""Which token is used, and how a job gets one in exchange for its identity."""

import pytest
from countersign import credentials
from countersign.client import Client
from countersign.errors import CountersignError, Misconfigured, Refused, Unavailable

from tests.support.stub_api import TOKEN, Answer, StubApi, problem

EXCHANGE = ("POST", "/api/v1/token-exchange")
ID_TOKEN = ("GET", "/id-token")
ME = ("GET", "/api/v1/me")


def github(stub: StubApi) -> dict[str, str]:
    return {
        "COUNTERSIGN_URL": f"{stub.url}/",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{stub.url}/id-token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner",
    }


def client(environment: dict[str, str]) -> Client:
    return Client(environment=environment, sleep=lambda _: None)


def test_a_token_that_is_given_is_used_and_nothing_is_exchanged(stub: StubApi) -> None:
    stub.says(*ME, Answer())
    client({**github(stub), "COUNTERSIGN_TOKEN": f" {TOKEN}\n"}).me()
    assert stub.paths() == ["GET /api/v1/me"]
    assert stub.calls[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_github_vouches_for_the_job(stub: StubApi) -> None:
    stub.says(*ID_TOKEN, Answer(body={"value": "ey.id.token"}))
    stub.says(*EXCHANGE, Answer(body={"access_token": "csn_short"}))
    stub.says(*ME, Answer())
    mine = client(github(stub))
    mine.me()
    mine.me()
    assert stub.paths() == ["GET /id-token", "POST /api/v1/token-exchange", "GET /api/v1/me", "GET /api/v1/me"]
    asked, exchanged, called, _ = stub.calls
    assert asked.query == {"api-version": "2.0", "audience": stub.url}
    assert asked.headers["Authorization"] == "Bearer runner"
    assert exchanged.body == {"id_token": "ey.id.token"}
    assert "Authorization" not in exchanged.headers
    assert called.headers["Authorization"] == "Bearer csn_short"


def test_gitlab_vouches_for_the_job(stub: StubApi) -> None:
    stub.says(*EXCHANGE, Answer(body={"access_token": "csn_short"}))
    stub.says(*ME, Answer())
    client({"COUNTERSIGN_URL": stub.url, "COUNTERSIGN_ID_TOKEN": "ey.gitlab"}).me()
    assert stub.calls[0].body == {"id_token": "ey.gitlab"}


def test_an_identity_token_that_was_taken_before_is_passed_over(stub: StubApi) -> None:
    """By an earlier command of the same job; and after 15 minutes of waiting the next one is used."""
    used = problem(401, "id_token_used", "This identity token was used already.")
    stub.says(*EXCHANGE, used, Answer(body={"access_token": "csn_2"}), Answer(body={"access_token": "csn_3"}), used)
    expired = problem(401, "token_expired", "This token has expired.")
    stub.says(*ME, Answer(), expired, Answer(), expired)
    names = ("COUNTERSIGN_ID_TOKEN", "COUNTERSIGN_ID_TOKEN_2", "COUNTERSIGN_ID_TOKEN_3")
    mine = client({"COUNTERSIGN_URL": stub.url, **{name: name.lower() for name in names}})
    mine.me()
    mine.me()
    sent = [call.body["id_token"] for call in stub.calls if call.method == "POST"]
    assert sent == ["countersign_id_token", "countersign_id_token_2", "countersign_id_token_3"]
    with pytest.raises(Refused, match="This token has expired"):
        mine.me()
    with pytest.raises(Refused, match="was used already"):
        client({"COUNTERSIGN_URL": stub.url, "COUNTERSIGN_ID_TOKEN": "ey"}).me()


def test_a_short_token_that_has_expired_is_had_again_once(stub: StubApi) -> None:
    stub.says(*ID_TOKEN, Answer(body={"value": "ey"}))
    stub.says(*EXCHANGE, Answer(body={"access_token": "csn_1"}), Answer(body={"access_token": "csn_2"}))
    stub.says(*ME, problem(401, "token_expired", "Expired."), Answer(body={"ok": 1}))
    assert client(github(stub)).me() == {"ok": 1}
    assert stub.calls[-1].headers["Authorization"] == "Bearer csn_2"
    stub.says(*ME, problem(401, "token_unknown", "Countersign does not know this token."))
    with pytest.raises(Refused, match="does not know"):
        client({**github(stub), "COUNTERSIGN_TOKEN": TOKEN}).me()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (problem(403, "untrusted", "No publisher is trusted for acme/churn."), Refused, "No publisher is trusted"),
        (
            Answer(502, b"", {"Content-Type": "text/html"}),
            Unavailable,
            "Countersign did not give a token: it answered 502",
        ),
        (Answer(404, b"", {"Content-Type": "text/html"}), Refused, "Countersign did not give a token: it answered 404"),
        (Answer(200, {"token": "?"}), Unavailable, "The answer has no access_token"),
    ],
)
def test_an_exchange_that_fails_says_so(
    stub: StubApi, answer: Answer, kind: type[CountersignError], words: str
) -> None:
    stub.says(*EXCHANGE, answer)
    with pytest.raises(kind, match=words):
        client({"COUNTERSIGN_URL": stub.url, "COUNTERSIGN_ID_TOKEN": "ey"}).me()


def test_without_anything_it_says_what_to_do(stub: StubApi) -> None:
    with pytest.raises(Misconfigured, match="Set COUNTERSIGN_TOKEN"):
        credentials.found(stub.url, {}, timeout=1)
    with pytest.raises(Misconfigured, match="Set COUNTERSIGN_URL"):
        Client(environment={"COUNTERSIGN_TOKEN": TOKEN})


def test_an_exchange_that_fails_once_is_tried_again(stub: StubApi) -> None:
    stub.says(*ID_TOKEN, Answer(500, b""), Answer(body={"value": "ey"}))
    stub.says(
        *EXCHANGE, problem(503, "away", "."), problem(429, "rate_limited", "."), Answer(body={"access_token": "csn"})
    )
    stub.says(*ME, Answer(body={"ok": 1}))
    assert client(github(stub)).me() == {"ok": 1}
