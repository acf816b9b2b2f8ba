"""The client against a stub: keys, pages, waiting. Against the product it is in `test_client_product.py`."""

import time
from typing import Any

import pytest
from countersign.client import Client
from countersign.errors import Refused, TimedOut, Unavailable

from tests.support import stub_api
from tests.support.stub_api import Answer, StubApi, problem

REQUESTS = ("POST", "/api/v1/requests")
TWELVE = ("GET", "/api/v1/requests/12")


def client(stub: StubApi, **environment: str) -> Client:
    return Client(environment=stub.environment(**environment), sleep=lambda seconds: time.sleep(seconds / 50))


def test_a_run_asks_with_its_own_key_and_shows_where_it_runs(stub: StubApi) -> None:
    stub.says(*REQUESTS, Answer(201, stub_api.request(status="checking")))
    stub.says(*TWELVE, Answer(body=stub_api.request(status="pending")))
    github = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/churn", "GITHUB_RUN_ID": "9"}
    for attempt in ("1", "2"):
        made = client(stub, **github, GITHUB_RUN_ATTEMPT=attempt).request("churn", "7", "Production", "AUC")
        assert made["status"] == "pending"  # as it is now, whatever the first answer was
    first, _, second, _ = stub.calls
    assert first.body == {"model": "churn", "version": "7", "target": "Production", "justification": "AUC"}
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.headers["X-Countersign-Run"] == "https://github.com/acme/churn/actions/runs/9"
    client(stub, **github | {"GITHUB_RUN_ID": "10"}).request("churn", "7", "Production", "AUC")
    client(stub).request("churn", "7", "Production", "AUC")
    client(stub).request("churn", "7", "Production", "AUC")
    client(stub, **github).request("churn", "7", "Production", "AUC", key="mine")
    keys = [call.headers["Idempotency-Key"] for call in stub.calls if call.method == "POST"]
    assert len(set(keys)) == 5
    assert keys[-1] == "mine"


def test_a_link_that_is_none_is_not_sent(stub: StubApi) -> None:
    stub.says("GET", "/api/v1/me", Answer())
    for link in ("javascript:alert(1)", "https://user:pw@ci.example/1", "https://ci.example/a b", "https://é.example/"):
        client(stub, BUILD_URL=link).me()
        assert "X-Countersign-Run" not in stub.calls[-1].headers


def test_names_stand_in_addresses_whatever_is_in_them(stub: StubApi) -> None:
    stub.says("GET", "/api/v1/models/a%2Fb%20%3F/targets/@champion/holder", Answer(body={"version": "3"}))
    stub.says("GET", "/api/v1/models/a%2Fb%20%3F/targets/%40champion/holder", Answer(body={"version": "3"}))
    assert client(stub).holder("a/b ?", "@champion", "2026-05-01")["version"] == "3"
    assert stub.calls[0].query == {"at": "2026-05-01"}


def test_a_list_is_read_page_by_page(stub: StubApi) -> None:
    pages = [{"items": [{"model": "a"}, {"model": "b"}], "next": "c2"}, {"items": [{"model": "c"}], "next": None}]
    stub.says("GET", "/api/v1/models", *(Answer(body=page) for page in pages))
    assert [each["model"] for each in client(stub).models()] == ["a", "b", "c"]
    assert [call.query for call in stub.calls] == [{"limit": "200"}, {"limit": "200", "cursor": "c2"}]


def test_events_are_read_to_the_last_one_there_is(stub: StubApi) -> None:
    pages = [
        {"items": [{"sequence": 4}, {"sequence": 5}], "next": 5, "last": 6},
        {"items": [{"sequence": 6}], "next": 6, "last": 6},
    ]
    stub.says("GET", "/api/v1/events", *(Answer(body=page) for page in pages))
    assert [event["sequence"] for event in client(stub).events(3)] == [4, 5, 6]
    assert [call.query["after"] for call in stub.calls] == ["3", "5"]
    stub.says("GET", "/api/v1/events", Answer(body={"items": [], "next": 6, "last": 6}))
    assert list(client(stub).events(6)) == []


def test_it_waits_until_the_request_is_closed(stub: StubApi) -> None:
    states = [("checking", "1"), ("pending", "2"), ("pending", "3"), ("approved", "4"), ("applied", "5")]
    stub.says(*TWELVE, *(Answer(body=stub_api.request(status=status, revision=each)) for status, each in states))
    seen: list[tuple[str, str]] = []
    found = client(stub).wait(12, timeout=60, seen=lambda each: seen.append((each["status"], each["revision"])))
    assert found["status"] == "applied"
    assert seen == states
    assert [call.query for call in stub.calls] == [
        {},
        *({"since": revision, "wait": "25"} for revision in ("1", "2", "3", "4")),
    ]


@pytest.mark.parametrize("status", ["rejected", "withdrawn", "expired"])
def test_what_is_closed_ends_the_wait(stub: StubApi, status: str) -> None:
    stub.says(*TWELVE, Answer(body=stub_api.request(status=status)))
    assert client(stub).wait(12, timeout=60)["status"] == status


def test_a_wait_ends_in_time_and_leaves_the_request_open(stub: StubApi) -> None:
    stub.says(*TWELVE, Answer(body=stub_api.request()))
    with pytest.raises(TimedOut, match="Request 12 is still open after 1 s") as caught:
        Client(environment=stub.environment()).wait(12, timeout=1)
    assert caught.value.request["status"] == "pending"
    assert len(stub.calls) in {2, 3}  # once a second where the server does not wait, and never faster


def test_a_server_with_too_many_waiting_is_left_alone_as_long_as_it_asks(stub: StubApi) -> None:
    stub.says(
        *TWELVE,
        Answer(body=stub_api.request()),
        Answer(body=stub_api.request(), headers={"Retry-After": "5"}),
        Answer(body=stub_api.request(status="applied", revision="2")),
    )
    naps: list[float] = []
    Client(environment=stub.environment(), sleep=naps.append).wait(12, timeout=60)
    assert naps[1] == 5
    assert naps[0] <= 1


def test_a_server_that_is_away_is_waited_out(stub: StubApi) -> None:
    away = problem(503, "away", "The database is away.", headers={"Retry-After": "1"})
    stub.says(*TWELVE, Answer(body=stub_api.request()), *[away] * 5, Answer(body=stub_api.request(status="applied")))
    told: list[Unavailable] = []
    assert client(stub).wait(12, timeout=60, away=told.append)["status"] == "applied"
    assert "The database is away." in str(told[0])
    stub.says(*TWELVE, away)
    with pytest.raises(Unavailable):
        client(stub).wait(12, timeout=0)


def test_a_token_that_lasts_no_longer_than_the_wait_leaves_the_request_open(stub: StubApi) -> None:
    expired = problem(401, "token_expired", "This token has expired.")
    stub.says(*TWELVE, Answer(body=stub_api.request()), expired)
    with pytest.raises(TimedOut, match=r"^This token has expired\. Request 12 is still open\.$"):
        client(stub).wait(12, timeout=60)
    with pytest.raises(Refused):
        client(stub).wait(12, timeout=60)


def test_evidence_is_held_against_its_fingerprint(stub: StubApi) -> None:
    headers: dict[str, Any] = {"ETag": '"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"'}
    stub.says(
        "GET", "/api/v1/requests/12/evidence", Answer(body=b"{}", headers=headers), Answer(body=b"{ }", headers=headers)
    )
    assert client(stub).evidence(12).fits
    assert client(stub).evidence(12).document == {}
    assert not client(stub).evidence(12).fits
