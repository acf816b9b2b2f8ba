"""Outgoing webhooks: added, changed, rotated, paused, replayed and deleted; and what a person has the worker send."""

import uuid
from datetime import timedelta

from django.db import transaction

from accounts.models import User
from approvals import ledger
from approvals.administration.shared import WEBHOOKS, record, require, valid
from approvals.checks import reach
from approvals.models import Action, ChainHead, Webhook, WebhookAttempt
from approvals.models.event_types import WEBHOOKS as TYPES
from approvals.models.webhooks import before
from approvals.workflow import Conflict, Invalid
from approvals.workflow.verbs import verb
from mirror import clock

MOST = 50
MOST_ASKED = 10
"""Tests and messages once more that wait for the worker, of one webhook."""

BOTH_SIGN = timedelta(hours=24)
"""How long the secret before signs as well, so that a receiver can be changed in between."""

TEST = "test"
_EDITED = ("name", "url", "types", "model_pattern", "databricks_events", "given_secret")


@verb()
def save_webhook(webhook: Webhook, *, by: User | None) -> Webhook:
    """Adds a webhook, which begins with the next event, or saves what was changed. `by` None is the command line.

    Raises NotAllowed, or Invalid (an address that may not be called, no type, the name is taken, too many).
    """
    require(by, WEBHOOKS)
    try:
        reach.checked(webhook.url)
    except reach.OutOfReach as error:
        raise Invalid(str(error)) from error
    if not webhook.wanted or set(webhook.types) - set(TYPES):
        raise Invalid("Choose at least one type of event.")
    is_new = webhook.pk is None
    former = {} if is_new else _locked(webhook).as_json()
    if former == webhook.as_json():
        return webhook
    if is_new:
        if Webhook.objects.current().count() >= MOST:
            raise Invalid(f"There are {MOST} webhooks already; delete one that is not needed.")
        webhook.done = before(_head() + 1)
        webhook.next_attempt_at = clock.now()
    with valid("There is already a webhook with this name."):
        webhook.full_clean()
        # Not the columns that the worker moves on meanwhile.
        webhook.save(update_fields=None if is_new else _EDITED)
    action = Action.WEBHOOK_CREATED if is_new else Action.WEBHOOK_CHANGED
    record(action, by, data={"before": former, "after": webhook.as_json()}, rows=[webhook])
    return webhook


@verb()
def rotate_webhook(webhook: Webhook, *, keeps_previous: bool, by: User | None) -> Webhook:
    """Gives it another secret. With `keeps_previous` the one before signs as well for 24 hours. Returns it as it is
    now; raises NotAllowed."""
    require(by, WEBHOOKS)
    webhook = _locked(webhook)
    webhook.secret_number += 1
    webhook.previous_until = clock.now() + BOTH_SIGN if keeps_previous else None
    webhook.save(update_fields=["secret_number", "previous_until"])
    record(
        Action.WEBHOOK_ROTATED,
        by,
        data={"name": webhook.name, "secret_number": webhook.secret_number, "keeps_previous": keeps_previous},
        rows=[webhook],
    )
    return webhook


@verb()
def pause_webhook(webhook: Webhook, *, by: User | None) -> None:
    """Nothing is sent until it is resumed; then what happened meanwhile follows. Raises NotAllowed, or Conflict."""
    require(by, WEBHOOKS)
    webhook = _locked(webhook)
    if webhook.paused_at is not None:
        raise Conflict("This webhook is paused already.")
    _pause(webhook, "")
    record(Action.WEBHOOK_PAUSED, by, data={"name": webhook.name}, rows=[webhook])


@transaction.atomic
def give_up_webhook(webhook: Webhook, *, reason: str) -> None:
    """The worker's part: pauses what did not take a message through all attempts. Administrators are told of it."""
    found = Webhook.objects.select_for_update().filter(pk=webhook.pk, paused_at=None, retired_at=None).first()
    if found is None:
        return
    _pause(found, reason)
    data = {"name": found.name, "webhook": found.pk, "reason": reason}
    ledger.record(Action.WEBHOOK_PAUSED, actor=None, data=data, rows=[found])


@verb()
def resume_webhook(webhook: Webhook, *, by: User | None) -> None:
    """Tries the next message at once, with all attempts before it; of one that is paused, or that waits for its next
    attempt. Raises NotAllowed, or Conflict (nothing to resume)."""
    require(by, WEBHOOKS)
    webhook = _locked(webhook)
    if webhook.paused_at is None and not webhook.attempts:
        raise Conflict("This webhook is running; there is nothing to resume.")
    webhook.paused_at, webhook.paused_because = None, ""
    _begin_anew(webhook, "paused_at", "paused_because")
    record(Action.WEBHOOK_RESUMED, by, data={"name": webhook.name}, rows=[webhook])


@verb()
def replay_webhook(webhook: Webhook, *, sequence: int, by: User | None) -> None:
    """Continues with this event of the ledger: an earlier one sends what follows it once more, with the same ids; a
    later one passes over what is between. Raises NotAllowed, or Invalid (there is no such event)."""
    require(by, WEBHOOKS)
    webhook = _locked(webhook)
    end = _head() + 1
    if not 1 <= sequence <= end:
        raise Invalid(f"Enter the number of an event, from 1 to {end}; {end} is the next that happens.")
    webhook.done = before(sequence)
    _begin_anew(webhook, "done")
    record(Action.WEBHOOK_REPLAYED, by, data={"name": webhook.name, "sequence": sequence}, rows=[webhook])


@verb()
def retire_webhook(webhook: Webhook, *, by: User | None) -> None:
    """Deletes it for people: nothing is sent any more, its log goes after its time, and the ledger keeps that it was.
    Raises NotAllowed, or Conflict (it is gone)."""
    require(by, WEBHOOKS)
    webhook = _locked(webhook)
    webhook.retired_at = clock.now()
    webhook.save(update_fields=["retired_at"])
    record(Action.WEBHOOK_RETIRED, by, data={"before": webhook.as_json()}, rows=[webhook])


@verb()
def ask_for_test(webhook: Webhook, *, by: User | None) -> WebhookAttempt:
    """Has the worker send a test message once; what came of it is in the log. Raises NotAllowed, or Conflict."""
    require(by, WEBHOOKS)
    return _ask(webhook, message_id=f"test_{uuid.uuid4().hex}", type=TEST)


@verb()
def send_again(attempt: WebhookAttempt, *, by: User | None) -> WebhookAttempt:
    """Has the worker send the message of this attempt once more, out of its order and with the same id. Raises
    NotAllowed, or Conflict."""
    require(by, WEBHOOKS)
    told = {"message_id": attempt.message_id, "type": attempt.type, "position": attempt.position}
    return _ask(attempt.webhook, **told)


def _ask(webhook: Webhook, **message: object) -> WebhookAttempt:
    webhook = _locked(webhook)
    if webhook.log.filter(at=None).count() >= MOST_ASKED:
        raise Conflict("Several messages wait to be sent already. Is a worker running?")
    return WebhookAttempt.objects.create(webhook=webhook, number=0, **message)


def _locked(webhook: Webhook) -> Webhook:
    """As it is now. Raises Conflict when it was deleted."""
    found = Webhook.objects.select_for_update().filter(pk=webhook.pk, retired_at=None).first()
    if found is None:
        raise Conflict("This webhook was deleted.")
    return found


def _pause(webhook: Webhook, reason: str) -> None:
    webhook.paused_at, webhook.paused_because = clock.now(), reason[:500]
    webhook.save(update_fields=["paused_at", "paused_because"])


def _begin_anew(webhook: Webhook, *changed: str) -> None:
    webhook.attempts, webhook.failing_since, webhook.next_attempt_at = 0, None, clock.now()
    webhook.save(update_fields=["attempts", "failing_since", "next_attempt_at", *changed])


def _head() -> int:
    return ChainHead.objects.values_list("sequence", flat=True).get(pk=1)
