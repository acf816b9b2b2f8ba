"""Opening and closing incidents, each with its event; and the verb with which a person closes one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from accounts.models import User
from approvals import ledger, policy, tenures, workflow
from approvals.models import Action, AuditEvent, Incident, LedgerCut, PromotionRequest, Target
from approvals.selectors import rules
from approvals.workflow.verbs import verb
from mirror import clock

RESOLVE = "approvals.resolve_incident"
EVERY_MODEL = "*"
"""Stands for the model of an incident that is about no single one, as in a policy."""

MOST_PUT_BACKS = 3
WITHIN = timedelta(hours=1)
"""After so many put-backs of one place in this time, somebody else puts it there again and again: people decide."""

GAVE_UP = (
    "Countersign reverted it 3 times within an hour, and it changed again each time: another program in MLflow "
    "sets it. Countersign has stopped reverting. Find out who or what changes it."
)
AFTER_A_CUT = (
    "An older backup of Countersign was restored. This may have been approved since; the note in MLflow then "
    "shows it. It stays unchanged until a person decides."
)
NOT_RESTORABLE: Mapping[str, str] = {
    Incident.Kind.DELETED: "A version deleted in MLflow cannot be restored; promote another version.",
    Incident.Kind.EXCHANGED: "The approved version is gone and cannot be restored; promote another version.",
    Incident.Kind.RENAMED: "Countersign does not revert a name; the approval still applies under the new one.",
    Incident.Kind.PROMPT: "It changed no target. Delete the tag mlflow.prompt.is_prompt in MLflow.",
    Incident.Kind.HIDDEN: "No place was changed by it, and MLflow has no call that shows it in the search again.",
    Incident.Kind.FILES: "Countersign keeps no copy of model files; restore them in the artifact store.",
    Incident.Kind.OPENED: "It is over; what was changed meanwhile is found and judged as any other change.",
    Incident.Kind.UNENFORCED: "Who runs MLflow starts it with the gate again; then this incident ends.",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A change that no delivery made."""

    kind: Incident.Kind
    model: str
    target: Target
    place: str
    before: Sequence[int]
    after: Sequence[int]
    approved: Sequence[int]
    """Who held it last with somebody's approval."""

    seen_at: datetime
    not_before: datetime | None
    version: int | None
    """The version that the event is about."""

    details: Mapping[str, Any] = field(default_factory=dict)


def of_every_model(
    kind: Incident.Kind,
    target: Target,
    *,
    seen_at: datetime,
    details: Mapping[str, Any],
    not_before: datetime | None = None,
) -> Found:
    """Something about MLflow itself, filed under a target: no version came or left by it."""
    return Found(
        kind=kind,
        model=EVERY_MODEL,
        target=target,
        place=target.stage or f"@{target.alias}",
        before=(),
        after=(),
        approved=(),
        seen_at=seen_at,
        not_before=not_before,
        version=None,
        details=details,
    )


def lock(*models: str) -> None:
    """Holds settlements off until the end of the transaction, with the reviews of these models' open incidents locked
    before: whoever decides on a request locks it first and the head of the chain afterwards, and so does this."""
    reviews = PromotionRequest.objects.filter(incident__resolved_at=None, incident__model_name__in=models)
    list(reviews.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))
    tenures.hold_settlements()


def open_incident(found: Found) -> tuple[Incident, AuditEvent]:
    """Writes it down with what the policy asks for. In the caller's transaction, which holds settlements off."""
    response = Incident.Response(rules.rule_for(found.model, found.target).on_bypass)
    details = {**found.details, "approved": sorted(found.approved)}
    is_owed = False
    if found.model == EVERY_MODEL:  # nothing was changed that could be reverted or reviewed
        response = Incident.Response.REPORT
    # After a restored backup nobody here knows what was approved since: nothing is put back by itself.
    if LedgerCut.objects.settling().exists():
        response = Incident.Response.REPORT
        details["not_put_back"] = AFTER_A_CUT
    if response == Incident.Response.PUT_BACK:
        hindrance = NOT_RESTORABLE.get(found.kind) or _keeps_changing(found)
        is_owed = not hindrance
        if hindrance:
            details["not_put_back"] = hindrance
    # An earlier change of the same place is not what is to be put back any more; this one takes its place.
    earlier = Incident.objects.open().filter(model_name=found.model, target=found.target, place=found.place)
    if found.kind not in Incident.BESIDE:
        earlier.filter(is_owed=True).update(is_owed=False, last_error="It changed again before it was reverted.")
    incident = Incident.objects.create(
        kind=found.kind,
        model_name=found.model,
        target=found.target,
        place=found.place,
        before=sorted(found.before),
        after=sorted(found.after),
        details=details,
        seen_at=found.seen_at,
        not_before=found.not_before,
        response=response,
        opened_sequence=0,
        is_owed=is_owed,
    )

    def number(event: AuditEvent) -> list[Incident]:
        incident.opened_sequence = event.sequence
        incident.save(update_fields=["opened_sequence"])
        return [incident]

    event = ledger.record(
        Action.INCIDENT_OPENED,
        actor=None,
        model_name=found.model,
        version_number=found.version,
        target_name=found.target.name,
        data={
            "incident": incident.pk,
            "kind": str(found.kind),
            "place": found.place,
            "before": incident.before,
            "after": incident.after,
            "seen_at": found.seen_at.isoformat(),
            "not_before": found.not_before.isoformat() if found.not_before else None,
            "response": str(response),
        },
        rows=number,
    )
    return incident, event


def seal(*incidents: Incident, since: AuditEvent | None = None, models: Iterable[str] = ()) -> None:
    """Has the ledger keep what was written of these incidents, and of the tenures of these models, after the event that
    tells why. In the caller's transaction."""
    changed = tenures.touched(since.sequence, *models) if since else ()
    ledger.record(
        Action.ROWS_SEALED,
        actor=None,
        model_name=since.model_name if since else incidents[0].model_name,
        target_name=since.target_name if since else incidents[0].target.name,
        rows=[*incidents, *changed],
    )


def _keeps_changing(found: Found) -> str:
    recent = Incident.objects.filter(
        model_name=found.model,
        target=found.target,
        place=found.place,
        resolution=Incident.Resolution.PUT_BACK,
        resolved_at__gt=clock.now() - WITHIN,
    )
    return GAVE_UP if recent.count() >= MOST_PUT_BACKS else ""


def close(
    incident: Incident, resolution: Incident.Resolution, *, reason: str = "", by: User | None = None
) -> AuditEvent | None:
    """Ends it, with one event; None when somebody else was faster. A review that was asked for afterwards and is not
    decided is taken back. In the caller's transaction."""
    # Its row count tells who was first: a person, the watch and a put-back may end it at once.
    won = Incident.objects.open().filter(pk=incident.pk).update(
        resolved_at=clock.now(),
        resolved_by=by,
        resolution=resolution,
        reason=reason,
        is_owed=False,
        claimed_by="",
        lease_expires_at=None,
    )  # fmt: skip
    if not won:
        return None
    incident.refresh_from_db()
    event = ledger.record(
        Action.INCIDENT_RESOLVED,
        actor=by,
        model_name=incident.model_name,
        version_number=_about(incident),
        target_name=incident.target.name,
        data={"incident": incident.pk, "resolution": str(resolution), "reason": reason},
        rows=[incident],
    )
    if incident.request is not None and resolution != Incident.Resolution.REVIEWED:
        workflow.drop_afterwards(incident.request, reason=f"Incident #{incident.pk} is resolved: {_words(incident)}.")
    return event


def _words(incident: Incident) -> str:
    return incident.get_resolution_display()[0].lower() + incident.get_resolution_display()[1:]


def _about(incident: Incident) -> int | None:
    numbers = [*incident.after, *incident.before]
    return max(incident.after or incident.before) if numbers else None


# --- What people do ---------------------------------------------------------------------------------------------------


def may_resolve(user: User) -> policy.Answer:
    if user.is_active and user.has_perm(RESOLVE) and not user.is_service_account:
        return policy.YES
    return policy.no("role_required", "Only reviewers and administrators can resolve incidents.")


@verb()
def resolve(incident: Incident, *, by: User, reason: str) -> None:
    """Closes an incident with a person's reason; what holds the place stays. Raises NotAllowed, Invalid (no reason) or
    Conflict (it is resolved, is being put back, or its review is approved and on the way to MLflow)."""
    if not (answer := may_resolve(by)):
        raise workflow.NotAllowed(answer.reason, code=answer.code)
    if not reason.strip():
        raise workflow.Invalid("Enter what happened and why it can stay; auditors read it.", code="reason_required")
    # Before it is read: settlements, and decisions on its review, wait from here on.
    lock(incident.model_name)
    locked = Incident.objects.select_related("target", "request").get(pk=incident.pk)
    if locked.resolved_at is not None:
        raise workflow.Conflict("The incident is already resolved.", code="already_resolved")
    if locked.is_owed and "began_at" in locked.details:
        raise workflow.Conflict("Countersign is reverting it right now. Try again in a moment.", code="being_reverted")
    if locked.request is not None and locked.request.decided_at and locked.request.is_open:
        raise workflow.Conflict(
            f"Request #{locked.request.pk} is approved and on its way.", locked.request, code="being_delivered"
        )
    close(locked, Incident.Resolution.EXPLAINED, reason=reason.strip(), by=by)
    incident.refresh_from_db()


def request_of(incident: Incident) -> PromotionRequest | None:
    """The review that was asked for afterwards: its own, or that of the incident that found the same version in the
    other place of the target."""
    if incident.request is not None:
        return incident.request
    shared = incident.details.get("request")
    return PromotionRequest.objects.filter(pk=shared).first() if shared else None
