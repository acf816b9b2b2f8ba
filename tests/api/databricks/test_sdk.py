"""The whole room. The unmodified SDK against the real server, the newest one and the last with the old words."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from approvals import assessment, webhooks_out
from approvals.models import Action, AuditEvent, PromotionRequest, Status, Target, WebhookAttempt
from tests.support.ci_service import Service, says
from tests.support.databricks import INSTALLED, OLD, Caller, Program, Refused, Sdk
from tests.support.factories import check, make_person, make_policy, make_service_account, make_token
from tests.support.fakes import FakeRegistry
from tests.support.waiting import within
from tests.support.world import MODEL, deliver, in_production, make_registry

pytestmark = [pytest.mark.server, pytest.mark.nodb]  # what answers is asked on each database by the tests of its room

TO_PRODUCTION = {"name": MODEL, "version": "3", "stage": "Production"}


@pytest.fixture
def site(committed: None, settings: Any) -> Iterator[LiveServer]:
    server = LiveServer("127.0.0.1")
    settings.SITE_URL = server.url
    yield server
    server.stop()


@pytest.fixture(scope="module", params=[INSTALLED, OLD], ids=["installed", "old"])
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    with Program(request.param) as made:
        yield made


@pytest.fixture
def sdk(program: Program, site: LiveServer) -> Sdk:
    return program.at(f"{site.url}/databricks")


@pytest.fixture
def registry(site: LiveServer) -> FakeRegistry:
    registry = make_registry(production=1)
    for target in Target.objects.current():
        make_policy("*", target, (2, None))
    return registry


def person(sdk: Sdk, name: str, *groups: str) -> tuple[User, Caller]:
    made = make_person(name, *groups)
    return made, sdk.as_(make_token(made))


@pytest.fixture
def rita(sdk: Sdk, registry: FakeRegistry) -> Caller:
    return person(sdk, "Rita Sanz", "requester", "reviewer")[1]


@pytest.fixture
def remy(sdk: Sdk, registry: FakeRegistry) -> Caller:
    return person(sdk, "Remy Ortiz", "reviewer")[1]


@pytest.fixture
def rosa(sdk: Sdk, registry: FakeRegistry) -> Caller:
    return person(sdk, "Rosa Lind", "reviewer")[1]


def refused(call: Any, **arguments: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        call(**arguments)
    return caught.value


def test_a_version_is_requested_approved_by_two_others_and_delivered(
    registry: FakeRegistry, rita: Caller, remy: Caller, rosa: Caller, site: LiveServer
) -> None:
    approving = TO_PRODUCTION | {"archive_existing_versions": True}
    made = rita.create_transition_request(**TO_PRODUCTION, comment="AUC up 2 points.")["request"]
    assert (made["to_stage"], made["user_id"], made["comment"]) == (
        "Production",
        "rita@example.com",
        "AUC up 2 points.",
    )
    assert made["available_actions"] == ["CANCEL_TRANSITION_REQUEST"]
    asked = PromotionRequest.objects.get()
    assert made["creation_timestamp"] == round(asked.created_at.timestamp() * 1000)

    error = refused(remy.approve_transition_request, **approving)
    assert (error.kinds[:2], error.reason) == (["InvalidState", "BadRequest"], "CHECKS_RUNNING")
    error = refused(rita.create_transition_request, **TO_PRODUCTION, comment="Again.")
    assert (error.kinds[0], error.reason) == ("ResourceAlreadyExists", "ALREADY_OPEN")
    assert error.url == f"{site.url}/requests/{asked.pk}/"

    assert assessment.assess(asked.pk, registry) == "concluded"
    error = refused(rita.approve_transition_request, **approving)
    assert (error.kinds[0], error.code, error.reason) == ("PermissionDenied", "PERMISSION_DENIED", "SELF_APPROVAL")
    assert "You requested this promotion, so another person must review it." in error.message

    (open_one,) = remy.list_transition_requests(name=MODEL, version="3")
    assert (open_one["activity_type"], open_one["user_id"]) == ("REQUESTED_TRANSITION", "rita@example.com")
    assert (open_one["id"], open_one["from_stage"]) == (str(asked.pk), "None")
    first = remy.approve_transition_request(**approving, comment="Good.")["activity"]
    assert (first["activity_type"], first["user_id"], first["comment"]) == (
        "APPROVED_REQUEST",
        "remy@example.com",
        "Good.",
    )
    assert first["system_comment"] == "Waiting for review: 1 of 2 approvals."
    error = refused(remy.approve_transition_request, **approving)
    assert (error.kinds[0], error.reason) == ("InvalidState", "ALREADY_DECIDED")
    last = rosa.approve_transition_request(**approving)["activity"]
    assert last["system_comment"] == "Approved, not yet in MLflow: 2 of 2 approvals."

    asked.refresh_from_db()
    assert deliver(asked, registry) == "applied"
    assert in_production(registry) == [3]
    assert rita.list_transition_requests(name=MODEL, version="3") == []
    error = refused(rosa.approve_transition_request, **approving)
    assert (error.kinds[0], error.reason) == ("InvalidState", "NOT_OPEN")
    model = rita.get_model(name=MODEL)["registered_model_databricks"]
    assert {each["current_stage"]: each["version"] for each in model["latest_versions"]} == {
        "None": "4",
        "Production": "3",
        "Archived": "1",
    }
    assert model["permission_level"] == "CAN_MANAGE_PRODUCTION_VERSIONS"


def test_a_reviewer_rejects_with_a_reason(rita: Caller, remy: Caller) -> None:
    rita.create_transition_request(**TO_PRODUCTION, comment="AUC up 2 points.")
    asked = check(PromotionRequest.objects.get())
    error = refused(remy.reject_transition_request, **TO_PRODUCTION)
    assert (error.kinds[0], error.reason) == ("InvalidParameterValue", "REASON_REQUIRED")
    said = remy.reject_transition_request(**TO_PRODUCTION, comment="Recall fell.")["activity"]
    assert (said["activity_type"], said["comment"]) == ("REJECTED_REQUEST", "Recall fell.")
    asked.refresh_from_db()
    assert (asked.status, asked.status_reason) == (Status.REJECTED, "Recall fell.")


def test_a_request_is_withdrawn_by_its_creator_alone(rita: Caller, remy: Caller) -> None:
    rita.create_transition_request(**TO_PRODUCTION, comment="AUC up 2 points.")
    asked = PromotionRequest.objects.get()
    error = refused(remy.delete_transition_request, **TO_PRODUCTION, creator="rita@example.com")
    assert (error.kinds[0], error.reason) == ("PermissionDenied", "NOT_REQUESTER")
    error = refused(rita.delete_transition_request, **TO_PRODUCTION, creator="remy@example.com")
    assert (error.kinds[0], error.reason) == ("InvalidParameterValue", "NO_REQUEST")
    rita.delete_transition_request(**TO_PRODUCTION, creator="rita@example.com", comment="Not yet.")
    asked.refresh_from_db()
    assert (asked.status, asked.status_reason) == (Status.WITHDRAWN, "Not yet.")
    assert asked.events.order_by("sequence").last().data["through"]["door"] == "Databricks API"


def test_comments_are_added_and_stay(rita: Caller, remy: Caller) -> None:
    about = {"name": MODEL, "version": "3"}
    error = refused(rita.create_comment, **about, comment="Look.")
    assert (error.kinds[0], error.reason) == ("InvalidParameterValue", "NO_REQUEST")
    rita.create_transition_request(**TO_PRODUCTION, comment="AUC up 2 points.")
    said = rita.create_comment(**about, comment="Look at recall.")["comment"]
    assert (said["comment"], said["user_id"]) == ("Look at recall.", "rita@example.com")
    assert not said.get("available_actions")
    for error in (
        refused(rita.update_comment, id=said["id"], comment="Never mind."),
        refused(rita.delete_comment, id=said["id"]),
    ):
        assert (error.kinds[0], error.reason) == ("PermissionDenied", "ON_THE_RECORD")
        assert "A comment is on the record" in error.message
    assert refused(rita.delete_comment, id="99").kinds[:2] == ["ResourceDoesNotExist", "NotFound"]
    asked = PromotionRequest.objects.get()
    assert [each.body for each in asked.comments.all()] == ["Look at recall."]


def test_a_stage_is_never_moved_without_a_request(
    registry: FakeRegistry, rita: Caller, sdk: Sdk, site: LiveServer
) -> None:
    arguments = TO_PRODUCTION | {"archive_existing_versions": True, "comment": "Version 1 scores everybody as lost."}
    error = refused(rita.transition_stage, **arguments)
    assert (error.kinds[0], error.reason) == ("PermissionDenied", "ROLE_REQUIRED")
    assert error.url == f"{site.url}/p/{MODEL}/3"
    make_policy("*", Target.objects.get(name="Production"), (2, None))
    responder = person(sdk, "Ilse Baum", "responder", "requester")[1]
    error = refused(responder.transition_stage, **arguments)
    assert (error.kinds[0], error.reason) == ("PermissionDenied", "STEP_UP_REQUIRED")
    assert f"{site.url}/models/{MODEL}/versions/3/break-glass/" in error.url
    assert in_production(registry) == [1]
    assert not PromotionRequest.objects.exists()


def test_what_is_not_there_or_not_let_in_raises_what_the_sdk_has_for_it(sdk: Sdk, rita: Caller) -> None:
    assert refused(rita.get_model, name="nothing").kinds[0] == "ResourceDoesNotExist"
    error = refused(rita.create_transition_request, name=MODEL, version="99", stage="Production", comment="Why not.")
    assert (error.kinds[0], error.reason) == ("ResourceDoesNotExist", "NO_SUCH_VERSION")
    error = refused(rita.create_transition_request, name=MODEL, version="3", stage="Archived", comment="Old.")
    assert (error.kinds[0], error.reason) == ("InvalidParameterValue", "UNKNOWN_TARGET")
    assert "Promotions can be requested to Staging, Production, not to Archived." in error.message
    error = refused(sdk.as_("dapi-of-another-place").list_transition_requests, name=MODEL, version="3")
    assert (error.kinds[0], error.reason) == ("Unauthenticated", "TOKEN_MALFORMED")
    assert refused(rita.do, method="GET", path="/api/2.0/clusters/list").code == "ENDPOINT_NOT_FOUND"


def test_registry_webhooks_are_made_changed_tested_and_deleted(
    sdk: Sdk, rita: Caller, registry: FakeRegistry, settings: Any
) -> None:
    settings.WEBHOOK_PRIVATE_HOSTS = ["127.0.0.1"]
    admin = person(sdk, "Ada Brandt", "administrator")[1]
    receiver = Service()
    receiver.behave = says(200, b"ok")
    spec = {"url": receiver.url, "secret": "shared between us"}
    made = admin.create_webhook(
        events=["TRANSITION_REQUEST_CREATED", "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"],
        http_url_spec=spec,
        description="CI",
        model_name=MODEL,
    )["webhook"]
    assert (made["status"], made["model_name"], made["http_url_spec"]["url"]) == ("ACTIVE", MODEL, receiver.url)
    (listed,) = admin.list_webhooks()
    assert (listed["id"], listed["events"]) == (made["id"], made["events"])
    assert receiver.url not in str(listed), "the address may be a secret"

    rita.create_transition_request(**TO_PRODUCTION, comment="AUC up 2 points.")
    assert webhooks_out.send() == 1
    ((headers, body),) = receiver.calls
    signature = hmac.new(b"shared between us", body, hashlib.sha256).hexdigest()
    assert headers["x-databricks-signature"] == signature
    told = json.loads(body)
    url = PromotionRequest.objects.get().get_absolute_url()
    assert told.pop("text").endswith(url)
    at = AuditEvent.objects.get(action=Action.REQUEST_CREATED).at
    assert told == {
        "event": "TRANSITION_REQUEST_CREATED",
        "webhook_id": made["id"],
        "event_timestamp": round(at.timestamp() * 1000),
        "model_name": MODEL,
        "version": "3",
        "to_stage": "Production",
    }

    worker = threading.Thread(target=send_soon)
    worker.start()
    said = admin.test_registry_webhook(id=made["id"])
    worker.join(30)
    said = said.get("webhook", said)
    assert (said["status_code"], said["body"]) == (200, "ok")
    assert json.loads(receiver.calls[-1][1])["text"].startswith("This is a test of the webhook CI")

    admin.update_webhook(id=made["id"], status="DISABLED", events=["MODEL_VERSION_TRANSITIONED_STAGE"])
    (listed,) = admin.list_webhooks()
    assert (listed["status"], listed["events"]) == ("DISABLED", ["MODEL_VERSION_TRANSITIONED_STAGE"])
    admin.update_webhook(id=made["id"], status="ACTIVE")
    assert [each["status"] for each in admin.list_webhooks()] == ["ACTIVE"]
    assert refused(rita.list_webhooks).reason == "ROLE_REQUIRED"
    error = refused(admin.create_webhook, events=["MODEL_VERSION_TAG_SET"], http_url_spec=spec)
    assert (error.kinds[0], error.reason) == ("InvalidParameterValue", "UNKNOWN_EVENT")
    admin.delete_webhook(id=made["id"])
    assert admin.list_webhooks() == []
    assert refused(admin.delete_webhook, id=made["id"]).kinds[0] == "ResourceDoesNotExist"
    receiver.close()


def send_soon() -> None:
    """What the worker does when it is asked for a test."""
    try:
        within(20, lambda: WebhookAttempt.objects.filter(at=None).exists())
        webhooks_out.send()
    finally:
        connection.close()


def test_a_pipeline_asks_as_a_service_account_and_never_signs(sdk: Sdk, registry: FakeRegistry) -> None:
    rita = make_person("Rita Sanz", "requester", "reviewer")
    bot = make_service_account("train-bot", owner=rita)
    pipeline = sdk.as_(make_token(bot, "read", "requests:write"))
    made = pipeline.create_transition_request(**TO_PRODUCTION, comment="Nightly.")["request"]
    assert (made["user_id"], pipeline.me()["userName"]) == (bot.email, bot.email)
    check(PromotionRequest.objects.get())
    approving = TO_PRODUCTION | {"archive_existing_versions": True}
    assert refused(pipeline.approve_transition_request, **approving).reason == "PERSONS_ONLY"
    assert refused(sdk.as_(make_token(rita)).approve_transition_request, **approving).reason == "SELF_APPROVAL"
