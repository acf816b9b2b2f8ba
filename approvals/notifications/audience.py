"""Who takes part in a request, for whom it waits, and what need not be said any more. Reads the database as it is."""

from collections.abc import Collection

from accounts.models import User
from approvals.models import AuditEvent, Kind, PromotionRequest, Status, Verdict
from approvals.models.requests import UNDECIDED
from approvals.selectors import request_state


def waited_for(request: PromotionRequest, now: request_state.RequestState | None = None) -> frozenset[int]:
    """Ids of those who can move the request on: who may give a missing approval, or its requester when it came
    back to them."""
    if request.status == Status.PENDING:
        now = now or request_state.of(request)
        return frozenset(person.id for state in now.states if not state.is_filled for person in state.candidates)
    is_blocked = request.status == Status.CHECKING and request.checks.blocking().exists()
    if is_blocked or request.status in (Status.CHANGES_REQUESTED, Status.FAILED):
        return request.asked_by
    return frozenset()


def reviewers_of(request: PromotionRequest) -> set[int]:
    """Ids of everyone who ever reviewed it."""
    return set(request.reviews.values_list("reviewer_id", flat=True))


def voided_by(event: AuditEvent, request: PromotionRequest) -> set[int]:
    """Ids of those whose approvals the event calls void."""
    people = [review.reviewer for review in request.reviews.select_related("reviewer")]
    ids, labels = event.people("voided"), event.data.get("voided", ())  # labels: from before there were tokens
    return {person.pk for person in people if person.pk in ids or person.label in labels}


def approvers_of(request: PromotionRequest) -> set[int]:
    """Ids of those whose approvals count now."""
    return set(request.reviews.live().filter(verdict=Verdict.APPROVE).values_list("reviewer_id", flat=True))


def watchers_of(request: PromotionRequest) -> set[int]:
    """Ids of everyone who could have approved it, and of the administrators."""
    now = request_state.of(request)
    could = {person.id for person in now.eligible if any(person.fits(slot) for slot in now.rule.slots)}
    return (could - now.excluded) | holding("approvals.manage_policies")


def holding(permission: str) -> set[int]:
    """Ids of the active people who have this permission."""
    return set(User.objects.holding(permission).values_list("pk", flat=True))


def needed(now: request_state.RequestState) -> str:
    """`2 approvals from risk and 1 approval`: what is missing."""
    return " and ".join(state.slot.sentence for state in now.states if not state.is_filled)


def is_moot(kind: Kind, request: PromotionRequest, person_id: int | None, waiting: Collection[int]) -> bool:
    """Whether it need not be said any more: no one is asked for what another person has given. `waiting` is what
    `waited_for` says now; a `person_id` of None is a chat."""
    match kind:
        case Kind.WAITS | Kind.ASKED if person_id:
            return person_id not in waiting
        case Kind.WAITS | Kind.ASKED | Kind.ESCALATED:
            return request.status != Status.PENDING
        case Kind.REMINDER:
            return person_id not in waiting and not (person_id in request.asked_by and request.status in UNDECIDED)
        case Kind.BLOCKED if person_id:
            return request.status != Status.CHECKING or person_id not in waiting
        case Kind.BLOCKED:
            return request.status != Status.CHECKING
        case _:
            return False
