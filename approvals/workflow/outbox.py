"""Tells Celery that an outbox row wants looking at. A hint only: when the broker is away, the drain finds the row."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from approvals.models import OutboxEntry, PromotionRequest, Tenure, WatchState
from approvals.models.requests import OPEN
from approvals.selectors import undoing
from mirror import clock, composed, tracing

logger = structlog.get_logger(__name__)


def enqueue(request: PromotionRequest) -> OutboxEntry:
    """Writes the row in the caller's transaction and hints at it after the commit, for when it is due: at once, or when
    no approval that it rests on can be undone any more.

    A retry takes over the plan of a failed delivery that had begun to move, so that what it replaced is not forgotten.
    """
    earlier = request.outbox_entries.order_by("-pk").first()
    now = clock.now()
    due_at = max(now, undoing.settles_at(request) or now)
    entry = OutboxEntry.objects.create(
        request=request,
        created_at=now,
        available_at=due_at,
        model_name=request.version.model.name,
        target_id=request.target_id,
        plan=earlier.plan if earlier else None,
        is_urgent=request.is_urgent,
        traceparent=tracing.traceparent(),
    )
    tracing.note(request=request.pk, correlation_id=str(request.correlation_id))
    # Not before the commit: a worker that is faster would not find the row.
    transaction.on_commit(partial(hint_delivery, entry.pk, after=due_at - now))
    return entry


def hasten(request: PromotionRequest, **fields: Any) -> OutboxEntry | None:
    """Makes the request's open entry due now and keeps `fields` on it, in the caller's transaction; None when a worker
    is at it."""
    now = clock.now()
    free = OutboxEntry.objects.open().filter(Q(lease_expires_at=None) | Q(lease_expires_at__lte=now), request=request)
    if not free.update(available_at=now, **fields):
        return None
    entry = OutboxEntry.objects.open().get(request=request)
    transaction.on_commit(partial(hint_delivery, entry.pk))
    return entry


def hint_assessment(request: PromotionRequest) -> None:
    """Hints, after the commit, that the request's files and checks are owed."""
    transaction.on_commit(partial(_send, "approvals.assess", request.pk))


def hint_verification() -> None:
    """Hints, after the commit, that the ledger is to be verified."""
    transaction.on_commit(partial(_send, "approvals.verify_ledger"))


def hint_signing() -> None:
    """Hints, after the commit, that the ledger's head is to be signed."""
    transaction.on_commit(partial(_send, "approvals.sign_wanted"))


def cancel(request: PromotionRequest, *, reason: str) -> OutboxEntry | None:
    """Closes the request's open entry, which no worker has begun, as undone; in the caller's transaction. None when a
    worker was faster: one UPDATE of the row that a claim updates as well, so one of the two comes first."""
    untouched = OutboxEntry.objects.open().filter(request=request, attempts=0, lease_expires_at=None)
    entry = untouched.first()
    ended = {"closed_at": clock.now(), "outcome": OutboxEntry.Outcome.UNDONE, "last_error": reason}
    return entry if untouched.update(**ended) else None


def hint_delivery(entry_id: int, *, after: timedelta = timedelta(0)) -> bool:
    """Sends the hint, which the worker follows `after` that time; False, with a line in the log, when the broker cannot
    take it. Never raises."""
    return _send("approvals.deliver", entry_id, seconds=after.total_seconds())


def _send(task: str, pk: int | None = None, *, seconds: float = 0) -> bool:
    try:
        current_app.send_task(task, args=[] if pk is None else [pk], countdown=seconds or None)
    except Exception as error:  # whatever the broker's library raises: the row is the truth, nothing is lost
        logger.warning("broker.unreachable", task=task, row=pk, error=str(error))
        return False
    return True


def hint_next_delivery(entry: OutboxEntry) -> None:
    """Hints at the entry that waited behind this one, if there is one."""
    beside = {"model_name": entry.model_name, "target_id": entry.target_id}
    # Mostly there is none, which the index says; whether it is due is asked of so many rows that it costs more.
    if not composed.objects(_beside, entry.model_name, entry.target_id):
        return
    due = OutboxEntry.objects.due(clock.now()).filter(**beside).order_by("pk").values_list("pk", flat=True)
    if (following := due.first()) is not None:
        hint_delivery(following)


def _beside(model_name: str, target: int) -> QuerySet[OutboxEntry, int]:
    found = OutboxEntry.objects.open().filter(model_name=model_name, target=target)
    return found.values_list("pk", flat=True)[:1]


MOST_HINTS = 100
"""Entries that are hinted at when a freeze changes; the drain finds the rest."""


def release(entries: Iterable[int]) -> int:
    """Makes entries that a freeze held due at once, in the caller's transaction; those that are still under a freeze
    are held again when a worker takes them. Returns how many were released."""
    now, wanted = clock.now(), list(entries)
    released = OutboxEntry.objects.open().filter(pk__in=wanted, held_until__gt=now)
    count = released.update(available_at=now, held_until=now)
    for pk in wanted[:MOST_HINTS]:
        transaction.on_commit(partial(hint_delivery, pk))
    return count


def held() -> QuerySet[OutboxEntry]:
    """Entries that a freeze holds now, oldest first."""
    return OutboxEntry.objects.open().filter(held_until__gt=clock.now()).order_by("pk")


PORTION = 1000


def prune() -> int:
    """Takes away deliveries that were closed more than COUNTERSIGN_KEEP_DELIVERIES_DAYS ago; returns how many. The
    events say what came of each. Not those of open requests, of what holds a target now, and of a move that was left
    half done; nor what the watch has not held against the tenures yet."""
    looked_at = WatchState.objects.filter(pk=1).values_list("looked_at", flat=True).first()
    if looked_at is None:
        return 0
    before = min(clock.now() - timedelta(days=settings.KEEP_DELIVERIES_DAYS), looked_at)
    holds = Tenure.objects.open().filter(request=OuterRef("request"))
    over = OutboxEntry.objects.filter(Q(outcome=OutboxEntry.Outcome.APPLIED) | Q(plan=None), closed_at__lt=before)
    over = over.exclude(request__status__in=OPEN).exclude(Exists(holds))
    return sum(OutboxEntry.objects.filter(pk__in=some).delete()[0] for some in in_portions(over))


def in_portions(rows: "QuerySet[Any]") -> Iterator[list[int]]:
    """The numbers of the rows, a portion at a time, so that the transaction in which the caller deletes each is
    short."""
    while some := list(rows.order_by("pk").values_list("pk", flat=True)[:PORTION]):
        yield some
