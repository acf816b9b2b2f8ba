"""Asking particular people, or a group of a slot, to review a request, and taking that back. Others may review it all
the same."""

from accounts.models import User
from approvals import ledger
from approvals.models import Action, Nomination, PromotionRequest
from approvals.selectors import nominations, request_state
from approvals.workflow.shared import Conflict, Invalid, require
from approvals.workflow.verbs import verb
from mirror import clock


@verb()
def nominate(request: PromotionRequest, *, by: User, person: User | None = None, group: str = "") -> Nomination:
    """Asks one person, or one group, by name. Raises NotAllowed, Invalid (they cannot review it, with the reason) or
    Conflict (they were asked already)."""
    return ask(request, by=by, person=person, group=group)


def ask(request: PromotionRequest, *, by: User, person: User | None, group: str) -> Nomination:
    """As `nominate`, in a transaction that has the locks. Raises what it raises."""
    now = request_state.of(request, by)
    require(now.actions["nominate"])
    if (person is None) == (not group):
        raise Invalid("Choose one person or one group.")
    refusal = nominations.refusal_of_person(now, person) if person else nominations.refusal_of_group(now, group)
    if refusal:
        raise Invalid(refusal)
    made, is_new = Nomination.objects.live().get_or_create(
        request=request, person=person, group=group, defaults={"by": by}
    )
    if not is_new:
        raise Conflict(f"{_name(made)} was asked already.", request)
    ledger.record(Action.REVIEWERS_NOMINATED, actor=by, request=request, data=_told(made), rows=[made])
    return made


@verb()
def take_back_nomination(request: PromotionRequest, *, by: User, nomination: int) -> None:
    """The person, or group, is no longer asked by name; they may still review, and may be asked anew. For anyone who
    may ask, the one who is asked among them. Raises NotAllowed, Invalid (the request has no such nomination) or
    Conflict (taken back already)."""
    require(request_state.of(request, by).actions["nominate"])
    found = request.nominations.select_related("person").filter(pk=nomination).first()
    if found is None:
        raise Invalid("No one was asked like this.")
    if not request.nominations.live().filter(pk=nomination).update(taken_back_at=clock.now()):
        raise Conflict(f"{_name(found)} is no longer asked by name.", request)
    ledger.record(Action.NOMINATION_TAKEN_BACK, actor=by, request=request, data=_told(found), rows=[found])


def _name(nomination: Nomination) -> str:
    return nomination.person.name if nomination.person else f"The group {nomination.group}"


def _told(nomination: Nomination) -> dict[str, object]:
    person = nomination.person
    return {"people": [person.label] if person else [], "group": nomination.group}
