"""What events tell: each type once, thin, with the words of the JSON that are for years; and docs/webhooks.md says so,
with examples that verify."""

import base64
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from standardwebhooks.webhooks import WebhookVerificationError

from accounts.models import User
from approvals import administration, ledger, webhooks_out, workflow
from approvals.models import Action, AuditEvent, PromotionRequest, Target, Webhook
from approvals.models.event_types import WEBHOOKS
from approvals.models.webhooks import PER_EVENT
from approvals.webhooks_out import messages, sending
from mirror import sync
from tests.approvals.webhooks_out.test_sending import happen
from tests.support import world
from tests.support.factories import make_webhook
from tests.support.fakes import FakeRegistry
from tests.support.receiver import Receiver, secret_of

SITE = django_settings.SITE_URL
PAGE = (django_settings.BASE_DIR / "docs" / "webhooks.md").read_text()
EXAMPLES = [each for each in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "def receive" in each]
UNITS = {"s": "seconds", "min": "minutes", "h": "hours"}


@pytest.fixture
def production(db: None) -> Target:
    return Target.objects.get(name="Production")


def data_of(receiver: Receiver, kind: str) -> list[dict[str, Any]]:
    return [told["data"] for _, told in receiver.taken if told["type"] == kind]


def promote(registry: FakeRegistry, number: int, target: Target, rita: User, *people: User) -> PromotionRequest:
    request = world.ask(registry, number, target, by=rita)
    for person in people:
        request.refresh_from_db()
        workflow.review(request, by=person, verdict="approve", comment="", fingerprint=request.fingerprint)
    request.refresh_from_db()
    world.deliver(request, registry)
    return request


def test_a_promotion_tells_of_request_and_holder_in_order(
    webhook: Webhook, receiver: Receiver, registry: FakeRegistry, rita: User, remy: User, rosa: User, production: Target
) -> None:
    world.observe(registry)
    first = promote(registry, 1, production, rita, remy, rosa)
    second = promote(registry, 2, production, rita, remy, rosa)
    assert second.pk != first.pk
    webhooks_out.send()
    one = ["request.created", "request.approved", "request.applied", "holder.changed"]
    assert receiver.types == one * 2
    sequences = [told["data"]["sequence"] for _, told in receiver.taken]
    assert sequences == sorted(sequences)

    (created,) = data_of(receiver, "request.created")[:1]
    assert created == {
        "sequence": sequences[0],
        "registry": "default",
        "workspace": "",
        "kind": "model",
        "model": "churn_predictor",
        "version": "1",
        "target": "Production",
        "id": first.pk,
        "url": f"{SITE}{first.get_absolute_url()}",
        "status": "checking",  # as the event left it, however late it is sent
    }
    assert [each["status"] for each in data_of(receiver, "request.approved")] == ["approved"] * 2
    assert [each["status"] for each in data_of(receiver, "request.applied")] == ["applied"] * 2
    changed = data_of(receiver, "holder.changed")
    assert [(each["version"], each["status"]) for each in changed] == [("1", "held"), ("2", "held")]
    places = [{"type": "alias", "name": "champion"}, {"type": "stage", "name": "Production"}]
    assert changed[1]["holders"] == [{"version": "2", "place": place} for place in places]
    assert changed[1]["url"] == f"{SITE}/models/churn_predictor/"


def test_withdrawn_and_rejected_requests_are_told(
    webhook: Webhook, receiver: Receiver, registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    request = world.ask(registry, 1, production, by=rita)
    workflow.withdraw(request, by=rita)
    other = world.ask(registry, 2, production, by=rita)
    other.refresh_from_db()
    workflow.review(other, by=remy, verdict="reject", comment="No.", fingerprint=other.fingerprint)
    webhooks_out.send()
    assert receiver.types == ["request.created", "request.withdrawn", "request.created", "request.rejected"]
    assert data_of(receiver, "request.rejected")[0]["status"] == "rejected"
    assert data_of(receiver, "request.withdrawn")[0]["status"] == "withdrawn"


def test_a_change_outside_tells_of_incident_and_holder_and_so_does_its_end(
    webhook: Webhook, receiver: Receiver, registry: FakeRegistry, ada: User, production: Target
) -> None:
    world.observe(registry)
    registry.set_stage("churn_predictor", 3, "Production", archive_existing=True)
    sync.sweep(registry)
    world.observe(registry)
    incident = world.only_incident()
    webhooks_out.send()
    assert receiver.types == ["incident.opened", "holder.changed"]
    assert data_of(receiver, "incident.opened")[0]["id"] == incident.pk
    assert data_of(receiver, "incident.opened")[0]["url"] == f"{SITE}/incidents/{incident.pk}/"
    assert data_of(receiver, "holder.changed")[0]["version"] == "3"
    registry.set_stage("churn_predictor", 3, "Archived", archive_existing=False)
    sync.sweep(registry)
    world.observe(registry)
    webhooks_out.send()
    assert receiver.types[2:] == ["incident.resolved", "holder.changed"]
    assert data_of(receiver, "incident.resolved")[0]["status"] == "resolved"
    gone = data_of(receiver, "holder.changed")[1]
    assert (gone["version"], gone["status"], gone["holders"]) == (None, "empty", [])


def test_each_payload_has_a_text_that_a_chat_can_show_and_that_calls_no_one(
    webhook: Webhook, receiver: Receiver, registry: FakeRegistry, rita: User, production: Target
) -> None:
    rita.name = "<!channel> @here"
    rita.save()
    request = world.ask(registry, 1, production, by=rita)
    webhooks_out.send()
    ((_, told),) = receiver.taken
    assert told["text"].endswith(f"requested churn_predictor version 1 for Production. {SITE}/requests/{request.pk}/")
    assert "<!channel>" not in told["text"]
    assert " @here" not in told["text"]
    assert told["timestamp"].endswith("Z")


def test_the_same_event_makes_the_same_bytes_and_the_same_id(
    webhook: Webhook, registry: FakeRegistry, rita: User, production: Target
) -> None:
    request = world.ask(registry, 1, production, by=rita)
    first, _ = messages.after(webhook)
    assert first is not None
    workflow.withdraw(PromotionRequest.objects.get(pk=request.pk), by=rita)
    assert messages.at(first.position, webhook) == first == messages.after(webhook)[0]
    event = AuditEvent.objects.get(action=Action.REQUEST_CREATED)
    assert first.id == f"evt_{event.sequence}_request_created_{event.hash[:12]}"
    assert "." not in first.id


def test_an_event_that_cannot_be_understood_holds_back_none_of_the_others(webhook: Webhook, receiver: Receiver) -> None:
    with transaction.atomic():
        ledger.record(Action.INCIDENT_OPENED, actor=None, model_name="churn_predictor", data={})
    happened = happen(1)
    webhooks_out.send()
    assert [told["data"]["sequence"] for _, told in receiver.taken] == happened


def test_each_type_is_made_by_an_event_and_no_event_makes_too_many() -> None:
    made = [kind for action in Action for kind in action.type.webhooks]
    assert set(made) == set(WEBHOOKS)
    assert max(len(action.type.webhooks) for action in Action) <= PER_EVENT


def test_the_address_of_a_webhook_is_in_no_event(webhook: Webhook, ada: User) -> None:
    made = make_webhook("Chat", url="https://hooks.example.com/services/T0/B0/secret")
    made.url = "https://hooks.example.com/services/T0/B0/another"
    administration.save_webhook(made, by=ada)
    told = json.dumps([event.data for event in AuditEvent.objects.all()])
    assert "secret" not in told
    assert "another" not in told
    assert "https://hooks.example.com/\\u2026" in told
    changed = AuditEvent.objects.filter(action=Action.WEBHOOK_CHANGED).get()
    assert changed.data["before"]["address_digest"] != changed.data["after"]["address_digest"]


# --- What is published


def test_the_types_are_those_that_are_sent() -> None:
    assert re.findall(r"^\| `([a-z_.]+)` \|", PAGE, re.MULTILINE) == [*WEBHOOKS, "test"]


def test_the_schedule_is_the_one_that_is_kept() -> None:
    (said,) = re.findall(r"^> (.*)$", PAGE, re.MULTILINE)
    pairs = [each.split(" ") for each in said.split(", ")]
    assert tuple(timedelta(**{UNITS[unit]: int(number)}) for number, unit in pairs) == sending.PAUSES


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_takes_what_is_sent_and_nothing_else(example: str, webhook: Webhook, receiver: Receiver) -> None:
    assert len(EXAMPLES) == 2
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 -- our own page
    happen(1)
    webhooks_out.send()
    ((headers, body),) = receiver.calls
    told = names["receive"](body, headers, secret_of(webhook))
    assert told["type"] == "refused_in_mlflow"
    refused = (ValueError, WebhookVerificationError)
    with pytest.raises(refused):
        names["receive"](body.replace(b"churn", b"fraud"), headers, secret_of(webhook))
    with pytest.raises(refused):
        names["receive"](body, headers | {"webhook-timestamp": "1784102402"}, secret_of(webhook))
    with pytest.raises(refused):
        names["receive"](body, headers, "whsec_" + base64.b64encode(b"x" * 32).decode())
