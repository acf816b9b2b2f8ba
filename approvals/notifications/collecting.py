"""Reads the ledger after the cursor, and writes down who is owed what: with the cursor, in one transaction."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from accounts.models import User
from approvals.models import AuditEvent, ChainHead, Kind, Notification, NotificationState
from approvals.models.subscriptions import FOLLOWED, MUTABLE
from approvals.notifications import chat, preferences, rules, undone, wording
from approvals.notifications.told import Told
from approvals.selectors import subscriptions
from mirror import clock
from mirror.isolation import alone

logger = structlog.get_logger(__name__)

BATCH = 50


def collect(*, limit: int = 5000) -> int:
    """Reads up to `limit` new events; returns how many. Safe with several workers at once: the cursor moves with what
    was found in one transaction, and only from where it was read. A worker killed anywhere leaves it as it was."""
    read = 0
    while read < limit:
        cursor = state().sequence
        events = list(takewhile(undone.is_settled, _after(cursor)))
        if not events:
            break
        try:
            is_ours = _write_down(events, cursor)
        except (OperationalError, InterfaceError):
            raise  # the next go reads the same events
        except Exception:  # whatever cannot be stored
            is_ours, events = True, events[:1]
            _write_down_one(events[0], cursor)
        if not is_ours:
            break  # another worker was faster
        read += len(events)
    return read


def _after(cursor: int) -> QuerySet[AuditEvent]:
    related = ("actor", "request__version__model", "request__target", "request__requester")
    return AuditEvent.objects.filter(sequence__gt=cursor).select_related(*related).order_by("sequence")[:BATCH]


def _write_down(events: Sequence[AuditEvent], cursor: int) -> bool:
    """With the cursor, in one transaction; whether the cursor was still there."""
    told: list[Told] = []
    for event in events:
        told += _of(event, told)
    rows = notifications(told)
    with transaction.atomic():
        if not NotificationState.objects.filter(pk=1, sequence=cursor).update(sequence=events[-1].sequence):
            return False
        store(rows)
    return True


def _write_down_one(event: AuditEvent, cursor: int) -> None:
    """By itself, because with others it could not be stored; passed over when it still cannot."""
    with alone("notification.not_stored", sequence=event.sequence, action=event.action):
        _write_down([event], cursor)
    NotificationState.objects.filter(pk=1, sequence=cursor).update(sequence=event.sequence)


def state() -> NotificationState:
    """The one row. Where it is missing, reading begins now: no one is told of what is long past."""
    if found := NotificationState.objects.filter(pk=1).first():
        return found
    head = ChainHead.objects.filter(pk=1).values_list("sequence", flat=True).first() or 0
    return NotificationState.objects.get_or_create(pk=1, defaults={"sequence": head})[0]


def _of(event: AuditEvent, earlier: Sequence[Told]) -> list[Told]:
    """What one event tells. An event that cannot be understood is passed over, with a line in the log: it must not
    hold back all that follow."""
    try:
        return [] if undone.is_undone(event) else rules.of(event, earlier)
    except DatabaseError:
        raise  # the next go reads the same events
    except Exception:  # whatever is in an event
        logger.exception("notification.not_understood", sequence=event.sequence, action=event.action)
        return []


def notifications(told: Iterable[Told]) -> list[Notification]:
    """One row for each person who wants it, and one for each chat. Deactivated people and service accounts get none."""
    told = _to_followers(list(told))
    wanted = {person for each in told for person in each.people}
    reachable = set(User.objects.active().filter(pk__in=wanted, is_service_account=False).values_list("pk", flat=True))
    wishes = preferences.wishes_of(reachable)
    now = clock.now()
    rows = []
    for each in told:
        for person in sorted(each.people & reachable):
            due_at = wishes[person].due_at(each.kind, now)
            if due_at is not None:
                rows.append(_row(each, f"{each.key}/{each.kind}/{person}", recipient_id=person, due_at=due_at))
                rows[-1].is_digest = due_at > now
        if each.chat and each.kind in chat.kinds():
            rows += [
                _row(each, f"{each.key}/{each.kind}/{name}", chat=name, title=wording.one_line(each.chat))
                for name in chat.addresses()
            ]
    return rows


def _to_followers(told: Sequence[Told]) -> list[Told]:
    """News of a request goes to everybody who follows it, and to no one who muted it, or whom the same event tells
    something of their own, such as that they are mentioned."""
    news = [each for each in told if each.kind in FOLLOWED and each.request is not None]
    known = subscriptions.followers({each.request for each in news if each.request is not None})
    own: dict[str, set[int]] = defaultdict(set)
    for each in told:
        if each.kind not in FOLLOWED:
            own[each.key] |= each.people
    found = []
    for each in told:
        people = set(each.people)
        if each.request is not None and each.kind in FOLLOWED:
            them = known[each.request.pk]
            people |= them.following
            people -= own[each.key] | {each.event.actor_id if each.event else 0}
            people -= them.muted if each.kind in MUTABLE else set()
        found.append(replace(each, people=frozenset(people)))
    return found


def _row(told: Told, key: str, **fields: object) -> Notification:
    stands: dict[str, object] = {
        "title": wording.one_line(told.words.title),
        "text": wording.one_paragraph(told.words.text),
        "said": wording.shortened(told.words.said),
    }
    return Notification(key=key, kind=Kind(told.kind), request=told.request, event=told.event, **(stands | fields))


def store(rows: Sequence[Notification]) -> None:
    """What is stored already stays as it is."""
    Notification.objects.bulk_create(rows, ignore_conflicts=True, batch_size=200)
