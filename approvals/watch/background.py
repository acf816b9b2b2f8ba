"""What is known of an incident's versions beside the change itself: how the holder before came there, and which
requests there were. Reads alone, for the page."""

from dataclasses import dataclass

from django.db.models import Q

from approvals import tenures
from approvals.models import Incident, PromotionRequest, RequestKind, Tenure
from approvals.tenures import labels
from approvals.watch.places import names_of

MOST_REQUESTS = 10


@dataclass(frozen=True, slots=True)
class Holder:
    """A version that held the place before, and `how` it came there, as a sentence."""

    number: int
    how: str
    request_id: int | None


def approved_holders(incident: Incident) -> list[Holder]:
    """Those that held the place last by a request, or before there was a gate; no one has approved the latter."""
    names = names_of(incident.model_name)
    begun = Q(start_sequence=None) | Q(start_sequence__lte=incident.opened_sequence)
    found = (
        Tenure.objects.filter(begun, model_name__in=names, target=incident.target, version_number__in=incident.approved)
        .filter(place__in=[incident.place, *incident.details.get("places", ())])
        .exclude(origin=Tenure.Origin.IMPORTED)
        .select_related("request")
        .order_by("started_at", "pk")
    )
    last = {tenure.version_number: tenure for tenure in found if tenures.is_approved(tenure)}
    return [
        Holder(number, labels.sentence(last[number]), last[number].request_id)
        if number in last
        else Holder(number, "How it got there is unknown.", None)
        for number in incident.approved
    ]


def related_requests(incident: Incident) -> list[PromotionRequest]:
    """What was asked for the versions that hold the place since, and for the target; the newest first. Without the
    review that the incident itself asked for."""
    numbers = {*incident.after, incident.details.get("version")} - {None}
    found = PromotionRequest.objects.with_subject().filter(
        version__model__name__in=names_of(incident.model_name), version__number__in=numbers, target=incident.target
    )
    return list(found.exclude(kind=RequestKind.RETROACTIVE).order_by("-pk")[:MOST_REQUESTS])
