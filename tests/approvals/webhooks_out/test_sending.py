"""Sending against a real receiver: everything once and in order, whatever it does in between."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from standardwebhooks.webhooks import Webhook as Standard

from accounts.models import User
from approvals import administration, ledger, notifications, webhooks_out, workflow
from approvals.models import Action, AuditEvent, ChainHead, Target, Webhook, WebhookAttempt
from approvals.models.webhooks import before
from approvals.selectors import webhooks
from approvals.webhooks_out import messages, sending
from mirror import clock
from tests.support.ci_service import hangs, says
from tests.support.factories import check, make_request, make_version, make_webhook
from tests.support.receiver import Receiver, secret_of


def happen(count: int, *, model: str = "churn_predictor") -> list[int]:
    """So many refusals in MLflow; returns the numbers of their events."""
    with transaction.atomic():
        return [
            ledger.record(
                Action.REFUSED_IN_MLFLOW,
                actor=None,
                model_name=model,
                version_number=number,
                target_name="Production",
                data={"who": "x", "attempt": f"move version {number}", "operation": "transition"},
            ).sequence
            for number in range(1, count + 1)
        ]


def due_now(webhook: Webhook) -> Webhook:
    Webhook.objects.filter(pk=webhook.pk).update(next_attempt_at=clock.now(), lease_expires_at=None)
    return Webhook.objects.get(pk=webhook.pk)


def log_of(webhook: Webhook) -> list[WebhookAttempt]:
    return list(webhook.log.order_by("pk"))


def drops(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Hangs up in the middle of everything."""
    line = handler.connection
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def drips(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Says that it took it, and then never ends."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        try:
            handler.wfile.write(b"x")
        except OSError:
            return
        time.sleep(0.02)


def test_everything_comes_once_and_in_order_whatever_the_receiver_does(
    webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_SECONDS", 1)
    happened = happen(4)
    receiver.script = [says(500, b"no"), hangs, drops, says(307, b"", Location=receiver.url), drips, says(404, b"")]
    problems = [
        "The receiver answered with status 500.",
        "The receiver did not answer within 1 seconds.",
        "The receiver could not be called: ",
        "The receiver answered with a redirect (307), which is not followed.",
        "The receiver did not answer within 1 seconds.",
        "The receiver answered with status 404.",
    ]
    for number, problem in enumerate(problems, start=1):
        assert webhooks_out.send() == 1
        attempt = log_of(webhook)[-1]
        assert attempt.problem.startswith(problem)
        assert (attempt.number, attempt.sequence, attempt.is_taken) == (number, happened[0], False)
        assert webhooks_out.send() == 0  # the next attempt is not due, and no later message overtakes it
        due_now(webhook)
    assert webhooks_out.send() == 4
    assert [told["data"]["sequence"] for _, told in receiver.taken] == happened
    assert len(set(receiver.ids[:7])) == 1  # the same message, the same id
    assert len(dict(receiver.taken)) == 4
    assert webhooks_out.send() == 0
    found = Webhook.objects.get(pk=webhook.pk)
    assert (found.attempts, found.failing_since, found.claimed_by) == (0, None, "")


def test_nobody_there_is_tried_again(webhook: Webhook, receiver: Receiver) -> None:
    happen(1)
    receiver.close()
    assert webhooks_out.send() == 1
    assert log_of(webhook)[0].problem == "The receiver could not be called: Connection refused."


def test_attempts_follow_the_published_schedule_until_it_is_paused_and_administrators_are_told(
    webhook: Webhook, receiver: Receiver, ada: User
) -> None:
    notifications.collect()
    happen(2)
    receiver.script = [says(500, b"no")] * 10
    for planned in sending.PAUSES:
        began = clock.now()
        assert webhooks_out.send() == 1
        pause = Webhook.objects.get(pk=webhook.pk).next_attempt_at - began
        assert planned <= pause <= planned * (1 + sending.JITTER) + timedelta(seconds=5)
        due_now(webhook)
    assert Webhook.objects.get(pk=webhook.pk).paused_at is None
    assert webhooks_out.send() == 1
    found = Webhook.objects.get(pk=webhook.pk)
    assert found.paused_at is not None
    assert found.paused_because == "10 times without success. The receiver answered with status 500."
    assert webhooks_out.send() == 0
    assert AuditEvent.objects.filter(action=Action.WEBHOOK_PAUSED, actor=None).count() == 1
    notifications.collect()
    told = ada.notifications.get(kind="webhook")
    assert told.title == "The webhook CI is paused"
    assert told.path == webhook.get_absolute_url()

    administration.resume_webhook(found, by=ada)  # what happened meanwhile follows, from the message that was not taken
    assert webhooks_out.send() == 2
    assert len(receiver.taken) == 2


def test_gone_is_taken_at_its_word(webhook: Webhook, receiver: Receiver) -> None:
    happen(1)
    receiver.script = [says(410, b"")]
    webhooks_out.send()
    found = Webhook.objects.get(pk=webhook.pk)
    assert found.paused_because == "Once without success. The receiver answered that it is gone (410)."


def test_a_worker_that_is_killed_between_sending_and_noting_leaves_the_same_message_to_the_next(
    committed: None, receiver: Receiver, settings: Any
) -> None:
    """Killed by SIGKILL while the receiver takes the message: so it comes twice, with the same id."""
    settings.WEBHOOK_PRIVATE_HOSTS = ["127.0.0.1"]
    webhook = make_webhook("CI", url=receiver.url)
    secret = secret_of(webhook)
    receiver.secret = lambda: secret
    happened = happen(2)
    name = str(connection.settings_dict["NAME"])
    server = os.environ.get("DATABASE_URL", "")
    url = f"sqlite:///{name}" if connection.vendor == "sqlite" else urlsplit(server)._replace(path=f"/{name}").geturl()
    own = {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "COUNTERSIGN_WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
    }
    send = "import django; django.setup(); from approvals import webhooks_out; webhooks_out.send()"
    worker = subprocess.Popen([sys.executable, "-c", send], env=os.environ | own)

    def kills(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        worker.kill()
        worker.wait(10)
        receiver.taken.append((receiver.calls[-1][0]["webhook-id"], json.loads(body)))

    receiver.script = [kills]
    assert worker.wait(60) == -signal.SIGKILL
    assert webhooks_out.send() == 0  # until the lease of the killed one is over
    assert log_of(webhook) == []
    Webhook.objects.filter(pk=webhook.pk).update(lease_expires_at=clock.now() - timedelta(seconds=1))
    assert webhooks_out.send() == 2
    assert [told["data"]["sequence"] for _, told in receiver.taken] == [happened[0], *happened]
    assert receiver.ids[0] == receiver.ids[1] != receiver.ids[2]


def test_one_receiver_that_hangs_does_not_delay_the_others(
    webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_SECONDS", 2)
    slow = make_webhook("Slow", url=receiver.url)
    second = secret_of(slow)
    first, at = secret_of(webhook), []

    def behave(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = receiver.calls[-1][0]
        try:
            Standard(second).verify(body.decode(), headers)
        except Exception:
            Standard(first).verify(body.decode(), headers)
            at.append(time.monotonic())
            says(200, b"")(handler, body)
        else:
            hangs(handler, body)

    receiver.behave = behave
    happen(5)
    began = time.monotonic()
    assert webhooks_out.send() == 6
    assert len(at) == 5
    assert at[-1] - began < 2
    assert log_of(slow)[0].problem == "The receiver did not answer within 2 seconds."


def test_nothing_to_do_costs_two_queries_however_much_there_is(webhook: Webhook, receiver: Receiver) -> None:
    for number in range(5):
        make_webhook(f"Other {number}", url=receiver.url)
    with CaptureQueriesContext(connection) as first:
        webhooks_out.send()  # has read up to the end
    head = ChainHead.objects.get().sequence
    Webhook.objects.update(done=before(head + 1))
    with CaptureQueriesContext(connection) as idle:
        assert webhooks_out.send() == 0
    clocks = sum("clock_timestamp" in each["sql"] and "FROM" not in each["sql"] for each in idle)
    assert len(idle) - clocks == 2 < len(first)


def test_what_is_not_wanted_is_passed_over(webhook: Webhook, receiver: Receiver, vera: User) -> None:
    webhook.types, webhook.model_pattern = ["refused_in_mlflow"], "churn_*"
    administration.save_webhook(webhook, by=None)
    happen(1, model="fraud_card")
    with transaction.atomic():
        ledger.record(Action.HISTORY_EXPORTED, actor=vera)
    wanted = happen(1, model="churn_predictor")
    assert webhooks_out.send() == 1
    assert [told["data"]["sequence"] for _, told in receiver.taken] == wanted
    assert Webhook.objects.get(pk=webhook.pk).next_sequence == ChainHead.objects.get().sequence + 1


def test_a_verdict_that_can_still_be_undone_waits_and_what_follows_it(
    webhook: Webhook, receiver: Receiver, settings: Any, remy: User, rita: User, staging: Target
) -> None:
    request = check(make_request(make_version("churn_predictor"), staging, by=rita))
    settings.UNDO_SECONDS = 3600
    workflow.review(request, by=remy, verdict="reject", comment="No.", fingerprint=request.fingerprint)
    happen(1)
    webhooks_out.send()
    assert receiver.types == ["request.created"]
    settings.UNDO_SECONDS = 0
    webhooks_out.send()
    assert receiver.types == ["request.created", "request.rejected", "refused_in_mlflow"]


def test_both_secrets_sign_while_a_rotation_lasts(webhook: Webhook, receiver: Receiver, ada: User) -> None:
    old = secret_of(webhook)
    webhook = administration.rotate_webhook(webhook, keeps_previous=True, by=ada)
    new = secret_of(webhook)
    assert old != new
    happen(1)
    webhooks_out.send()  # the receiver still has the old one
    headers, body = receiver.calls[-1]
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Standard(secret).verify(body.decode(), headers)
    assert len(receiver.taken) == 1

    later = clock.now() + timedelta(hours=25)
    assert webhooks.secrets_of(webhook, later) == [new]
    at_once = administration.rotate_webhook(webhook, keeps_previous=False, by=ada)
    assert len(webhooks.secrets_of(at_once, clock.now())) == 1


def test_replay_sends_again_in_order_with_the_same_ids(webhook: Webhook, receiver: Receiver, ada: User) -> None:
    happened = happen(3)
    webhooks_out.send()
    administration.replay_webhook(webhook, sequence=happened[1], by=ada)
    webhooks_out.send()
    assert [told["data"]["sequence"] for _, told in receiver.taken] == [*happened, *happened[1:]]
    assert receiver.ids[3:] == receiver.ids[1:3]
    more = happen(2)
    administration.replay_webhook(webhook, sequence=more[1], by=ada)  # passes over the first
    webhooks_out.send()
    assert receiver.taken[-1][1]["data"]["sequence"] == more[1]
    assert len(receiver.taken) == 6


def test_a_replay_during_a_call_is_not_overwritten_by_it(webhook: Webhook, receiver: Receiver, ada: User) -> None:
    happened = happen(2)
    call = sending._claimed(webhook, "one")
    assert isinstance(call, sending.Call)
    administration.replay_webhook(webhook, sequence=happened[1], by=ada)
    assert sending._note(call, sending.Said(status=200), "one")
    webhooks_out.send()
    assert [told["data"]["sequence"] for _, told in receiver.taken] == [happened[1]]


def test_a_replay_while_nothing_was_next_is_not_overwritten_either(
    webhook: Webhook, receiver: Receiver, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = happen(1)
    webhooks_out.send()
    happen(1, model="fraud_card")
    after = messages.after

    def meanwhile(found: Webhook) -> tuple[messages.Message | None, int]:
        administration.replay_webhook(found, sequence=happened[0], by=ada)
        return None, after(found)[1]

    with monkeypatch.context() as patch:
        patch.setattr(messages, "after", meanwhile)
        webhooks_out.send()
    assert webhooks_out.send() == 2
    assert receiver.ids[0] == receiver.ids[1]


def test_a_message_is_sent_again_by_itself_and_a_test_too(webhook: Webhook, receiver: Receiver, ada: User) -> None:
    happened = happen(2)
    webhooks_out.send()
    first = log_of(webhook)[0]
    administration.pause_webhook(webhook, by=ada)
    asked = administration.send_again(first, by=ada)
    test = administration.ask_for_test(webhook, by=ada)
    assert webhooks_out.send() == 2
    sent = dict(receiver.taken[2:])  # at once, so in any order
    assert sent.keys() == {receiver.ids[0], test.message_id}
    assert sent[receiver.ids[0]]["data"]["sequence"] == happened[0]
    assert sent[test.message_id]["type"] == "test"
    asked.refresh_from_db()
    assert (asked.is_taken, asked.status, asked.answer, asked.number) == (True, 200, "ok", 0)
    again = administration.send_again(WebhookAttempt.objects.get(pk=test.pk), by=ada)
    webhooks_out.send()
    assert receiver.ids[-1] == again.message_id == test.message_id


def test_what_there_is_no_more_to_send_again_does_not_wait_for_ever(
    webhook: Webhook, receiver: Receiver, ada: User, production: Target, rita: User
) -> None:
    kept = {"types": ["request.created"], "databricks_events": ["TRANSITION_REQUEST_TO_PRODUCTION_CREATED"]}
    Webhook.objects.filter(pk=webhook.pk).update(**kept)
    make_request(make_version(), production, by=rita)
    webhooks_out.send()
    first = log_of(webhook)[0]
    Webhook.objects.filter(pk=webhook.pk).update(databricks_events=["TRANSITION_REQUEST_TO_STAGING_CREATED"])
    asked = administration.send_again(first, by=ada)
    assert webhooks_out.send() == 0
    asked.refresh_from_db()
    assert (asked.at is None, asked.is_taken, asked.problem) == (False, False, sending.NOTHING)
    assert len(receiver.calls) == 1


def test_two_workers_send_each_message_once(webhook: Webhook, receiver: Receiver) -> None:
    happen(1)
    first, second = sending._claimed(webhook, "one"), sending._claimed(webhook, "two")
    assert first is not None
    assert second is None


def test_old_attempts_are_pruned(webhook: Webhook, receiver: Receiver) -> None:
    happen(2)
    webhooks_out.send()
    old = log_of(webhook)[0]
    WebhookAttempt.objects.filter(pk=old.pk).update(created_at=clock.now() - timedelta(days=31))
    assert webhooks_out.prune() == 1
    assert [each.sequence for each in log_of(webhook)] == [old.sequence + 1 if old.sequence else None]


def test_a_name_that_comes_to_mean_a_private_address_is_not_called(
    webhook: Webhook, receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when it was added, and private when it is called."""
    settings.WEBHOOK_PRIVATE_HOSTS = []
    Webhook.objects.filter(pk=webhook.pk).update(url="https://hooks.example.com/")
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    happen(1)
    webhooks_out.send()
    assert log_of(webhook)[0].problem == (
        "hooks.example.com is a private address, which COUNTERSIGN_WEBHOOK_PRIVATE_HOSTS does not allow."
    )
    assert receiver.calls == []
