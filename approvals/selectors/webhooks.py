"""What pages and the worker read of outgoing webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.paginator import Page

from approvals.checks import signing
from approvals.models import ChainHead, Webhook, WebhookAttempt
from approvals.models.webhooks import PER_EVENT
from components.pagination import page_of

PAGE_SIZE = 50
_PURPOSE = "countersign.webhook"


def secrets_of(webhook: Webhook, now: datetime) -> list[str]:
    """The secrets that sign now, the newest first: two of them while a rotation lasts. Derived from the installation's
    secret key, so that no table, backup or export has them."""
    numbers = [webhook.secret_number]
    if webhook.previous_until is not None and webhook.previous_until > now:
        numbers.append(webhook.secret_number - 1)
    return [signing.secret_for(f"{webhook.key}/{number}", purpose=_PURPOSE) for number in numbers]


@dataclass(frozen=True, slots=True)
class Row:
    """A webhook and how it is, for a badge and a line below it."""

    webhook: Webhook
    state: str
    icon: str
    colour: str
    note: str = ""

    @property
    def is_failing(self) -> bool:
        return self.state == "Retrying"


def overview() -> Sequence[Row]:
    """All that were not deleted, by name. Two queries."""
    head = _head()
    return [_row(webhook, head) for webhook in Webhook.objects.current().order_by("name")]


def one(webhook: Webhook) -> Row:
    return _row(webhook, _head())


def log_of(webhook: Webhook, number: str | None) -> "Page[WebhookAttempt]":
    """The newest attempts first."""
    return page_of(webhook.log.order_by("-pk"), PAGE_SIZE, number)


def _row(webhook: Webhook, head: int) -> Row:
    if webhook.paused_at is not None:
        return Row(webhook, "Paused", "ban", "grey", webhook.paused_because)
    if webhook.attempts:
        times = "once" if webhook.attempts == 1 else f"{webhook.attempts} times"
        return Row(webhook, "Retrying", "alert-triangle", "red", f"The next message failed {times}.")
    behind = head - webhook.done // PER_EVENT
    note = f"{behind} newer event{'' if behind == 1 else 's'} to read." if behind else ""
    return Row(webhook, "Running", "circle-check", "green", note)


def _head() -> int:
    return ChainHead.objects.values_list("sequence", flat=True).get(pk=1)
