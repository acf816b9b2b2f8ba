"""Changes outside Countersign that a delivery overwrote before any pull or sweep saw them: its plan says what it found,
the tenures say what should have been there."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from approvals import tenures
from approvals.models import Action, AuditEvent, ChainHead, Incident, OutboxEntry, Tenure, WatchedPlace, WatchState
from approvals.watch import incidents
from approvals.watch.classification import Known
from approvals.watch.incidents import Found
from mirror.isolation import alone

BATCH = 200


def look(state: WatchState) -> int:
    """Holds each promotion since the last look against the tenures; returns how many incidents were opened."""
    if state.read_sequence == 0:  # the first look: what was promoted before it went on from what no one knew
        head = ChainHead.objects.get(pk=1).sequence
        WatchState.objects.filter(pk=1, read_sequence=0).update(read_sequence=max(head, 1))
        return 0
    promoted = AuditEvent.objects.filter(action=Action.VERSION_PROMOTED, sequence__gt=state.read_sequence)
    found = 0
    for event in promoted.select_related("request__target").order_by("sequence")[:BATCH]:
        with alone("watch.promotion_not_read", sequence=event.sequence, model=event.model_name):
            found += _hold_against(event, Known.of(state, event.model_name))
    return found


@transaction.atomic
def _hold_against(event: AuditEvent, known: Known) -> int:
    tenures.hold_settlements()
    # Moved on in this transaction, so that a promotion is read once, whichever worker is killed.
    if not WatchState.objects.filter(pk=1, read_sequence__lt=event.sequence).update(read_sequence=event.sequence):
        return 0
    request = event.request
    if request is None:
        return 0
    entry = request.outbox_entries.filter(outcome=OutboxEntry.Outcome.APPLIED).order_by("-pk").first()
    if entry is None or not entry.plan:
        return 0
    target, found = request.target, 0
    saw: dict[str, set[int]] = {}
    if target.stage:
        saw[target.stage] = set(entry.plan.get("in_stage", ()))
    if target.alias:
        holder = entry.plan.get("alias_holder")
        saw[tenures.alias_place(target.alias)] = set() if holder is None else {holder}
    halfway = AuditEvent.objects.in_bulk((entry.half or {}).get("places", {}).values())
    for place, numbers in saw.items():
        watched = WatchedPlace.objects.filter(target=target, place=place, first_seen_at__lte=entry.created_at)
        reached = (entry.half or {}).get("places", {}).get(place)  # by a partial delivery, before the whole
        held = _held_before(halfway.get(reached, event), target.pk, place)
        if numbers == held or not watched.exists() or _was_put_back(event, target.pk, place, entry.created_at):
            continue
        found += 1
        at = known.aliases_at if place.startswith("@") else known.stages_at
        incident, _ = incidents.open_incident(
            Found(
                kind=Incident.Kind.MOVED,
                model=event.model_name,
                target=target,
                place=place,
                before=sorted(held),
                after=sorted(numbers),
                approved=sorted(held),
                seen_at=event.at,
                not_before=min(at, event.at) if at else None,
                version=max(numbers - held or held - numbers, default=None),
                details={"overwritten_by": request.pk},
            )
        )
        reason = f"The delivery of request #{request.pk} found it so and went on from there."
        incidents.close(incident, Incident.Resolution.SUPERSEDED, reason=reason)
    return found


def _held_before(event: AuditEvent, target_id: int, place: str) -> set[int]:
    """By the tenures, just before this promotion was settled."""
    begun = Q(start_sequence=None, started_at__lt=event.at) | Q(start_sequence__lt=event.sequence)
    ran_on = (
        Q(ended_at=None)
        | Q(end_sequence__gte=event.sequence)
        | Q(end_sequence=None, ended_at__gt=event.at)
    )  # fmt: skip
    held = Tenure.objects.filter(model_name=event.model_name, target_id=target_id, place=place)
    return set(held.filter(begun).filter(ran_on).values_list("version_number", flat=True))


def _was_put_back(event: AuditEvent, target_id: int, place: str, since: datetime) -> bool:
    """Whether Countersign itself was putting something back there while the delivery was owed: what that wrote, the
    tenures may not have known yet."""
    found = Incident.objects.filter(
        model_name=event.model_name, target_id=target_id, place=place, details__has_key="began_at"
    )
    return found.filter(Q(resolved_at=None) | Q(resolved_at__gte=since)).exists()
