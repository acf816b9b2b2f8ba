"""Promotion requests by programs: asked for, followed, waited for, decided."""

import json
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from api import waiting
from api.resources import requests
from approvals import policy, workflow
from approvals.models import Action, AuditEvent, PromotionRequest, Review, Target
from mirror.models import ModelVersion, RefreshHint
from tests.support.api import Answer, Machine
from tests.support.factories import (
    approve,
    check,
    make_person,
    make_policy,
    make_request,
    make_service_account,
    make_version,
)

MODEL = "churn_predictor"


@pytest.fixture
def version(production: Target, staging: Target) -> ModelVersion:
    for target in (production, staging):
        make_policy("*", target, (2, None))
    return make_version(MODEL, 7)


@pytest.fixture
def asked(version: ModelVersion, staging: Target, rita: User) -> PromotionRequest:
    return make_request(version, staging, by=rita)


@pytest.fixture
def machine(rita: User) -> Machine:
    return Machine(rita)


def body(**changed: Any) -> dict[str, Any]:
    return {"model": MODEL, "version": "7", "target": "Staging", "justification": "AUC +2 points.", **changed}


def review(by: User, asked: PromotionRequest, verdict: str = "approve", **changed: Any) -> Answer:
    said = {"verdict": verdict, "fingerprint": asked.fingerprint, **changed}
    return Machine(by, "reviews:write").post(f"/requests/{asked.pk}/reviews", said)


# --- Asking -----------------------------------------------------------------------------------------------------------


def test_a_pipeline_asks_and_is_seen_as_one(version: ModelVersion, rita: User, ada: User) -> None:
    bot = make_service_account("train-bot", owner=rita)
    machine = Machine(bot, "requests:write", name="nightly")
    run = "https://ci.example.com/runs/12"
    made = machine.post("/requests", body(), x_countersign_run=run)
    assert made.status == 201, made.body
    asked = PromotionRequest.objects.get()
    assert made.body | {"actions": {}, "revision": ""} == {
        "registry": "default",
        "workspace": "",
        "kind": "model",
        "model": MODEL,
        "id": asked.pk,
        "version": "7",
        "target": "Staging",
        "request_kind": "promotion",
        "status": "checking",
        "status_label": "In checks",
        "status_reason": "",
        "is_open": True,
        "revision": "",
        "justification": "AUC +2 points.",
        "replaces": None,
        "requested_by": {"name": "train-bot", "email": bot.email, "kind": "service"},
        "fingerprint": asked.fingerprint,
        "created_at": made["created_at"],
        "expires_at": made["expires_at"],
        "decided_at": None,
        "closed_at": None,
        "url": f"http://127.0.0.1:8000/requests/{asked.pk}/",
        "missing": [{"approvals": 2, "group": None, "sentence": "2 approvals from any reviewer"}],
        "approvals_given": 0,
        "approvals_needed": 2,
        "reviews": [],
        "actions": {},
    }
    through = AuditEvent.objects.get(action=Action.REQUEST_CREATED).data["through"]
    assert (through["token"], through["run"], through["owner"]) == ("nightly", run, rita.label)


def test_the_same_key_finds_the_request_as_it_is_by_then(version: ModelVersion, machine: Machine, remy: User) -> None:
    first = machine.post("/requests", body(), idempotency_key="run-12")
    approve(check(PromotionRequest.objects.get()), remy)
    again = machine.post("/requests", body(), idempotency_key="run-12")
    assert (first.status, again.status) == (201, 200)
    assert (again["id"], again["status"], again["approvals_given"]) == (first["id"], "pending", 1)
    other = machine.post("/requests", body(justification="Other."), idempotency_key="run-12")
    assert (other.status, other["code"]) == (422, "idempotency_key_reused")
    assert PromotionRequest.objects.count() == 1


def test_the_same_without_a_key_is_a_conflict_with_the_way_to_it(version: ModelVersion, machine: Machine) -> None:
    first = machine.post("/requests", body())
    for key in ({}, {"idempotency_key": "run-13"}):
        again = machine.post("/requests", body(), **key)
        assert (again.status, again["code"], again["request"]) == (409, "already_open", first["id"])
        assert again["url"] == first["url"]
        assert again["detail"] == f"Request #{first['id']} already asks for this."
    assert PromotionRequest.objects.count() == 1


def test_a_version_that_is_not_mirrored_yet_is_looked_for(version: ModelVersion, machine: Machine) -> None:
    found = machine.post("/requests", body(version="8"))
    assert (found.status, found["code"], found.header("Retry-After")) == (422, "unknown_version", "5")
    assert found["errors"][0]["pointer"] == "/body/version"
    assert RefreshHint.objects.filter(model_name=MODEL).exists()


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("changed", "code", "detail"),
    [
        ({"target": "Moon"}, "unknown_target", "There is no target Moon. There are: Staging, Production."),
        ({"justification": " "}, "justification_required", "Enter why this version should be promoted."),
        ({"justification": "x" * 4001}, "invalid", ""),
        ({"version": "07"}, "invalid", ""),
        ({"version": 7}, "invalid", ""),
        ({"kind": "prompt"}, "invalid", ""),
        ({"registry": "other"}, "invalid", ""),
        ({"model": ""}, "invalid", ""),
        ({"justificaton": "Misspelt."}, "invalid", "/body/justificaton"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_code(
    version: ModelVersion, machine: Machine, changed: dict[str, Any], code: str, detail: str
) -> None:
    found = machine.post("/requests", body(**changed))
    assert (found.status, found["code"]) == (422, code), found.body
    assert detail in found["detail"]
    assert not PromotionRequest.objects.exists()


def test_what_cannot_be_asked_says_so_as_the_page_does(version: ModelVersion, machine: Machine) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(status="PENDING_REGISTRATION")
    found = machine.post("/requests", body())
    assert (found.status, found["code"]) == (422, "not_possible")
    assert found["detail"] == "Version 7 is not ready in MLflow (PENDING_REGISTRATION)."


# --- Following --------------------------------------------------------------------------------------------------------


def test_the_list_is_filtered_and_goes_on(
    version: ModelVersion, asked: PromotionRequest, production: Target, rita: User, ada: User, remy: User
) -> None:
    bot = make_service_account("train-bot", owner=remy)
    other = make_request(make_version("demand", 3), production, by=bot)
    workflow.withdraw(other, by=bot)
    machine = Machine(rita, "read")

    def numbers(query: str) -> list[int]:
        return [each["id"] for each in machine.get(f"/requests?{query}")["items"]]

    assert numbers("") == [other.pk, asked.pk]
    assert numbers("status=withdrawn") == numbers("is_open=false") == numbers("target=Production") == [other.pk]
    assert numbers("model=churn_predictor&version=7") == numbers("is_open=true") == numbers("mine=true") == [asked.pk]
    assert numbers("version=8") == []
    assert [each["id"] for each in Machine(remy, "read").get("/requests?mine=true")["items"]] == [other.pk]
    first = machine.get("/requests?limit=1")
    assert first["next"] in first.header("Link")
    assert machine.get(f"/requests?limit=1&cursor={first['next']}")["items"][0]["id"] == asked.pk
    assert machine.get("/requests?status=lost").status == 422


def test_a_list_costs_the_same_however_long(
    asked: PromotionRequest, rita: User, staging: Target, django_assert_max_num_queries: Any
) -> None:
    machine = Machine(rita, "read")
    machine.get("/requests")
    for _ in range(5):
        make_request(make_version(MODEL), staging, by=rita)
    with django_assert_max_num_queries(5):
        assert len(machine.get("/requests")["items"]) == 6


def test_one_tells_what_this_account_can_do(asked: PromotionRequest, rita: User, remy: User) -> None:
    mine, theirs = (Machine(by, "read").get(f"/requests/{asked.pk}") for by in (rita, remy))
    assert mine["actions"]["approve"] == {
        "is_allowed": False,
        "code": "self_approval",
        "reason": "You requested this promotion, so another person must review it.",
    }
    assert theirs["actions"]["approve"] == {"is_allowed": True, "code": "", "reason": ""}
    assert mine["revision"] == theirs["revision"]


@pytest.mark.parametrize("number", ["7", "0", "99999999999999999999999"])
def test_there_is_none_of_what_there_is_not(rita: User, number: str) -> None:
    machine = Machine(rita)
    assert machine.get(f"/requests/{number}")["code"] == "no_such_request"
    assert machine.get(f"/requests/{number}?wait=30&since=x")["code"] == "no_such_request"
    assert machine.post(f"/requests/{number}/withdraw", {})["code"] == "no_such_request"


# --- Waiting ----------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that goes on by what is slept, and does something at a second of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.looks = 0.0, 0
        self.at: dict[float, Any] = {}
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(waiting.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.looks += 1
        if do := self.at.get(self.now):
            do()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_it_answers_when_an_approval_has_come(
    asked: PromotionRequest, machine: Machine, remy: User, clock: Clock
) -> None:
    before = machine.get(f"/requests/{asked.pk}")
    clock.at[3.0] = lambda: workflow.review(asked, by=remy, verdict="approve")
    found = machine.get(f"/requests/{asked.pk}?wait=60&since={before['revision']}")
    assert (clock.now, found["approvals_given"], found.status) == (3.0, 1, 200)
    assert found["revision"] != before["revision"]
    assert found.header("Retry-After") == ""


def test_it_answers_unchanged_when_the_time_is_over(asked: PromotionRequest, machine: Machine, clock: Clock) -> None:
    seen = machine.get(f"/requests/{asked.pk}")["revision"]
    clock.at[2.0] = lambda: workflow.comment(asked, by=asked.requester, body="Any news?")
    found = machine.get(f"/requests/{asked.pk}?wait=3600&since={seen}")
    assert (found.status, found["revision"], clock.now) == (200, seen, 30.0)
    assert machine.get(f"/requests/{asked.pk}?wait=4&since={seen}")["revision"] == seen
    assert clock.now == 34.0


def test_who_has_an_old_revision_or_none_does_not_wait(asked: PromotionRequest, machine: Machine, clock: Clock) -> None:
    assert machine.get(f"/requests/{asked.pk}?wait=30&since=old").status == 200
    assert machine.get(f"/requests/{asked.pk}?wait=30").status == 200
    assert clock.now == 0.0


def test_the_third_is_asked_to_come_again(asked: PromotionRequest, machine: Machine, clock: Clock) -> None:
    seen = machine.get(f"/requests/{asked.pk}")["revision"]
    with waiting.place(), waiting.place():
        found = machine.get(f"/requests/{asked.pk}?wait=30&since={seen}")
    assert (found.status, found["revision"], found.header("Retry-After"), clock.now) == (200, seen, "5", 0.0)
    assert machine.get(f"/requests/{asked.pk}?wait=1&since={seen}").header("Retry-After") == ""
    assert clock.now == 1.0


def test_many_are_asked_to_come_later_than_few(clock: Clock) -> None:
    crowd = waiting.Crowd()
    assert Counter(crowd.come_again() for _ in range(12)) == {5: 5, 10: 5, 15: 2}
    clock.now += 5
    assert crowd.come_again() == 15  # the same crowd as before
    clock.now += 10
    assert [crowd.come_again() for _ in range(2000)][-1] == 60
    clock.now += 10
    assert crowd.come_again() == 5


def test_a_place_is_free_again_after_a_failure(asked: PromotionRequest, machine: Machine, clock: Clock) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    seen = machine.get(f"/requests/{asked.pk}")["revision"]
    clock.at[1.0] = fail
    for _ in range(5):
        clock.now = 0.0
        assert machine.get(f"/requests/{asked.pk}?wait=30&since={seen}").status == 500


def test_waiting_costs_one_query_a_second(asked: PromotionRequest, machine: Machine, clock: Clock) -> None:
    seen = machine.get(f"/requests/{asked.pk}")["revision"]

    with CaptureQueriesContext(connection) as short:
        machine.get(f"/requests/{asked.pk}?wait=1&since={seen}")
    with CaptureQueriesContext(connection) as long:
        machine.get(f"/requests/{asked.pk}?wait=21&since={seen}")
    assert len(long) - len(short) == 20


# --- Verbs ------------------------------------------------------------------------------------------------------------


def test_it_is_withdrawn_with_a_reason(asked: PromotionRequest, machine: Machine) -> None:
    found = machine.post(f"/requests/{asked.pk}/withdraw", {"reason": "Trained on the wrong data."})
    assert (found.status, found["status"], found["is_open"]) == (200, "withdrawn", False)
    assert found["status_reason"] == "Trained on the wrong data."
    assert found["missing"] == []


def test_it_is_submitted_again(asked: PromotionRequest, machine: Machine, remy: User) -> None:
    workflow.review(asked, by=remy, verdict="request_changes", comment="Add the card.")
    found = machine.post(f"/requests/{asked.pk}/resubmit", {"justification": "With the card."})
    assert (found.status, found["status"], found["justification"]) == (200, "checking", "With the card.")
    assert [each["is_void"] for each in found["reviews"]] == [True]


def test_a_comment_is_in_the_discussion(asked: PromotionRequest, machine: Machine, rita: User) -> None:
    found = machine.post(f"/requests/{asked.pk}/comments", {"body": " Green on all slices. "})
    assert (found.status, found["body"], found["by"]["name"]) == (201, "Green on all slices.", rita.name)
    blank = machine.post(f"/requests/{asked.pk}/comments", {"body": " "})
    assert (blank.status, blank["code"]) == (422, "comment_required")


def test_two_people_review_and_it_is_approved(asked: PromotionRequest, remy: User, rosa: User) -> None:
    first = review(remy, asked, comment="Looked at.")
    assert (first.status, first["status"], first["missing"][0]["sentence"]) == (
        201,
        "pending",
        "1 approval from any reviewer",
    )
    second = review(rosa, asked)
    assert (second.status, second["status"], second["missing"]) == (201, "approved", [])
    assert [each["verdict"] for each in second["reviews"]] == ["approve", "approve"]
    signed = AuditEvent.objects.filter(action=Action.REVIEW_APPROVED)
    assert [each.data["through"]["token"].startswith("pipeline") for each in signed] == [True, True]


def test_what_was_read_is_what_is_signed(asked: PromotionRequest, remy: User) -> None:
    for fingerprint, status, code in (("0" * 64, 409, "evidence_changed"), (None, 422, "invalid")):
        found = review(remy, asked, fingerprint=fingerprint)
        assert (found.status, found["code"]) == (status, code)
    machine = Machine(remy, "reviews:write")
    assert machine.post(f"/requests/{asked.pk}/reviews", {"verdict": "approve"})["errors"][0]["pointer"] == (
        "/body/fingerprint"
    )
    assert not Review.objects.exists()


def test_a_refusal_needs_a_reason(asked: PromotionRequest, remy: User) -> None:
    found = review(remy, asked, "reject")
    assert (found.status, found["code"]) == (422, "reason_required")
    assert review(remy, asked, "reject", comment="Worse on segment B.")["status"] == "rejected"


def test_where_the_policy_asks_for_a_proof_only_the_page_will_do(
    version: ModelVersion, staging: Target, rita: User, remy: User
) -> None:
    make_policy("*", staging, (1, None), signature=policy.SignatureRule(reauthenticate=True))
    asked = make_request(version, staging, by=rita)
    found = review(remy, asked)
    assert (found.status, found["code"]) == (403, "step_up_required")
    assert found["url"] == f"http://127.0.0.1:8000/requests/{asked.pk}/"
    assert not Review.objects.exists()


def test_a_meaning_is_signed_where_the_policy_asks_for_one(
    version: ModelVersion, staging: Target, rita: User, remy: User
) -> None:
    make_policy("*", staging, (1, None), signature=policy.SignatureRule(asks_meaning=True))
    asked = make_request(version, staging, by=rita)
    assert review(remy, asked)["code"] == "meaning_required"
    assert review(remy, asked, meaning="reviewed")["reviews"][0]["meaning"] == "reviewed"


def test_a_service_account_never_signs(asked: PromotionRequest, remy: User, ada: User) -> None:
    bot = make_service_account("review-bot", owner=remy)
    machine = Machine(bot, "requests:write", "read")
    found = machine.post(f"/requests/{asked.pk}/reviews", {"verdict": "approve", "fingerprint": asked.fingerprint})
    assert (found.status, found["code"]) == (403, "persons_only")
    assert not Review.objects.exists()


def test_a_session_with_a_fresh_proof_is_no_way_round(client: Client, asked: PromotionRequest, remy: User) -> None:
    client.force_login(remy)
    said = json.dumps({"verdict": "approve", "fingerprint": asked.fingerprint})
    found = client.post(f"/api/v1/requests/{asked.pk}/reviews", said, content_type="application/json")
    assert found.status_code == 401


# --- Attacks ----------------------------------------------------------------------------------------------------------


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"model": "m", "version": "7", "target": "Staging", "justification": "' + b"x" * 1_040_000 + b'"}', 422),
        (b'{"model": "' + b"m" * 1_040_000 + b'", "version": "7", "target": "Staging", "justification": "x"}', 422),
        (b'{"model": "m", "version": "' + b"7" * 1_000_000 + b'", "target": "x", "justification": "x"}', 422),
        (b"[" * 500_000, 400),
        (b"{" * 3, 400),
        (b"7", 422),
        (b"", 422),
        (b'{"model": "m\\u0000", "version": "7", "target": "Staging", "justification": "x"}', 400),
        (b'{"model": "\\ud800", "version": "7", "target": "Staging", "justification": "x"}', 400),
        (b"\xff\xfe", 400),
        (b" " * (1024 * 1024 + 1), 413),
    ],
)
def test_whatever_is_sent_is_refused_in_few_words(
    version: ModelVersion, machine: Machine, raw: bytes, status: int
) -> None:
    found = machine.send("POST", "/requests", raw=raw)
    assert found.status == status, found.body
    assert len(found.response.content) < 2000
    assert not PromotionRequest.objects.exists()


def test_a_person_who_is_deactivated_in_this_moment_does_nothing(
    asked: PromotionRequest, remy: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the token was read, and before the verb has its locks."""
    machine = Machine(remy)
    load = requests.find_request

    def find(number: int) -> PromotionRequest:
        User.objects.filter(pk=remy.pk).update(is_active=False)
        return load(number)

    monkeypatch.setattr(requests, "find_request", find)
    said = {"verdict": "approve", "fingerprint": asked.fingerprint}
    found = machine.post(f"/requests/{asked.pk}/reviews", said)
    assert (found.status, found["code"]) == (403, "deactivated")
    assert machine.get(f"/requests/{asked.pk}")["code"] == "account_inactive"
    assert not Review.objects.exists()


def test_a_key_of_one_person_is_nothing_to_another(version: ModelVersion, machine: Machine, ada: User) -> None:
    machine.post("/requests", body(), idempotency_key="run-12")
    other = Machine(make_person("Nora Berg", "requester"))
    found = other.post("/requests", body(), idempotency_key="run-12")
    assert (found.status, found["code"]) == (409, "already_open")


def test_a_key_that_was_refused_is_free_again(version: ModelVersion, machine: Machine) -> None:
    assert machine.post("/requests", body(target="Moon"), idempotency_key="run-12").status == 422
    assert machine.post("/requests", body(), idempotency_key="run-12").status == 201


def test_a_review_with_a_key_is_given_once_and_told_again(asked: PromotionRequest, remy: User) -> None:
    machine = Machine(remy)
    said = {"verdict": "approve", "fingerprint": asked.fingerprint}
    first = machine.post(f"/requests/{asked.pk}/reviews", said, idempotency_key="r-1")
    again = machine.post(f"/requests/{asked.pk}/reviews", said, idempotency_key="r-1")
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert Review.objects.count() == 1
