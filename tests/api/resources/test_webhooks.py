"""Webhooks added, listed, tested and deleted by a program, and the secret that is shown once."""

from accounts.models import User
from api.models import SentOnce
from approvals.models import Action, AuditEvent, Webhook
from tests.support.api import Machine
from tests.support.factories import make_webhook
from tests.support.receiver import secret_of

SENT = {"name": "CI", "url": "https://hooks.example.com/T0", "types": ["request.approved"], "models": "churn_*"}


def test_one_is_added_and_its_secret_shown_once(ada: User) -> None:
    machine = Machine(ada)
    key = {"Idempotency-Key": "terraform-1"}
    made = machine.send("POST", "/webhooks", SENT, headers=key)
    webhook = Webhook.objects.get()
    assert (made.status, made["secret"]) == (201, secret_of(webhook))
    assert (made["address"], made["types"], made["state"]) == (webhook.address, ["request.approved"], "running")
    again = machine.send("POST", "/webhooks", SENT, headers=key)
    assert (again.status, again["id"], "secret" in again.body) == (200, webhook.pk, False)
    assert "whsec_" not in SentOnce.objects.get().body
    assert "secret" not in machine.get(f"/webhooks/{webhook.pk}").body
    assert [each["id"] for each in machine.get("/webhooks")["items"]] == [webhook.pk]
    assert AuditEvent.objects.filter(action=Action.WEBHOOK_CREATED, actor=ada).count() == 1


def test_what_cannot_be_is_refused_as_on_the_page(ada: User) -> None:
    make_webhook("CI")
    machine = Machine(ada)
    for changed, said in (
        ({}, "There is already a webhook with this name."),
        ({"name": "Other", "url": "https://127.0.0.1/"}, "127.0.0.1 is a private address"),
        ({"name": "Other", "types": []}, "Choose at least one type of event."),
        ({"name": "Other", "types": ["nonsense"]}, "Choose at least one type of event."),
    ):
        refused = machine.post("/webhooks", SENT | changed)
        assert refused.status == 422
        assert said in refused["detail"]
    assert Webhook.objects.count() == 1


def test_a_test_is_left_to_the_worker_and_a_deleted_one_is_gone(ada: User) -> None:
    made, machine = make_webhook(), Machine(ada)
    asked = machine.post(f"/webhooks/{made.pk}/test", {})
    assert made.log.get(at=None).message_id == asked["message_id"]
    assert machine.send("DELETE", f"/webhooks/{made.pk}").status == 200
    gone = machine.get(f"/webhooks/{made.pk}")
    assert (gone.status, gone["code"]) == (404, "no_such_webhook")
    assert machine.get("/webhooks")["items"] == []
    assert machine.get(f"/webhooks/{'9' * 30}").status == 404


def test_others_are_told_as_on_the_page(rita: User) -> None:
    refused = Machine(rita).post("/webhooks", SENT)
    assert (refused.status, refused["detail"]) == (403, "Only administrators can manage webhooks.")
