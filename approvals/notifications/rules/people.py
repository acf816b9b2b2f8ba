"""Of people: what a change to a person does to the approvals that they gave."""

from django.db.models import Q

from approvals.models import Action, Kind, PromotionRequest, Review, Status, Verdict
from approvals.notifications import audience, briefing, wording
from approvals.notifications.told import Occasion, Told, tells_of
from approvals.selectors import request_state


@tells_of(Action.PERSON_CHANGED, Action.PERSON_IDENTIFIED, Action.PERSON_DEACTIVATED)
def changed(this: Occasion) -> list[Told]:
    """A person's approval no longer counts, because of what was changed about them: others are asked instead, once
    for each approval, however often the person is changed."""
    event = this.event
    email = str(event.data.get("person", "")).rpartition("<")[2].rstrip(">")
    given = (
        Review.objects.live()
        .filter(Q(reviewer__in=event.people("person")) | Q(reviewer__email__iexact=email))
        .filter(verdict=Verdict.APPROVE, request__status=Status.PENDING)
        .order_by("pk")
    )
    told = []
    for review in given:
        request = PromotionRequest.objects.with_subject().get(pk=review.request_id)
        now = request_state.of(request)
        if review.reviewer_id in now.counted:
            continue
        words = wording.Words(
            wording.one_line(f"Review needed: {wording.subject(request)}{wording.by_when(request)}"),
            f"An approval of {request.version.model.name} version {request.version.number} for {request.target.name} "
            f"no longer counts, because of a change to its reviewer. {briefing.of(now)}",
        )
        people = audience.waited_for(request, now) - {event.actor_id}
        told.append(Told(Kind.WAITS, request, people, words, f"uncounted/{review.pk}", event))
    return told
