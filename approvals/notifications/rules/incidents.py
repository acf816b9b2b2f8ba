"""Of changes outside the gate: to administrators, and to those who may review: they can resolve them, and they know the
model."""

from approvals.models import Action, Incident, Kind
from approvals.notifications import audience, wording
from approvals.notifications.told import Occasion, Told, tells_of
from approvals.selectors import reviewers
from approvals.watch import wording as incident_words


@tells_of(Action.INCIDENT_OPENED, Action.INCIDENT_RESOLVED)
def opened_or_resolved(this: Occasion) -> list[Told]:
    number = this.event.data.get("incident") or 0
    incident = Incident.objects.select_related("target", "request").filter(pk=number).first()
    if incident is None:
        return []
    words = _opened(incident) if this.event.action == Action.INCIDENT_OPENED else _resolved(incident)
    people = {person.id for person in reviewers.eligible()} | audience.holding("approvals.manage_policies")
    others = frozenset(people - {this.event.actor_id})
    return [Told(Kind.INCIDENT, None, others, words, this.key, this.event, words.title)]


def _opened(incident: Incident) -> wording.Words:
    not_done = [str(incident.details[key]) for key in ("not_put_back", "not_reviewed") if key in incident.details]
    text = " ".join([incident_words.between(incident), incident_words.response(incident), *not_done]).strip()
    title = incident_words.title(incident)
    if not incident.is_of_all_models:
        title = f"Changed outside Countersign: {title}"
    return wording.Words(wording.one_line(title), text)


def _resolved(incident: Incident) -> wording.Words:
    title = f"Incident #{incident.pk} is resolved: {incident_words.title(incident)}"
    return wording.Words(
        wording.one_line(title), incident_words.resolution(incident), wording.shortened(incident.reason)
    )
