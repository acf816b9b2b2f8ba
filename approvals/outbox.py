"""Tells Celery that an outbox row wants looking at. A hint only: when the broker is away, the drain finds the row."""

from functools import partial

import structlog
from celery import current_app
from django.db import transaction

from approvals.models import OutboxEntry, PromotionRequest

logger = structlog.get_logger(__name__)


def enqueue(request: PromotionRequest) -> OutboxEntry:
    """Writes the row in the caller's transaction and hints at it after the commit.

    A retry takes over the plan of a failed delivery that had begun to move, so that what it replaced is not forgotten.
    """
    earlier = request.outbox_entries.order_by("-pk").first()
    entry = OutboxEntry.objects.create(
        request=request,
        model_name=request.version.model.name,
        target_id=request.target_id,
        plan=earlier.plan if earlier else None,
    )
    transaction.on_commit(partial(wake, entry.pk))
    return entry


def hint_assessment(request: PromotionRequest) -> None:
    """Hints, after the commit, that the request's files and checks are owed."""
    transaction.on_commit(partial(_send, "approvals.assess", request.pk))


def wake(entry_id: int) -> bool:
    """Sends the hint; False, with a line in the log, when the broker cannot take it. Never raises."""
    return _send("approvals.deliver", entry_id)


def _send(task: str, pk: int) -> bool:
    try:
        current_app.send_task(task, args=[pk])
    except Exception as error:  # whatever the broker's library raises: the row is the truth, nothing is lost
        logger.warning("broker.unreachable", task=task, row=pk, error=str(error))
        return False
    return True


def wake_next(entry: OutboxEntry) -> None:
    """Hints at the entry that waited behind this one, if there is one."""
    following = (
        OutboxEntry.objects.open()
        .filter(model_name=entry.model_name, target_id=entry.target_id)
        .order_by("pk")
        .values_list("pk", flat=True)
        .first()
    )
    if following is not None:
        wake(following)
