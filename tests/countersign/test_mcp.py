"""A conversation with `countersign mcp` as a process, in both kinds of the protocol, against a stub of the API."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from countersign import mcp, tools

from registry_ui.demo.installation import ROOT
from tests.support import stub_api
from tests.support.assistant import MODERN, Assistant
from tests.support.command_line import clean_environment
from tests.support.stub_api import Answer, StubApi, problem

pytestmark = [pytest.mark.slow, pytest.mark.nodb]

TOKEN = {"name": "assistant", "prefix": "csn_abcdef", "expires_at": "2099-01-01T00:00:00Z"}


@pytest.fixture
def assistant(stub: StubApi) -> Iterator[Assistant]:
    stub.says("GET", "/api/v1/me", Answer(body={"token": {**TOKEN, "scopes": ["read", "requests:write"]}}))
    made = Assistant(clean_environment(**stub.environment()))
    yield made
    assert made.end() == (0, b"")


def test_an_older_client_begins_with_initialize(assistant: Assistant) -> None:
    begun = assistant.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "test"})
    result = begun["result"]
    assert result["protocolVersion"] == "2025-06-18"
    assert result["capabilities"] == {"tools": {}}
    assert result["serverInfo"]["name"] == "countersign"
    assert "You cannot approve" in result["instructions"]
    assistant.tell("notifications/initialized")
    assert assistant.ask("ping")["result"] == {}
    assert [tool["name"] for tool in assistant.ask("tools/list")["result"]["tools"]] == NAMES
    assert assistant.ask("resources/list")["error"]["code"] == mcp.NO_METHOD


@pytest.mark.parametrize("version", ["2099-01-01", "1.0", None, 7])
def test_a_version_that_is_not_known_is_answered_with_the_newest_that_begins_so(
    assistant: Assistant, version: Any
) -> None:
    answer = assistant.ask("initialize", protocolVersion=version, capabilities={})
    assert answer["result"]["protocolVersion"] == "2025-11-25"


def test_a_newer_client_says_its_version_each_time(assistant: Assistant) -> None:
    found = assistant.ask("server/discover", _meta=MODERN)["result"]
    assert found["supportedVersions"] == ["2026-07-28"]
    assert found["resultType"] == "complete"
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "countersign"
    assert {"ttlMs", "cacheScope"} <= found.keys()
    listed = assistant.ask("tools/list", _meta=MODERN)["result"]
    assert [tool["name"] for tool in listed["tools"]] == NAMES
    assert {"ttlMs", "cacheScope", "resultType"} <= listed.keys()
    assert assistant.ask("ping", _meta=MODERN)["error"]["code"] == mcp.NO_METHOD
    assert assistant.ask("initialize", _meta=MODERN)["error"]["code"] == mcp.NO_METHOD


def test_a_newer_version_than_is_known_is_answered_with_those_that_are(assistant: Assistant) -> None:
    meta = {**MODERN, "io.modelcontextprotocol/protocolVersion": "2027-01-01"}
    error = assistant.ask("tools/list", _meta=meta)["error"]
    assert error["code"] == -32022
    assert error["data"] == {"supported": ["2026-07-28"], "requested": "2027-01-01"}
    without = {key: value for key, value in MODERN.items() if not key.endswith("clientCapabilities")}
    assert assistant.ask("tools/list", _meta=without)["error"]["code"] == mcp.INVALID_PARAMS
    assert assistant.ask("tools/list")["error"]["code"] == mcp.INVALID_PARAMS  # neither begun nor said


def test_what_is_no_request_is_answered_as_such_and_the_next_one_as_ever(assistant: Assistant) -> None:
    for text, code in [
        ("{", mcp.PARSE_ERROR),
        ("\udcff".encode("utf-8", "surrogatepass").decode("latin-1"), mcp.PARSE_ERROR),
        ("7", mcp.INVALID_REQUEST),
        ("[]", mcp.INVALID_REQUEST),
        ('{"jsonrpc": "1.0", "id": 1, "method": "ping"}', mcp.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "id": null, "method": "ping"}', mcp.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', mcp.INVALID_PARAMS),
    ]:
        assistant.send(text)
        assert assistant.read()["error"]["code"] == code, text
    assistant.send("")
    assistant.send('{"jsonrpc": "2.0", "id": 1, "result": {}}')
    assistant.tell("notifications/cancelled")
    assert assistant.ask("ping")["result"] == {}


def test_a_batch_is_answered_as_one(assistant: Assistant) -> None:
    ping = {"jsonrpc": "2.0", "method": "ping"}
    assistant.send(json.dumps([{**ping, "id": "a"}, ping, {**ping, "id": "b"}]))
    assert [each["id"] for each in assistant.read()] == ["a", "b"]


NAMES = [
    "list_models",
    "list_versions",
    "show_version",
    "show_holder",
    "compare_versions",
    "show_request",
    "show_evidence",
    "list_incidents",
    "request_promotion",
]


def test_no_tool_decides_and_only_one_changes_anything(assistant: Assistant) -> None:
    described = assistant.ask("tools/list", _meta=MODERN)["result"]["tools"]
    for tool in described:
        assert tool["inputSchema"]["type"] == "object"
        assert tool["inputSchema"]["additionalProperties"] is False
        assert re.fullmatch(r"[a-z_]{1,64}", tool["name"])
        assert not re.search("approve|reject|review|withdraw|resolve", tool["name"])
    assert [each["name"] for each in described if not each["annotations"]["readOnlyHint"]] == ["request_promotion"]
    assert "cannot approve" in described[-1]["description"]
    source = Path(tools.__file__).read_text() + Path(mcp.__file__).read_text()
    assert "/reviews" not in source
    assert "def review" not in (ROOT / "packages" / "countersign" / "countersign" / "client.py").read_text()


def test_it_lists_compares_and_requests(stub: StubApi, assistant: Assistant) -> None:
    stub.says("GET", "/api/v1/models", Answer(body={"items": [{"model": f"m{n}"} for n in range(101)], "next": None}))
    listed = assistant.call("list_models")
    assert (len(listed["structuredContent"]["items"]), listed["structuredContent"]["has_more"]) == (100, True)
    assert json.loads(listed["content"][0]["text"]) == listed["structuredContent"]

    seven = {"metrics": {"auc": 0.9, "f1": 0.5}, "params": {"depth": "8"}, "tags": {}}
    six = {"metrics": {"auc": 0.88}, "params": {"depth": "8"}, "tags": {"team": "growth"}}
    for number, facts in (("7", seven), ("6", six)):
        stub.says("GET", f"/api/v1/models/churn/versions/{number}", Answer(body=facts))
    compared = assistant.call("compare_versions", model="churn", version="7", with_version="6")["structuredContent"]
    assert compared["metrics"] == {"different": {"auc": [0.9, 0.88], "f1": [0.5, None]}, "same": {}}
    assert compared["params"] == {"different": {}, "same": {"depth": "8"}}
    assert compared["tags"]["different"] == {"team": [None, "growth"]}

    stub.says("POST", "/api/v1/requests", Answer(201, stub_api.request()))
    stub.says("GET", "/api/v1/requests/12", Answer(body=stub_api.request()))
    asked = {"model": "churn", "version": "7", "target": "Production", "justification": "Rita asked for it."}
    made = assistant.call("request_promotion", **asked)
    assert made["isError"] is False
    assert made["structuredContent"]["url"] == "https://countersign.example/requests/12/"
    assert [call.body for call in stub.calls if call.method == "POST"] == [asked]
    assert assistant.call("show_request", request=12)["structuredContent"]["id"] == 12
    assert stub.paths().count("GET /api/v1/me") == 1


def test_a_refusal_and_a_wrong_argument_are_told_to_the_assistant(stub: StubApi, assistant: Assistant) -> None:
    stub.says("POST", "/api/v1/requests", problem(403, "frozen", "Production is frozen.", url="https://c.example/f/"))
    asked: dict[str, Any] = {"model": "churn", "version": "7", "target": "Production", "justification": "Now."}
    refused = assistant.call("request_promotion", **asked)
    assert refused["isError"] is True
    assert refused["content"][0]["text"] == "Production is frozen. https://c.example/f/"
    for wrong, words in [
        ({**asked, "version": 7}, "The argument version has to be of the type string."),
        ({key: value for key, value in asked.items() if key != "target"}, "The argument target is missing"),
        ({**asked, "verdict": "approve"}, "There is no argument verdict."),
    ]:
        told = assistant.call("request_promotion", **wrong)
        assert told["isError"] is True
        assert words in told["content"][0]["text"]
    assert "one of open, resolved, all" in assistant.call("list_incidents", status="x")["content"][0]["text"]
    assert assistant.ask("tools/call", name="approve", arguments={}, _meta=MODERN)["error"]["code"] == -32602
    assert stub.paths().count("POST /api/v1/requests") == 1


def test_a_token_that_may_review_is_not_used(stub: StubApi, assistant: Assistant) -> None:
    stub.says("GET", "/api/v1/me", Answer(body={"token": {**TOKEN, "scopes": ["read", "reviews:write"]}}))
    for _ in range(2):
        told = assistant.call("list_models")
        assert told["isError"] is True
        assert "An assistant must not be able to approve" in told["content"][0]["text"]
    assert set(stub.paths()) == {"GET /api/v1/me"}


def test_what_is_unforeseen_ends_one_call_alone(stub: StubApi, assistant: Assistant) -> None:
    stub.says("GET", "/api/v1/models", Answer(body={"no": "items"}))
    assert assistant.ask("tools/call", name="list_models", _meta=MODERN)["error"]["code"] == mcp.INTERNAL
    assert assistant.ask("ping")["result"] == {}
