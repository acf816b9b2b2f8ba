"""The review that a policy asks for after a change outside Countersign."""

from approvals import workflow
from approvals.models import Incident, Target
from approvals.selectors import eligibility
from mirror.models import ModelVersion


def ask(incident: Incident, target: Target) -> None:
    """Asks, where the policy wants it, for a review of the version that holds the place now. Where no one can be asked,
    the incident says why. In the transaction that opened it."""
    if incident.response != Incident.Response.REVIEW:
        return
    version, hindrance = _version(incident), ""
    if incident.kind not in (Incident.Kind.MOVED, Incident.Kind.EXCHANGED) or version is None:
        hindrance = "Nothing new holds the place, so there is no version to review."
    elif (existing := eligibility.open_request(version, target)) is not None:
        incident.details["request"] = existing.pk  # of the target's other place, or a person asks for it already
    else:
        champion = _approved(incident)
        request = workflow.ask_afterwards(version, target, champion=champion, found=_words(incident, target))
        incident.request = request
    if hindrance:
        incident.details["not_reviewed"] = hindrance
    incident.save(update_fields=["request", "details"])


def _version(incident: Incident) -> ModelVersion | None:
    """The new holder; of several, the one that serving code loads."""
    new = [number for number in incident.after if number not in incident.approved]
    if incident.kind == Incident.Kind.EXCHANGED:
        new = incident.after
    found = ModelVersion.objects.select_related("model").filter(model__name=incident.model_name, deleted_at=None)
    return found.filter(number=max(new)).first() if new else None


def _approved(incident: Incident) -> ModelVersion | None:
    found = ModelVersion.objects.select_related("model").filter(model__name=incident.model_name, deleted_at=None)
    return found.filter(number=max(incident.approved)).first() if incident.approved else None


def _words(incident: Incident, target: Target) -> str:
    since = f" after {incident.not_before:%Y-%m-%d %H:%M:%S} UTC" if incident.not_before else ""
    return (
        f"Incident #{incident.pk}: {incident.place} of {incident.model_name} was changed in MLflow without a delivery"
        f"{since}, and this was seen at {incident.seen_at:%Y-%m-%d %H:%M:%S} UTC. Before, {_listed(incident.before)} "
        f"held it; now, {_listed(incident.after)}. The policy requires a review: approve what is in "
        f"{target.name} now, or reject it, and Countersign restores the last approved version."
    )


def _listed(numbers: list[int]) -> str:
    if not numbers:
        return "nothing"
    return ("version " if len(numbers) == 1 else "versions ") + ", ".join(map(str, numbers))
