"""The whole room. Calls as people write them without the SDK, and what is refused: with the answers' JSON."""

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from accounts.limits import Limiter
from accounts.models import User
from api import limits
from api.databricks import errors
from approvals import policy
from approvals.models import Action, AuditEvent, PromotionRequest, Review, Target, Webhook
from approvals.webhooks_out import databricks as delivered
from approvals.webhooks_out import messages
from mirror.models import ModelVersion, RefreshHint
from tests.support.factories import make_policy, make_request, make_token, make_version, make_webhook

ROOT = "/databricks/api/2.0/mlflow"
MODEL = "churn_predictor"
SUBJECT = {"name": MODEL, "version": "7", "stage": "Production"}


class Script:
    """Sends with one person's token."""

    def __init__(self, user: User | None = None, *scopes: str) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"authorization": f"Bearer {make_token(user, *scopes)}"} if user else {}

    def send(self, method: str, path: str, body: Any = None, *, query: Any = None, root: str = ROOT) -> Any:
        """The status, and the body's JSON."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        found = self.client.generic(
            method,
            f"{root}/{path}",
            content,
            content_type="application/json",
            headers=self.headers,
            query_params=query,
        )
        assert found["Content-Type"].startswith("application/json"), found.content
        self.response = found
        return found.status_code, json.loads(found.content)


@pytest.fixture
def version(production: Target) -> ModelVersion:
    make_policy("*", production, (1, None))
    return make_version(MODEL, 7)


@pytest.fixture
def asked(version: ModelVersion, production: Target, rita: User) -> PromotionRequest:
    return make_request(version, production, by=rita)


# --- Coming in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", [ROOT, "/databricks/api/2.0/preview/mlflow"])
@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("number", ["7", 7])
def test_old_addresses_slashes_numbers_and_unknown_fields_are_taken(
    version: ModelVersion, rita: User, root: str, end: str, number: Any
) -> None:
    said = {**SUBJECT, "version": number, "archive_existing_versions": "true", "comment": "Better.", "x": [1]}
    status, body = Script(rita).send("POST", f"transition-requests/create{end}", said, root=root)
    assert (status, body["request"]["version"]) == (200, "7"), body


@pytest.mark.parametrize("where", ["query", "body"])
def test_reading_and_deleting_take_the_query_or_a_body(asked: PromotionRequest, rita: User, where: str) -> None:
    script = Script(rita)
    _, body = script.send("GET", "transition-requests/list", **{where: {"name": MODEL, "version": "7"}})
    assert [each["id"] for each in body["requests"]] == [str(asked.pk)]
    said = SUBJECT | {"creator": "RITA@example.com"}
    status, body = script.send("DELETE", "transition-requests/delete", **{where: said})
    assert (status, body["activity"]["activity_type"]) == (200, "CANCELLED_REQUEST")


@pytest.mark.parametrize("stage", ["Production", "champion", "@champion"])
def test_a_stage_is_one_of_mlflow_or_an_alias(version: ModelVersion, rita: User, stage: str) -> None:
    status, body = Script(rita).send(
        "POST", "transition-requests/create", SUBJECT | {"stage": stage, "comment": "Better."}
    )
    assert (status, body["request"]["to_stage"]) == (200, "Production")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"{", "BAD_REQUEST", "The body is not JSON."),
        (b"[]", "BAD_REQUEST", "The body is not a JSON object."),
        (b"[" * 100_000, "BAD_REQUEST", "The body is not JSON."),
        ({}, "INVALID_PARAMETER_VALUE", "name: Field required."),
        ({"name": MODEL}, "INVALID_PARAMETER_VALUE", "version: Field required."),
        (SUBJECT | {"version": "07"}, "INVALID_PARAMETER_VALUE", "version: "),
        (SUBJECT | {"stage": ""}, "INVALID_PARAMETER_VALUE", "stage: "),
        (SUBJECT | {"comment": "x" * 4001}, "INVALID_PARAMETER_VALUE", "comment: "),
        (SUBJECT, "INVALID_PARAMETER_VALUE", "Enter why this version should be promoted."),
        (SUBJECT | {"comment": None}, "INVALID_PARAMETER_VALUE", "Enter why this version should be promoted."),
    ],
)
def test_what_makes_no_sense_is_refused(version: ModelVersion, rita: User, body: Any, code: str, message: str) -> None:
    status, said = Script(rita).send("POST", "transition-requests/create", body)
    assert (status, said["error_code"]) == (400, code)
    assert message in said["message"]


def test_a_version_that_is_not_mirrored_yet_is_looked_for(version: ModelVersion, rita: User) -> None:
    status, said = Script(rita).send("POST", "transition-requests/create", SUBJECT | {"version": "8", "comment": "x"})
    assert (status, said["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "It is looking for it; try again in a few seconds." in said["message"]
    assert RefreshHint.objects.filter(model_name=MODEL).exists()


# --- Discovery and errors ---------------------------------------------------------------------------------------------


def test_discovery_needs_no_token_and_is_never_slowed(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_ANONYMOUS_PER_MINUTE = 1
    monkeypatch.setattr(limits, "LIMITER", Limiter())
    found = {Script().send("GET", ".well-known/databricks-config", root="/databricks")[0] for _ in range(5)}
    assert found == {200}
    assert Script().send("GET", ".well-known/databricks-config", root="/databricks")[1] == {}


def test_who_asks_too_often_is_told_when(rita: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_REQUESTS_PER_MINUTE = 1
    monkeypatch.setattr(limits, "LIMITER", Limiter())
    script = Script(rita)
    script.send("GET", "api/2.0/preview/scim/v2/Me", root="/databricks")
    status, said = script.send("GET", "api/2.0/preview/scim/v2/Me", root="/databricks")
    assert (status, said["error_code"]) == (429, "RESOURCE_EXHAUSTED")
    assert 0 < int(script.response["Retry-After"]) <= 60


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "transition-requests/approve", 405, "BAD_REQUEST"),
        ("POST", "transition-requests/nothing", 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "registered-models/search", 404, "ENDPOINT_NOT_FOUND"),
        ("POST", "transition-requests/create", 401, "UNAUTHENTICATED"),
    ],
)
def test_what_is_not_there_is_json(db: None, method: str, path: str, status: int, code: str) -> None:
    found, said = Script().send(method, path, {})
    assert (found, said["error_code"]) == (status, code)
    assert said["message"].endswith(".")
    assert said["details"][0]["@type"] == errors.ERROR_INFO


@pytest.mark.parametrize(("method", "status"), [("GET", 503), ("POST", 500)])
def test_only_what_changes_nothing_is_sent_again_while_the_database_is_away(
    asked: PromotionRequest, rita: User, monkeypatch: pytest.MonkeyPatch, method: str, status: int
) -> None:
    """Clients repeat what is answered with 503, and the last answer may have been lost after it was done."""
    from django.db import OperationalError

    from api.databricks import finding

    def away(*_: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("components.database_away.is_away", lambda error: isinstance(error, OperationalError))
    monkeypatch.setattr(finding, "version", away)
    path = "list" if method == "GET" else "create"
    script = Script(rita)
    found, said = script.send(method, f"transition-requests/{path}", SUBJECT)
    assert found == status
    assert said["error_code"] == {503: "TEMPORARILY_UNAVAILABLE", 500: "INTERNAL_ERROR"}[status]
    assert ("Retry-After" in script.response) is (status == 503)
    assert "Unexpected error" not in said["message"]  # by which clients would repeat it


def test_refusals_because_of_the_request_are_told_from_those_because_of_the_person() -> None:
    """Each code of `errors.STATE` is one that the product gives."""
    sources = [*Path(policy.__file__).parent.glob("*.py"), *Path(policy.__file__).parents[1].glob("workflow/*.py")]
    known = {code for path in sources for code in re.findall(r'"([a-z_]+)"', path.read_text())}
    assert known >= errors.STATE


# --- Signing ----------------------------------------------------------------------------------------------------------


def test_an_approval_is_over_the_evidence_as_it_is_and_says_how_it_came(asked: PromotionRequest, remy: User) -> None:
    status, said = Script(remy).send("POST", "transition-requests/approve", SUBJECT)
    assert (status, said["activity"]["fingerprint"]) == (200, asked.fingerprint)
    review = Review.objects.get()
    assert (review.reviewer, review.fingerprint) == (remy, asked.fingerprint)
    event = AuditEvent.objects.get(action=Action.REVIEW_APPROVED)
    assert event.data["through"]["door"] == "Databricks API"
    client = Client()
    client.force_login(remy)
    page = re.sub(r"\s+", " ", client.get(asked.get_absolute_url()).content.decode())
    assert "Through the API token <bdi>ci-train</bdi>, by the Databricks API" in page


def test_a_fingerprint_that_is_named_is_held_against_the_evidence(asked: PromotionRequest, remy: User) -> None:
    script = Script(remy)
    status, said = script.send("POST", "transition-requests/approve", SUBJECT | {"fingerprint": "0" * 64})
    assert (status, said["error_code"]) == (409, "ABORTED")
    assert said["details"][0]["reason"] == "EVIDENCE_CHANGED"
    assert not Review.objects.exists()
    said = SUBJECT | {"fingerprint": asked.fingerprint}
    assert script.send("POST", "transition-requests/approve", said)[0] == 200


@pytest.mark.parametrize("does", [True, False])
@pytest.mark.parametrize("wanted", ["true", False, None])
def test_whether_others_are_archived_is_for_the_target_to_say(
    version: ModelVersion, production: Target, rita: User, remy: User, does: bool, wanted: Any
) -> None:
    Target.objects.filter(pk=production.pk).update(archives_existing=does)
    production.refresh_from_db()
    make_request(version, production, by=rita)
    body = SUBJECT | {"archive_existing_versions": wanted}
    _, said = Script(remy).send("POST", "transition-requests/approve", body)
    differs = wanted is not None and (wanted == "true") is not does
    assert ("whatever the call says" in said["activity"]["system_comment"]) is differs


@pytest.mark.parametrize(
    ("asks", "status", "reason"),
    [
        ({"reauthenticate": True}, 403, "STEP_UP_REQUIRED"),
        ({"asks_meaning": True}, 400, "MEANING_REQUIRED"),
    ],
)
def test_what_only_the_page_can_ask_is_refused_with_its_address(
    version: ModelVersion, production: Target, rita: User, remy: User, asks: Any, status: int, reason: str
) -> None:
    make_policy("*", production, (1, None), signature=policy.SignatureRule(**asks))
    asked = make_request(version, production, by=rita)
    found, said = Script(remy).send("POST", "transition-requests/approve", SUBJECT)
    info = said["details"][0]
    page = f"http://127.0.0.1:8000{asked.get_absolute_url()}"
    assert (found, info["reason"], info["metadata"]) == (status, reason, {"url": page, "request": str(asked.pk)})
    assert said["message"].endswith(f"See {page}")
    assert not Review.objects.exists()


def test_a_model_shows_the_newest_version_of_each_stage(version: ModelVersion, vera: User) -> None:
    make_version(MODEL, 6, stage="Production")
    make_version(MODEL, 5, stage="Production")
    make_version(MODEL, 4, deleted_at=timezone.now(), stage="Staging")
    _, said = Script(vera, "read").send("GET", "databricks/registered-models/get", query={"name": MODEL})
    found = said["registered_model_databricks"]
    assert {(each["current_stage"], each["version"]) for each in found["latest_versions"]} == {
        ("None", "7"),
        ("Production", "6"),
    }
    assert found["permission_level"] == "CAN_READ"


# --- Registry webhooks ------------------------------------------------------------------------------------------------

SPEC = {"url": "https://ci.example.com/hook", "secret": "shared-between-us"}


@pytest.fixture
def admin(ada: User) -> Script:
    return Script(ada, "webhooks:write")


def test_a_secret_that_was_given_is_in_no_table_and_no_event(admin: Script) -> None:
    said = {"events": ["TRANSITION_REQUEST_CREATED"], "http_url_spec": SPEC}
    status, body = admin.send("POST", "registry-webhooks/create", said)
    assert status == 200, body
    made = Webhook.objects.get()
    assert SPEC["secret"] not in made.given_secret
    assert not AuditEvent.objects.filter(payload__contains=SPEC["secret"]).exists()
    theirs = hmac.new(SPEC["secret"].encode(), b"{}", hashlib.sha256).hexdigest()
    assert delivered.signature(made, b"{}", "own") == {"X-Databricks-Signature": theirs}
    own = hmac.new(b"own", b"{}", hashlib.sha256).hexdigest()
    with override_settings(SECRET_KEY="another"):
        assert delivered.signature(made, b"{}", "own") == {"X-Databricks-Signature": own}
    made.given_secret = ""
    assert delivered.signature(made, b"{}", "own") == {"X-Databricks-Signature": own}
    assert delivered.signature(make_webhook(), b"{}", "own") == {}


def test_its_page_says_what_it_is_sent(admin: Script, ada: User) -> None:
    admin.send("POST", "registry-webhooks/create", {"events": ["TRANSITION_REQUEST_CREATED"], "http_url_spec": SPEC})
    client = Client()
    client.force_login(ada)
    page = client.get(Webhook.objects.get().get_absolute_url()).content.decode()
    assert "Databricks format: TRANSITION_REQUEST_CREATED" in page
    assert SPEC["secret"] not in page


def test_a_new_secret_is_saved_and_recorded(admin: Script) -> None:
    said = {"events": ["TRANSITION_REQUEST_CREATED"], "http_url_spec": SPEC}
    number = admin.send("POST", "registry-webhooks/create", said)[1]["webhook"]["id"]
    before = Webhook.objects.get().given_secret
    admin.send("PATCH", "registry-webhooks/update", {"id": number, "http_url_spec": SPEC | {"secret": "another"}})
    assert Webhook.objects.get().given_secret != before
    change = AuditEvent.objects.get(action=Action.WEBHOOK_CHANGED).data
    assert change["before"]["secret_digest"] != change["after"]["secret_digest"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"events": []}, "INVALID"),
        ({"events": ["COMMENT_CREATED"]}, "UNKNOWN_EVENT"),
        ({"events": ["MODEL_VERSION_TRANSITIONED_TO_ARCHIVED"]}, "UNKNOWN_EVENT"),
        ({"http_url_spec": None}, "INVALID"),
        ({"http_url_spec": SPEC | {"url": "https://127.0.0.1/"}}, "INVALID"),
        ({"http_url_spec": SPEC | {"authorization": "Bearer x"}}, "INVALID"),
        ({"http_url_spec": SPEC | {"enable_ssl_verification": "false"}}, "INVALID"),
        ({"job_spec": {"job_id": "1"}}, "INVALID"),
        ({"model_name": "churn_*"}, "INVALID"),
        ({"status": "TEST_MODE"}, "INVALID"),
    ],
)
def test_a_webhook_that_would_not_be_what_was_asked_for_is_refused(
    admin: Script, changed: dict[str, Any], reason: str
) -> None:
    said = {"events": ["TRANSITION_REQUEST_CREATED"], "http_url_spec": SPEC} | changed
    status, body = admin.send("POST", "registry-webhooks/create", said)
    assert (status, body["error_code"], body["details"][0]["reason"]) == (400, "INVALID_PARAMETER_VALUE", reason)
    assert not Webhook.objects.exists()


def test_a_webhook_of_the_product_is_not_one_of_databricks(admin: Script) -> None:
    made = make_webhook("Slack")
    assert admin.send("GET", "registry-webhooks/list")[1] == {"webhooks": []}
    status, body = admin.send("DELETE", "registry-webhooks/delete", query={"id": str(made.pk)})
    assert (status, body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert Webhook.objects.get().retired_at is None


def test_a_test_that_no_worker_sends_says_where_to_look(admin: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.databricks import webhooks

    monkeypatch.setattr(webhooks, "PATIENCE", 0)
    said = {"events": "TRANSITION_REQUEST_CREATED", "http_url_spec": SPEC, "description": "CI"}
    number = admin.send("POST", "registry-webhooks/create", said)[1]["webhook"]["id"]
    status, body = admin.send("POST", "registry-webhooks/test", {"id": number})
    assert (status, body["status_code"], body["webhook"]["status_code"]) == (200, 0, 0)
    assert body["body"].startswith("The worker has not sent it yet: see http")


@pytest.mark.parametrize(
    ("events", "sent"),
    [
        (["TRANSITION_REQUEST_TO_PRODUCTION_CREATED"], "TRANSITION_REQUEST_TO_PRODUCTION_CREATED"),
        (
            ["TRANSITION_REQUEST_TO_PRODUCTION_CREATED", "TRANSITION_REQUEST_CREATED"],
            "TRANSITION_REQUEST_CREATED",
        ),
        (["TRANSITION_REQUEST_TO_STAGING_CREATED"], None),
        (["MODEL_VERSION_TRANSITIONED_STAGE"], None),
    ],
)
def test_an_event_for_one_stage_is_sent_for_that_stage(
    admin: Script, version: ModelVersion, production: Target, rita: User, events: list[str], sent: str | None
) -> None:
    admin.send("POST", "registry-webhooks/create", {"events": events, "http_url_spec": SPEC})
    make_request(version, production, by=rita)
    message, _ = messages.after(Webhook.objects.get())
    assert (json.loads(message.body)["event"] if message else None) == sent
