"""Shared by the page tests: applied requests, versions that hold a target, and the visible text of a page."""

import html
import re

from django.utils import timezone

from accounts.models import User
from approvals import ledger
from approvals.evidence import approval_note
from approvals.models import Action, OutboxEntry, PromotionRequest, Status, Target
from approvals.workflow import approver_labels
from mirror.models import Alias, ModelVersion
from tests.support.factories import approve


def applied(request: PromotionRequest, *people: User) -> PromotionRequest:
    """Approved by as many of these people as it needs, and settled as a delivery would leave it."""
    for person in people:
        request.refresh_from_db()
        if request.status == Status.PENDING:
            approve(request, person)
    PromotionRequest.objects.filter(pk=request.pk).move(Status.APPLIED)
    OutboxEntry.objects.filter(request=request).update(closed_at=timezone.now(), outcome="applied")
    ledger.record(
        Action.VERSION_PROMOTED,
        actor=None,
        correlation_id=request.correlation_id,
        request=request,
        allowed_by=approver_labels(request),
    )
    request.refresh_from_db()
    return request


def note_of(request: PromotionRequest) -> approval_note.Note:
    """What the delivery writes into the description."""
    assert request.decided_at is not None
    return approval_note.Note(request.pk, request.target.name, approver_labels(request), request.decided_at)


def hold(version: ModelVersion, target: Target) -> None:
    """The version holds the target in the mirror, alone."""
    if target.stage:
        ModelVersion.objects.filter(model=version.model, stage=target.stage).update(stage="Archived")
        ModelVersion.objects.filter(pk=version.pk).update(stage=target.stage)
    if target.alias:
        Alias.objects.update_or_create(model=version.model, name=target.alias, defaults={"number": version.number})
    version.refresh_from_db()


def text_of(page: str) -> str:
    """What a person reads, with single spaces."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).strip()
