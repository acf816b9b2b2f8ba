"""Asking particular people, or a group of a slot, to review a request. Others may review it all the same."""

from accounts.models import User
from approvals import ledger
from approvals.models import Action, Nomination, PromotionRequest
from approvals.selectors import nominations, request_state
from approvals.workflow.shared import Conflict, Invalid, require
from approvals.workflow.verbs import verb


@verb()
def nominate(request: PromotionRequest, *, by: User, person: User | None = None, group: str = "") -> Nomination:
    """Asks one person, or one group, by name. Raises NotAllowed, Invalid (they cannot review it, with the reason) or
    Conflict (they were asked already)."""
    now = request_state.of(request, by)
    require(now.actions["nominate"])
    if (person is None) == (not group):
        raise Invalid("Choose one person or one group.")
    refusal = nominations.refusal_of_person(now, person) if person else nominations.refusal_of_group(now, group)
    if refusal:
        raise Invalid(refusal)
    made, is_new = Nomination.objects.get_or_create(request=request, person=person, group=group, defaults={"by": by})
    if not is_new:
        raise Conflict(f"{person.name if person else f'The group {group}'} was asked already.", request)
    told = {"people": [person.label] if person else [], "group": group}
    ledger.record(Action.REVIEWERS_NOMINATED, actor=by, request=request, data=told, rows=[made])
    return made
