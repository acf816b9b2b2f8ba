"""Of findings: to their owners."""

from approvals.models import Action, Finding, Kind
from approvals.notifications import wording
from approvals.notifications.told import Occasion, Told, tells_of


@tells_of(Action.REVIEW_APPROVED)
def raised(this: Occasion) -> list[Told]:
    """To each owner what they are to put right."""
    numbers = [each.get("finding") for each in this.event.data.get("findings", ())]
    told = []
    for finding in Finding.objects.filter(pk__in=numbers):
        words = wording.Words(
            wording.one_line(f"You own a finding on {this.subject}"),
            f"{wording.happened(this.event)} One thing is to be put right by you until {finding.due_on:%-d %B %Y}.",
            wording.shortened(finding.text),
        )
        people = frozenset({finding.owner_id} - {this.event.actor_id})
        told.append(Told(Kind.FINDING, this.request, people, words, f"{this.key}/finding/{finding.pk}", this.event))
    return told


@tells_of(Action.FINDING_CLOSED)
def closed(this: Occasion) -> list[Told]:
    number = this.event.data.get("finding") or 0
    owners = Finding.objects.filter(pk=number).values_list("owner_id", flat=True)
    return [this.tell(Kind.FINDING, owners, f"A finding on {this.subject} is closed")]
