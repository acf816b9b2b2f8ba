"""The pages of outgoing webhooks: the secret once, the log, and every button."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from approvals import administration
from approvals.models import Action, AuditEvent, Webhook, WebhookAttempt
from approvals.models.webhooks import before
from mirror import clock
from tests.support.factories import make_webhook
from tests.support.receiver import secret_of

FORM = {"name": "Chat", "url": "https://hooks.example.com/abc", "types": ["request.created"], "model_pattern": "*"}


@pytest.fixture
def admin(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def page(client: Client, name: str, *args: Any) -> str:
    answer = client.get(reverse(f"approvals:{name}", args=args))
    assert answer.status_code == 200
    return str(answer.content.decode())


def attempted(webhook: Webhook, **fields: Any) -> WebhookAttempt:
    stands = {"message_id": "evt_1_x", "type": "request.created", "position": before(1) + 1, "at": clock.now()}
    return WebhookAttempt.objects.create(webhook=webhook, **(stands | fields))


def test_a_new_webhook_shows_its_secret_once(admin: Client) -> None:
    assert "No webhooks." in page(admin, "webhooks")
    answer = admin.post(reverse("approvals:webhook_new"), FORM)
    made = Webhook.objects.get()
    secret = secret_of(made)
    assert secret in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    for name, args in (("webhooks", ()), ("webhook", (made.pk,)), ("webhook_edit", (made.pk,))):
        assert secret not in page(admin, name, *args)
    assert "whsec_" not in "".join(AuditEvent.objects.values_list("payload", flat=True))
    assert Webhook.objects.filter(pk=made.pk).values_list("done", flat=True)[0] > 0  # begins with the next event


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "http://hooks.example.com/"}, "Use https://."),
        ({"url": "https://169.254.169.254/latest"}, "is a private address"),
        ({"types": []}, "This field is required."),
        ({"types": ["nonsense"]}, "Select a valid choice"),
        ({"name": "CI"}, "There is already a webhook with this name."),
        ({"model_pattern": ""}, "This field is required."),
    ],
)
def test_what_cannot_be_is_refused_on_the_form(admin: Client, changed: dict[str, Any], said: str) -> None:
    make_webhook("CI")
    answer = admin.post(reverse("approvals:webhook_new"), FORM | changed)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert Webhook.objects.count() == 1


def test_the_path_of_an_address_is_only_on_the_form(admin: Client) -> None:
    made = make_webhook()
    assert "/services/T0/B0/secret" in page(admin, "webhook_edit", made.pk)
    for name, args in (("webhooks", ()), ("webhook", (made.pk,)), ("webhook_retire", (made.pk,))):
        assert "https://hooks.example.com/…" in page(admin, name, *args)
        assert "/services/" not in page(admin, name, *args)


def test_rotating_shows_another_secret(admin: Client) -> None:
    made = make_webhook()
    old = secret_of(made)
    answer = admin.post(reverse("approvals:webhook_rotate", args=[made.pk]), {"previous": "keep"}).content.decode()
    assert secret_of(made) in answer
    assert old not in answer
    assert "valid until" in page(admin, "webhook", made.pk)
    admin.post(reverse("approvals:webhook_rotate", args=[made.pk]), {"previous": "drop"})
    assert "valid until" not in page(admin, "webhook", made.pk)


def test_the_page_says_how_it_is_and_offers_what_can_be_done(admin: Client) -> None:
    made = make_webhook()
    assert "Nothing sent yet." in page(admin, "webhook", made.pk)
    attempted(made, is_taken=True, status=200, milliseconds=31, answer="fine <b>")
    attempted(made, problem="The receiver answered with status 500.", status=500, milliseconds=3, number=2)
    Webhook.objects.filter(pk=made.pk).update(attempts=2, failing_since=clock.now())
    said = page(admin, "webhook", made.pk)
    assert "200 in 31 ms: fine &lt;b&gt;" in said
    assert "The next message failed 2 times." in said
    assert "Try now" in said
    administration.pause_webhook(made, by=None)
    said = page(admin, "webhook", made.pk)
    assert "Resume" in said
    assert "Try now" not in said


def test_a_test_and_a_message_once_more_are_left_to_the_worker(admin: Client) -> None:
    made = make_webhook()
    sent = attempted(made, is_taken=True)
    admin.post(reverse("approvals:webhook_test", args=[made.pk]))
    answer = admin.post(reverse("approvals:webhook_again", args=[made.pk, sent.pk]), follow=True)
    assert answer.content.decode().count("Waiting for the worker") == 2
    assert 'hx-trigger="every 3s"' in answer.content.decode(), "the log shows by itself what came of it"
    asked = list(made.log.filter(at=None).order_by("pk").values_list("type", "message_id", "position"))
    assert asked[1] == (sent.type, sent.message_id, sent.position)
    assert asked[0][0] == "test"
    for _ in range(9):
        answer = admin.post(reverse("approvals:webhook_test", args=[made.pk]), follow=True)
    assert "Several messages wait to be sent already." in answer.content.decode()


def test_a_log_without_a_message_that_waits_does_not_ask_again(admin: Client) -> None:
    made = make_webhook()
    attempted(made, is_taken=True)
    assert 'hx-trigger="every 3s"' not in page(admin, "webhook", made.pk)


def test_only_administrators_have_a_message_sent(client: Client, vera: User) -> None:
    made = make_webhook()
    sent = attempted(made)
    client.force_login(vera)
    for name, args in (("webhook_test", [made.pk]), ("webhook_again", [made.pk, sent.pk])):
        answer = client.post(reverse(f"approvals:{name}", args=args))
        assert answer.status_code == 403
        assert administration.REASONS[administration.WEBHOOKS] in answer.content.decode()
    assert not made.log.filter(at=None).exists()


def test_a_replay_needs_an_event_that_is_there(admin: Client) -> None:
    made = make_webhook()
    answer = admin.post(reverse("approvals:webhook_replay", args=[made.pk]), {"sequence": "99999"})
    assert answer.status_code == 422
    assert "Enter the number of an event" in answer.content.decode()
    admin.post(reverse("approvals:webhook_replay", args=[made.pk]), {"sequence": "1"})
    assert Webhook.objects.get().next_sequence == 1


def test_a_deleted_webhook_is_gone_and_the_history_has_it(admin: Client, ada: User) -> None:
    made = make_webhook("CI")
    admin.post(reverse("approvals:webhook_retire", args=[made.pk]))
    assert "No webhooks." in page(admin, "webhooks")
    assert admin.get(reverse("approvals:webhook", args=[made.pk])).status_code == 404
    assert admin.post(reverse("approvals:webhook_resume", args=[made.pk])).status_code == 404
    event = AuditEvent.objects.get(action=Action.WEBHOOK_RETIRED)
    assert event.actor == ada
    assert re.search("deleted the webhook CI", admin.get(event.get_absolute_url()).content.decode())
    make_webhook("CI")  # the name is free


def test_the_pages_ask_the_same_however_much_there_is(
    admin: Client, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    made = make_webhook()
    attempted(made)
    page(admin, "webhook", made.pk)
    with django_assert_max_num_queries(12) as few:
        page(admin, "webhook", made.pk)
    for number in range(70):
        attempted(made, message_id=f"evt_{number}")
    for _ in range(5):
        make_webhook()
    with django_assert_num_queries(len(few)):
        page(admin, "webhook", made.pk)
    with django_assert_max_num_queries(10):
        page(admin, "webhooks")
