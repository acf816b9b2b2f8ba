"""When a reviewer first opened what they decide on: the time before a decision is part of the evidence for an audit."""

from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from approvals.models import PromotionRequest, Reading, Status
from approvals.selectors import request_state, reviewers
from mirror import composed

log = structlog.get_logger(__name__)


def mark_opened(request: PromotionRequest, *, by: User, now: request_state.RequestState | None = None) -> None:
    """Notes that a person who may decide has the request on the screen; once for each person and evidence. Others leave
    no trace. Never raises for the database: a page that cannot be noted is still shown. `now` saves looking again."""
    if request.status != Status.PENDING or not by.has_perm(reviewers.REVIEW):
        return
    key = {"request_id": request.pk, "person_id": by.pk, "fingerprint": request.fingerprint}
    try:
        if composed.objects(_opened, request.pk, by.pk, request.fingerprint):
            return
        with transaction.atomic():
            if (now or request_state.of(request, by)).actions["reject"]:
                Reading.objects.bulk_create([Reading(**key)], ignore_conflicts=True)
    except DatabaseError as error:
        log.warning("reading not noted", request=request.pk, error=str(error))


def _opened(request: int, person: int, fingerprint: str) -> QuerySet[Reading, tuple[int]]:
    found = Reading.objects.filter(request=request, person=person, fingerprint=fingerprint)
    return found.values_list("pk")


def time_on_page(request: PromotionRequest, by: User) -> dict[str, Any]:
    """For the event of a decision: since when this person has had this evidence open, and for how many whole seconds.
    Both None when they never opened it here (an API call, say)."""
    opened_at: datetime | None = (
        Reading.objects.filter(request=request, person=by, fingerprint=request.fingerprint)
        .values_list("opened_at", flat=True)
        .first()
    )
    if opened_at is None:
        return {"opened_at": None, "seconds_on_page": None}
    seconds = max(0, int((timezone.now() - opened_at).total_seconds()))
    return {"opened_at": opened_at.isoformat(), "seconds_on_page": seconds}
