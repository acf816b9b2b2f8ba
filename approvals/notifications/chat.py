"""Chat, for the installation as a whole, through Apprise (github.com/caronc/apprise), which speaks Slack, Teams,
Mattermost, Matrix, plain webhooks and a hundred more. Its addresses carry secrets: they are never logged or shown."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.conf import settings

from approvals.models import Kind, Notification
from mirror.isolation import alone

MOST_LINES = 20


def kinds() -> frozenset[Kind]:
    """What the chats are told of."""
    return frozenset(Kind(name) for name in settings.CHAT_KINDS)


def addresses() -> Mapping[str, str]:
    """Apprise's address of each chat by the name under which its messages are stored: a digest of the address."""
    return {hashlib.sha256(url.encode()).hexdigest()[:16]: url for url in settings.CHAT_URLS}


def send_due(now: datetime, claim: str) -> int:
    """Sends what is due to chats; one message for each chat and go. What fails is tried again later, chat by chat."""
    due = Notification.objects.due(now).exclude(chat="").order_by("due_at", "pk")[:200]
    rows = list(due.claim(by=claim).with_subject().order_by("pk"))
    known, sent = addresses(), 0
    for name in dict.fromkeys(row.chat for row in rows):
        own = [row for row in rows if row.chat == name]
        mine = Notification.objects.claimed(claim, own)
        if name not in known:
            mine.drop("This chat is not configured any more.")
            continue
        is_said = False
        with alone("chat.not_told", chat=name):
            is_said = say(known[name], text_of(own))
        if is_said:
            mine.mark_sent()
            sent += len(own)
        else:
            mine.put_off("The chat rejected it.")
    return sent


def say(address: str, text: str) -> bool:
    """Whether the chat took it. Waits a few seconds at most: Apprise's own limits for connecting and reading."""
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415 -- slow to import, and only the worker needs it

    service = Apprise()
    return bool(service.add(address) and service.notify(body=text, body_format=NotifyFormat.TEXT))


def text_of(rows: Sequence[Notification]) -> str:
    """One line each, with its address."""
    lines = [f"{row.title}: {row.url}" for row in rows[:MOST_LINES]]
    if len(rows) > MOST_LINES:
        lines.append(f"… and {len(rows) - MOST_LINES} more: {settings.SITE_URL}/")
    return quiet("\n".join(lines))


def quiet(text: str) -> str:
    """Names of models and people must not call everybody in a channel (`@here`, `<!channel>`): a mark without width
    parts what would do so."""
    return text.replace("@", "@\u200b").replace("<", "<\u200b")
