"""The mails themselves, as Django's messages. Pure but for the templates."""

import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from approvals.models import Notification, Status
from approvals.models.notifications import ASKING
from approvals.notifications import wording

MOST_LISTED = 50


def single(row: Notification) -> EmailMultiAlternatives:
    """One notification. All of one request are one thread in the reader's mailbox."""
    mail = _mail(row.title, "one", [row])
    if row.request_id is not None:
        root = f"<request-{row.request_id}.countersign@{_host()}>"
        mail.extra_headers |= {"In-Reply-To": root, "References": root}
    return mail


def summary(rows: Sequence[Notification], *, is_digest: bool) -> EmailMultiAlternatives:
    """Several in one; of one request the newest first is as good as any, so they stand in their order."""
    if len(rows) == 1:
        return single(rows[0])
    return _mail(_title(rows, is_digest=is_digest), "many", rows)


def _title(rows: Sequence[Notification], *, is_digest: bool) -> str:
    """`11 reviews are waiting`, `3 requests are waiting for you`, `4 updates`. What asks for something and news are
    never in one mail."""
    if rows[0].kind not in ASKING:
        return f"{'Daily summary: ' if is_digest else ''}{len(rows)} updates"
    requests = {row.request_id: row.request for row in rows}
    are_reviews = all(request is not None and request.status == Status.PENDING for request in requests.values())
    noun, verb = "review" if are_reviews else "request", "is" if len(requests) == 1 else "are"
    for_whom = "" if are_reviews else " for you"
    return f"{len(requests)} {noun}{'' if len(requests) == 1 else 's'} {verb} waiting{for_whom}"


def _mail(title: str, template: str, rows: Sequence[Notification]) -> EmailMultiAlternatives:
    person = rows[0].recipient
    if person is None:
        raise ValueError("Only people get mail.")
    choices = f"{settings.SITE_URL}{reverse('approvals:notification_choices')}"
    context = {
        "person": person,
        "title": title,
        "rows": rows[:MOST_LISTED],
        "more": max(0, len(rows) - MOST_LISTED),
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "choices_url": choices,
    }
    mail = EmailMultiAlternatives(
        subject=f"{settings.EMAIL_SUBJECT_PREFIX}{wording.one_line(title)}",
        body=render_to_string(f"approvals/notifications/{template}.txt", context),
        to=[person.email],
        headers={
            "Message-ID": f"<{uuid.uuid4()}.countersign@{_host()}>",
            "List-Unsubscribe": f"<{choices}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    mail.attach_alternative(render_to_string(f"approvals/notifications/{template}.html", context), "text/html")
    return mail


def _host() -> str:
    return urlsplit(settings.SITE_URL).hostname or "localhost"
