"""Open incidents, looked at again: some are over by themselves, and of some the review afterwards has ended."""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from django.db import transaction

from approvals import tenures, workflow
from approvals.models import Incident, RequestKind, Status, Tenure
from approvals.models.requests import CLOSED, UNDECIDED
from approvals.selectors import undoing
from approvals.watch import deliveries, hidden_models, incidents
from mirror.isolation import alone

R = Incident.Resolution


def follow() -> int:
    """Closes incidents that are over, and owes a put-back where a review ended without approval; returns how many
    changed. Looks without a lock first: most stay as they are."""
    changed = 0
    found = list(Incident.objects.open().select_related("target", "request__version").order_by("pk"))
    running = _running({incident.model_name for incident in found})
    for incident in found:
        with alone("incident.not_followed", incident=incident.pk, model=incident.model_name):
            if _over(incident, running) or _refused(incident) or _has_nothing_to_review(incident, running):
                changed += _settle(incident.pk)
    return changed


Running: TypeAlias = Mapping[tuple[str, int | None], Sequence[Tenure]]
"""The tenures that run, by model and target."""


def _running(models: Collection[str]) -> Running:
    """One query, however many models."""
    found: dict[tuple[str, int | None], list[Tenure]] = {}
    for tenure in Tenure.objects.open().filter(model_name__in=models).select_related("request") if models else ():
        found.setdefault((tenure.model_name, tenure.target_id), []).append(tenure)
    return found


@transaction.atomic
def _settle(pk: int) -> bool:
    name = Incident.objects.filter(pk=pk).values_list("model_name", flat=True).get()
    incidents.lock(name)
    incident = Incident.objects.open().select_related("target", "request__version").filter(pk=pk).first()
    if incident is None:
        return False
    running = _running([name])
    if over := _over(incident, running):
        resolution, reason = over
        incidents.close(incident, resolution, reason=reason)
        return True
    if (reason := _refused(incident)) and not deliveries.half_done([incident.model_name]):
        incident.is_owed = True
        incident.details["after_review"] = reason
        incident.save(update_fields=["is_owed", "details"])
        incidents.seal(incident)
        return True
    if _has_nothing_to_review(incident, running) and incident.request is not None:
        version = incident.request.version.number
        return workflow.drop_afterwards(
            incident.request, reason=f"Version {version} does not hold {incident.place} any more."
        )
    return False


def _over(incident: Incident, all_running: Running) -> "tuple[Incident.Resolution, str] | None":
    request = incidents.request_of(incident)
    if request is not None and request.status == Status.APPLIED:
        return R.REVIEWED, f"Request #{request.pk} was approved."
    running = {
        tenure.version_number: tenure
        for tenure in all_running.get((incident.model_name, incident.target_id), ())
        if tenure.place == incident.place
    }
    # About bytes, and not about who approved: it ends when the version has left the place.
    if incident.kind == Incident.Kind.FILES:
        version = incident.details.get("version")
        return None if version in running else (R.SUPERSEDED, f"Version {version} holds {incident.place} no more.")
    if incident.kind == Incident.Kind.RENAMED or incident.is_of_all_models:  # the probe, or a person, ends those
        return None
    if incident.kind in (Incident.Kind.PROMPT, Incident.Kind.HIDDEN):
        return hidden_models.over(incident)
    # Something was promoted there since, and nothing is left that nobody approved.
    promoted = [
        tenure
        for tenure in running.values()
        if tenure.request_id
        and tenure.origin in (Tenure.Origin.DELIVERY, Tenure.Origin.OUTSIDE)
        and (tenure.start_sequence or 0) >= incident.opened_sequence
    ]
    if promoted and all(tenures.is_approved(tenure) for tenure in running.values()):
        by = promoted[0].request_id
        return R.SUPERSEDED, f"Request #{by} was promoted there."
    return None


def _refused(incident: Incident) -> str:
    """What became of a review that did not end in an approval, where what was approved before can be put back."""
    request = incidents.request_of(incident)
    if request is None or incident.is_owed or "after_review" in incident.details:
        return ""
    if request.status not in CLOSED or request.status == Status.APPLIED or undoing.may_change(request):
        return ""
    if request.kind == RequestKind.RETROACTIVE and request.status == Status.WITHDRAWN:
        return ""  # Countersign took it back itself, because there was nothing to review any more
    if incident.kind in incidents.NOT_RESTORABLE:
        return ""
    return f"Request #{request.pk} ended without an approval: {request.get_status_display().lower()}."


def _has_nothing_to_review(incident: Incident, all_running: Running) -> bool:
    """The version that is under review has left the place."""
    request = incident.request
    if request is None or request.status not in UNDECIDED:
        return False
    running = all_running.get((incident.model_name, incident.target_id), ())
    is_there = any(tenure.version_number == request.version.number for tenure in running)
    return not is_there and not deliveries.half_done([incident.model_name])
