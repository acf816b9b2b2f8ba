"""Mail: which notifications become one, how the server's answers are taken, and when it is left alone for a while."""

import smtplib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

import structlog
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import Max

from accounts.models import User, role_held_by
from approvals.models import Kind, Notification, NotificationState, PromotionRequest
from approvals.models.notifications import ASKING, NotificationQuerySet
from approvals.notifications import audience, collecting, messages
from mirror import clock
from mirror.isolation import alone

logger = structlog.get_logger(__name__)

PER_GO = 200
"""Notifications."""

LONGEST_GO = 60
"""Seconds; what is left is sent in the next go."""

FEW, WINDOW = 5, timedelta(minutes=10)
"""So many mails at once a person gets in this time; what is more becomes one."""

LONGEST_PAUSE = timedelta(minutes=15)


class ServerTrouble(Exception):
    """The mail server cannot be used now, no matter who the mail is for."""


def send_due(now: datetime, claim: str) -> int:
    """Sends what is due to people; returns how many notifications were told. A server that cannot be used is left alone
    for a while, longer each time, and everything waits."""
    state = collecting.state()
    if state.mail_paused_until and state.mail_paused_until > now:
        return 0
    due = Notification.objects.due(now).filter(chat="").order_by("due_at", "pk")[:PER_GO]
    # What was tried without success comes last, so that a mail that the server cannot stand keeps no other from being
    # sent.
    rows = _still_wanted(list(due.claim(by=claim).with_subject().order_by("attempts", "pk")), claim)
    if not rows:
        return 0
    sent, started = 0, time.monotonic()
    try:
        connection = get_connection()
        _open(connection)
        try:
            for mail, about in _mails(rows, now, claim):
                if time.monotonic() - started > LONGEST_GO:
                    break
                sent += _send(connection, mail, about, claim)
        finally:
            _close(connection)
    except ServerTrouble as trouble:
        _pause(state, now, str(trouble))
    else:
        _well(state)
    Notification.objects.claimed(claim).release()
    return sent


# --- What becomes which mail


def _still_wanted(rows: Sequence[Notification], claim: str) -> list[Notification]:
    """Without those that need not be told any more, because another person did what they ask for, and those for people
    who may not read any more what it tells."""
    have_roles = _with_roles(row.recipient_id for row in rows if row.recipient_id)
    waiting: dict[int, frozenset[int] | None] = {}
    wanted = []
    for row in rows:
        if row.recipient is None or not row.recipient.is_active:
            Notification.objects.claimed(claim, [row]).drop("The person was deactivated before it was sent.")
            continue
        if row.recipient_id not in have_roles:
            Notification.objects.claimed(claim, [row]).drop("The person lost every role before it was sent.")
            continue
        if row.request is None or row.kind not in ASKING:
            wanted.append(row)
            continue
        if row.request.pk not in waiting:
            waiting[row.request.pk] = _waited_for(row.request)
        people = waiting[row.request.pk]
        if people is not None and audience.is_moot(Kind(row.kind), row.request, row.recipient_id, people):
            Notification.objects.claimed(claim, [row]).drop("It was done before it was sent.")
        else:
            wanted.append(row)
    return wanted


def _with_roles(people: Iterable[int]) -> frozenset[int]:
    found = User.objects.filter(role_held_by("pk"), pk__in=set(people))
    return frozenset(found.values_list("pk", flat=True))


def _waited_for(request: PromotionRequest) -> frozenset[int] | None:
    """As `audience.waited_for`; None where the request cannot be understood: one broken row holds up no mail."""
    found: frozenset[int] | None = None
    with alone("mail.request_not_understood", request=request.pk):
        found = audience.waited_for(request)
    return found  # noqa: RET504 -- what `alone` ends is not an answer


def _mails(
    rows: Sequence[Notification], now: datetime, claim: str
) -> list[tuple[EmailMultiAlternatives, list[Notification]]]:
    """Each mail with what it tells. Who has had a few in the last minutes gets the rest in one, later. What asks for
    something comes first, and never in one mail with news: it would be lost among them."""
    found = []
    had = _recent({row.recipient_id for row in rows}, now)
    for person in dict.fromkeys(row.recipient_id for row in rows):
        own = [row for row in rows if row.recipient_id == person]
        times = had.get(person, [])
        for some in ([row for row in own if row.kind in ASKING], [row for row in own if row.kind not in ASKING]):
            if digest := [row for row in some if row.is_digest]:
                found += _written(digest, claim, lambda rows: messages.summary(rows, is_digest=True))
            at_once = [row for row in some if not row.is_digest]
            if len(at_once) <= FEW - len(times):
                for row in at_once:
                    found += _written([row], claim, lambda rows: messages.single(rows[0]))
                times = [*times, *(now for _ in at_once)]
            elif len(times) < FEW:
                found += _written(at_once, claim, lambda rows: messages.summary(rows, is_digest=False))
                times = [*times, now]
            else:
                Notification.objects.claimed(claim, at_once).release(due_at=times[-FEW] + WINDOW)
    return found


def _written(
    rows: list[Notification], claim: str, write: Callable[[list[Notification]], EmailMultiAlternatives]
) -> list[tuple[EmailMultiAlternatives, list[Notification]]]:
    """The mail, or [] when it cannot be written: it is tried again later, and holds up no other."""
    mails: list[tuple[EmailMultiAlternatives, list[Notification]]] = []
    with alone("mail.not_written", notifications=[row.pk for row in rows]):
        mails.append((write(rows), rows))
    if not mails:
        Notification.objects.claimed(claim, rows).put_off("The mail could not be written; see the worker's log.")
    return mails


def _recent(people: Collection[int | None], now: datetime) -> dict[int | None, list[datetime]]:
    """When each mail of the last minutes was sent, oldest first, by person; digests do not count. One query."""
    told = Notification.objects.filter(recipient__in=people, is_digest=False, sent_at__gt=now - WINDOW)
    mails = told.values_list("recipient_id", "message_id").annotate(at=Max("sent_at")).order_by("at")
    found: dict[int | None, list[datetime]] = {}
    for person, _, at in mails:
        found.setdefault(person, []).append(at)
    return found


# --- What the server says


def _open(connection: BaseEmailBackend) -> None:
    try:
        connection.open()
    except OSError as error:  # smtplib's errors are such
        raise ServerTrouble(said(error)) from error


def _close(connection: BaseEmailBackend) -> None:
    try:
        connection.close()
    except OSError:
        logger.info("mail.closed_badly")


def _send(connection: BaseEmailBackend, mail: EmailMultiAlternatives, about: Sequence[Notification], claim: str) -> int:
    """How many notifications were told with this mail. Raises ServerTrouble."""
    mine = Notification.objects.claimed(claim, about)
    try:
        connection.send_messages([mail])
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        _refused(mine, said(error), is_final=all(code >= 500 for code in codes))
        return 0
    except smtplib.SMTPDataError as error:
        _refused(mine, said(error), is_final=error.smtp_code >= 500)
        return 0
    except (smtplib.SMTPServerDisconnected, TimeoutError, ConnectionError) as error:
        # It may be this very mail that the server cannot stand: the others come before it the next time. It is not
        # given up, for it may as well be the server that goes away in the middle.
        mine.put_off(said(error), may_give_up=False)
        raise ServerTrouble(said(error)) from error
    except OSError as error:
        raise ServerTrouble(said(error)) from error
    except ValueError as error:  # an address or a header that no mail can have
        _refused(mine, str(error), is_final=True)
        return 0
    mine.mark_sent(message_id=mail.extra_headers["Message-ID"])
    return len(about)


def _refused(mine: "NotificationQuerySet", reason: str, *, is_final: bool) -> None:
    if is_final:
        mine.drop(reason, is_undelivered=True)
    else:
        mine.put_off(reason)


def said(error: OSError) -> str:
    """The server's words, on one line and short."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        said = "; ".join(f"{code} {_text(words)}" for code, words in error.recipients.values())
    elif isinstance(error, smtplib.SMTPResponseException):
        said = f"{error.smtp_code} {_text(error.smtp_error)}"
    else:
        said = str(error) or type(error).__name__
    return " ".join(said.split())[:500]


def _text(words: bytes | str) -> str:
    return words.decode(errors="replace") if isinstance(words, bytes) else words


def _pause(state: NotificationState, now: datetime, error: str) -> None:
    pause = min(timedelta(seconds=15) * 2 ** min(state.mail_failures, 10), LONGEST_PAUSE)
    logger.warning("mail.paused", error=error, seconds=pause.total_seconds())
    NotificationState.objects.filter(pk=state.pk).update(
        mail_paused_until=clock.now() + pause,
        mail_failing_since=state.mail_failing_since or now,
        mail_failures=state.mail_failures + 1,
        mail_error=error,
    )


def _well(state: NotificationState) -> None:
    if state.mail_failing_since is not None:
        NotificationState.objects.filter(pk=state.pk).update(
            mail_paused_until=None, mail_failing_since=None, mail_failures=0, mail_error=""
        )
