"""An assistant over `countersign mcp` against the product: it reads, compares and requests, and a person decides."""

import json
from collections.abc import Iterator

import pytest

from approvals.models import Action, AuditEvent, PromotionRequest, Target
from tests.support.assistant import Assistant
from tests.support.command_line import clean_environment
from tests.support.factories import check, make_person, make_policy, make_token, make_version
from tests.support.world import hold

pytestmark = [pytest.mark.slow, pytest.mark.nodb]  # what answers is asked on each database by the tests of its room


@pytest.fixture
def assistant(site: str) -> Iterator[Assistant]:
    """Of Rita Sanz; version 1 of a model is in Production, version 2 is better."""
    production = Target.objects.get(name="Production")
    make_policy("*", production, (1, None))
    hold(make_version("churn_predictor", 1, metrics={"auc": 0.88}), production)
    make_version("churn_predictor", 2, metrics={"auc": 0.93})
    token = make_token(make_person("Rita Sanz", "requester"), "read", "evidence:read", "requests:write")
    made = Assistant(clean_environment(COUNTERSIGN_URL=site, COUNTERSIGN_TOKEN=token))
    yield made
    assert made.end() == (0, b"")


def test_an_assistant_compares_and_requests_and_a_person_decides(assistant: Assistant) -> None:
    assert [each["model"] for each in assistant.call("list_models")["structuredContent"]["items"]] == [
        "churn_predictor"
    ]
    versions = assistant.call("list_versions", model="churn_predictor")["structuredContent"]["items"]
    assert [each["version"] for each in versions] == ["2", "1"]
    assert assistant.call("show_version", model="churn_predictor", version="2")["structuredContent"]["run_id"] == "run2"
    held = assistant.call("show_holder", model="churn_predictor", target="Production")["structuredContent"]
    assert held["version"] == "1"
    compared = assistant.call("compare_versions", model="churn_predictor", version="2", with_version="1")
    assert compared["structuredContent"]["metrics"]["different"] == {"auc": [0.93, 0.88]}
    assert assistant.call("list_incidents", status="all")["structuredContent"] == {"items": [], "has_more": False}

    asked = {
        "model": "churn_predictor",
        "version": "2",
        "target": "Production",
        "justification": "Rita: AUC is better.",
    }
    made = assistant.call("request_promotion", **asked)["structuredContent"]
    assert made["status"] == "checking"
    request = check(PromotionRequest.objects.with_subject().get())
    assert AuditEvent.objects.get(action=Action.REQUEST_CREATED).data["through"]["token"] == "ci-train"
    seen = assistant.call("show_request", request=made["id"])["structuredContent"]
    assert (seen["status"], seen["missing"][0]["approvals"]) == ("pending", 1)
    read = assistant.call("show_evidence", request=made["id"])["structuredContent"]
    assert read == {"fingerprint": request.fingerprint, "evidence": json.loads(request.evidence)}
    again = assistant.call("request_promotion", **asked)
    assert again["isError"] is True
    assert f"/requests/{request.pk}/" in again["content"][0]["text"]


def test_an_assistant_of_a_reviewer_gets_nowhere_with_a_token_that_may_review(site: str) -> None:
    token = make_token(make_person("Remy Ortiz", "reviewer"))
    assistant = Assistant(clean_environment(COUNTERSIGN_URL=site, COUNTERSIGN_TOKEN=token))
    told = assistant.call("list_models")
    assert told["isError"] is True
    assert "reviews:write" in told["content"][0]["text"]
    assert assistant.end() == (0, b"")
