"""Changes of what holds a target, made as delivery and the watch leave them; shared by the tests of the audit."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from approvals import ledger, tenures
from approvals.audit.periods import Period
from approvals.audit.population import Scope
from approvals.models import (
    Action,
    AuditEvent,
    Incident,
    OutboxEntry,
    PromotionRequest,
    RequestKind,
    Status,
    Target,
    Tenure,
)
from approvals.workflow import approver_labels
from mirror.models import ModelVersion
from tests.support.factories import approve, make_request
from tests.support.pages import hold


def around_now(days: int = 1) -> Scope:
    now = timezone.now()
    return Scope(Period(now - timedelta(days=days), now + timedelta(days=days)))


@transaction.atomic
def promote(
    version: ModelVersion, target: Target, *, by: User, approvers: tuple[User, ...], kind: str = RequestKind.PROMOTION
) -> PromotionRequest:
    """Asked for, approved and settled as a delivery would leave it, the tenures too."""
    request = approve(make_request(version, target, by=by), *approvers)
    fields: dict[str, Any] = {"kind": kind}
    if kind == RequestKind.BREAK_GLASS:
        fields["afterwards_due_at"] = timezone.now() + timedelta(hours=24)
    PromotionRequest.objects.filter(pk=request.pk).update(**fields)
    PromotionRequest.objects.filter(pk=request.pk).move(Status.APPLIED)
    OutboxEntry.objects.filter(request=request).update(closed_at=timezone.now(), outcome="applied")
    request.refresh_from_db()
    event = ledger.record(
        Action.VERSION_PROMOTED,
        actor=None,
        correlation_id=request.correlation_id,
        request=request,
        allowed_by=approver_labels(request),
    )
    tenures.promoted(request, event)
    hold(version, target)
    return request


@transaction.atomic
def bypass(version: ModelVersion, target: Target, place: str, *, has_incident: bool = True) -> Incident | None:
    """Somebody moved the place in MLflow: the watch ends what held it, begins what holds it, and opens an incident."""
    now = timezone.now()
    name = version.model.name
    held = Tenure.objects.open().filter(model_name=name, target=target, place=place)
    before = [each.version_number for each in held]
    event: AuditEvent | None = None
    incident: Incident | None = None
    if has_incident:
        data = {"kind": "moved", "place": place, "before": before, "after": [version.number], "not_before": None}
        event = ledger.record(
            Action.INCIDENT_OPENED, actor=None, model_name=name, target_name=target.name, data=data | {"incident": 1}
        )
        incident = Incident.objects.create(
            kind="moved",
            model_name=name,
            target=target,
            place=place,
            before=before,
            after=[version.number],
            seen_at=event.at,
            not_before=event.at - timedelta(seconds=10),
            response="report",
            opened_sequence=event.sequence,
        )
    at, sequence = (event.at, event.sequence) if event else (now, None)
    tenures.finish(held, at=at, how=Tenure.End.OUTSIDE, sequence=sequence, after=at - timedelta(seconds=10))
    tenures.begin(
        model_name=name,
        number=version.number,
        target=target,
        place=place,
        at=at,
        origin=Tenure.Origin.OUTSIDE,
        sequence=sequence,
        after=at - timedelta(seconds=10),
        sole=True,
    )
    return incident


@transaction.atomic
def put_back(incident: Incident, version: ModelVersion) -> None:
    """Countersign puts the last approved holder back."""
    event = ledger.record(
        Action.VERSION_RESTORED,
        actor=None,
        model_name=incident.model_name,
        version_number=version.number,
        target_name=incident.target.name,
        data={"place": incident.place, "incident": incident.pk, "replaced": incident.after},
    )
    held = Tenure.objects.open().filter(model_name=incident.model_name, target=incident.target, place=incident.place)
    tenures.finish(held, at=event.at, how=Tenure.End.RESTORED, sequence=event.sequence)
    tenures.begin(
        model_name=incident.model_name,
        number=version.number,
        target=incident.target,
        place=incident.place,
        at=event.at,
        origin=Tenure.Origin.RESTORED,
        sequence=event.sequence,
    )
    Incident.objects.filter(pk=incident.pk).update(
        resolved_at=event.at, resolution=Incident.Resolution.PUT_BACK, reason="By the policy."
    )


@transaction.atomic
def found(version: ModelVersion, target: Target, place: str) -> Tenure:
    """What the first look found."""
    event = ledger.record(
        Action.TENURE_FOUND,
        actor=None,
        model_name=version.model.name,
        version_number=version.number,
        target_name=target.name,
        data={"place": place},
    )
    return tenures.begin(
        model_name=version.model.name,
        number=version.number,
        target=target,
        place=place,
        at=event.at,
        origin=Tenure.Origin.FOUND,
        sequence=event.sequence,
    )


@transaction.atomic
def taken_away(version: ModelVersion, target: Target, place: str) -> None:
    """Somebody took the place from a version and gave it to none."""
    event = ledger.record(
        Action.INCIDENT_OPENED,
        actor=None,
        model_name=version.model.name,
        target_name=target.name,
        data={"kind": "moved", "place": place, "before": [version.number], "after": [], "incident": 2},
    )
    Incident.objects.create(
        kind="moved",
        model_name=version.model.name,
        target=target,
        place=place,
        before=[version.number],
        after=[],
        seen_at=event.at,
        response="report",
        opened_sequence=event.sequence,
    )
    held = Tenure.objects.open().filter(model_name=version.model.name, target=target, place=place)
    tenures.finish(held, at=event.at, how=Tenure.End.OUTSIDE, sequence=event.sequence)
