"""Sends what is next for each webhook. A webhook is claimed with a lease, so that one worker at a time sends to it, one
message after the other: a message waits until the receiver has taken the one before. Sent at least once: a worker that
is killed between sending and noting it leaves the same message, with the same id, to the next one.
"""

import http.client
import os
import random
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Coalesce

from approvals import administration
from approvals.checks import posting, reach, signing
from approvals.models import Webhook, WebhookAttempt
from approvals.selectors import webhooks
from approvals.webhooks_out import databricks, messages
from mirror import clock
from mirror.isolation import alone

logger = structlog.get_logger(__name__)

SECONDS, MINUTES, HOURS = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours"))
PAUSES = (5 * SECONDS, 5 * MINUTES, *(hours * HOURS for hours in (0.5, 2, 5, 10, 14, 20, 24)))
"""Between the attempts on one message; after the last the webhook is paused. Published in docs/webhooks.md."""

JITTER = 0.1
"""Each pause is up to so much longer, so that receivers are not met by all senders at once."""

TIMEOUT_SECONDS = 15
MOST_BYTES = 4096
"""Of an answer; nothing is done with it but to show how it begins."""

AT_ONCE = 8
"""Calls under way at a time: one that hangs holds up no other."""

GONE = 410
"""The receiver's own word that it wants no more: nothing is tried again."""

LEASE = timedelta(minutes=2)
"""Longer than a call may take, looking up the name included."""

NOTHING = "The webhook has no message for this event any more, so nothing was sent."
"""Of a message once more, when other events were chosen since the first time."""

FREE = {"claimed_by": "", "lease_expires_at": None}

GO_SECONDS = 30
"""After so long nothing new is begun: the next go sees what became due meanwhile."""


@dataclass(frozen=True, slots=True)
class Call:
    """One message on its way, and what noting it needs to know."""

    webhook: Webhook
    message: messages.Message
    headers: Mapping[str, str]
    asked: WebhookAttempt | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a call; `problem` is "" when the message was taken."""

    problem: str = ""
    status: int | None = None
    answer: str = ""
    milliseconds: int = 0


def send(*, is_over: Callable[[], bool] = lambda: False) -> int:
    """Sends what is due, for half a minute at most; returns how many messages were sent. With nothing to do it costs
    two queries. Several workers may do it at once."""
    now, claim = clock.now(), f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    asked = WebhookAttempt.objects.asked(now).select_related("webhook").order_by("pk")
    todo: deque[Webhook | WebhookAttempt] = deque(asked[:100])
    todo += Webhook.objects.due(now).order_by("next_attempt_at", "pk")
    if not todo:
        return 0
    sent, ends = 0, time.monotonic() + GO_SECONDS
    under_way: dict[Future[Said], Call] = {}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:  # they use the network alone, not the database
        while todo or under_way:
            while todo and len(under_way) < AT_ONCE and not is_over() and time.monotonic() < ends:
                each = todo.popleft()
                with alone("webhook.not_sent", webhook=each.pk):
                    if call := _claimed(each, claim):
                        under_way[pool.submit(_post, call)] = call
            if not under_way:
                break
            for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                call = under_way.pop(done)
                sent += 1
                with alone("webhook.not_noted", webhook=call.webhook.pk, message=call.message.id):
                    if _note(call, done.result(), claim):
                        todo.append(call.webhook)
    return sent


def _claimed(each: Webhook | WebhookAttempt, claim: str) -> Call | None:
    """One conditional UPDATE, whose row count tells who won; then what is next for it. None when there is nothing."""
    now = clock.now()
    if isinstance(each, WebhookAttempt):
        if not WebhookAttempt.objects.asked(now).filter(pk=each.pk).update(lease_expires_at=now + LEASE):
            return None
        webhook, position = each.webhook, each.position
        message = messages.test(each.message_id, webhook, now) if position is None else messages.at(position, webhook)
        if message is None:
            WebhookAttempt.objects.filter(pk=each.pk, at=None).update(at=now, problem=NOTHING)
            return None
        return Call(webhook, message, _signed(webhook, message, now), asked=each)
    if not Webhook.objects.due(now).filter(pk=each.pk).update(claimed_by=claim, lease_expires_at=now + LEASE):
        return None
    webhook = Webhook.objects.get(pk=each.pk)
    message, done = messages.after(webhook)
    if message is None:
        held = Webhook.objects.filter(pk=webhook.pk, claimed_by=claim)
        # Only from where it was read: a person may have had it continue elsewhere.
        _ = held.filter(done=webhook.done).update(done=done, **FREE) or held.update(**FREE)
        return None
    return Call(webhook, message, _signed(webhook, message, now))


def _signed(webhook: Webhook, message: messages.Message, now: datetime) -> dict[str, str]:
    """The headers, with one signature for each secret that is valid now."""
    secrets = webhooks.secrets_of(webhook, now)
    signed = [signing.sign(message.body, secret, message_id=message.id, now=now) for secret in secrets]
    signatures = " ".join(each["webhook-signature"] for each in signed)
    theirs = databricks.signature(webhook, message.body, secrets[0])
    return signed[0] | theirs | {"webhook-signature": signatures, "User-Agent": "Countersign"}


def _post(call: Call) -> Said:
    """Never raises for what the other side does."""
    began = time.monotonic()
    try:
        url = reach.checked(call.webhook.url)
        reply = posting.post(
            url,
            call.message.body,
            call.headers,
            seconds=TIMEOUT_SECONDS,
            most_bytes=MOST_BYTES,
            addresses=reach.addresses(url),
        )
    except reach.OutOfReach as error:
        return Said(str(error))
    except TimeoutError:
        return Said(f"The receiver did not answer within {TIMEOUT_SECONDS} seconds.", milliseconds=_since(began))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Said(f"The receiver could not be called: {posting.words(error)}.", milliseconds=_since(began))
    answer = posting.storable(reply.body.decode("utf-8", "replace"))[:200]
    return Said(_problem(reply.status), reply.status, answer, _since(began))


def _problem(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"The receiver answered with a redirect ({status}), which is not followed."
    if status == GONE:
        return "The receiver answered that it is gone (410)."
    return f"The receiver answered with status {status}."


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


@transaction.atomic
def _note(call: Call, said: Said, claim: str) -> bool:
    """Puts what came of it into the log and moves the webhook on; whether it may have another message now."""
    now, webhook = clock.now(), call.webhook
    logger.info("webhook.sent", webhook=webhook.pk, message=call.message.id, status=said.status, problem=said.problem)
    found = {
        "at": now,
        "is_taken": not said.problem,
        "status": said.status,
        "milliseconds": said.milliseconds,
        "problem": said.problem[:500],
        "answer": said.answer,
    }
    if call.asked is not None:
        WebhookAttempt.objects.filter(pk=call.asked.pk, at=None).update(**found)
        return False
    number = webhook.attempts + 1
    told = {"message_id": call.message.id, "type": call.message.type, "position": call.message.position}
    WebhookAttempt.objects.create(webhook=webhook, number=number, **told, **found)
    held = Webhook.objects.filter(pk=webhook.pk, claimed_by=claim)
    # Only from where it was read: a person may have had it continue elsewhere in the meantime.
    mine = held.filter(done=webhook.done)
    if not said.problem:
        taken = {"done": call.message.position, "attempts": 0, "failing_since": None, "next_attempt_at": now}
        return bool(mine.update(**taken, **FREE) or held.update(**FREE))
    since = Coalesce("failing_since", now)
    is_over = number > len(PAUSES) or said.status == GONE
    pause = PAUSES[min(number, len(PAUSES)) - 1] * (1 + random.uniform(0, JITTER))  # noqa: S311 -- no secret
    if mine.update(attempts=number, failing_since=since, next_attempt_at=now + pause, **FREE):
        if is_over:
            tried = "Once" if number == 1 else f"{number} times"
            administration.give_up_webhook(webhook, reason=f"{tried} without success. {said.problem}")
    else:
        held.update(**FREE)
    return False
