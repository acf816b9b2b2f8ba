"""What one more approval of a request does: the page says it, the click carries it, and the verb compares."""

from enum import StrEnum

from approvals import policy
from approvals.models import Status
from approvals.policy.freezes import Freeze
from approvals.selectors import freezes
from approvals.selectors.request_state import RequestState


class Effect(StrEnum):
    COUNTS = "counts"
    """Others have to approve as well."""

    WAITS = "waits"
    """It is the last one; a freeze holds the delivery."""

    DELIVERS = "delivers"
    """It is the last one, and the version is delivered."""


def of(now: RequestState, freeze: Freeze | None) -> Effect:
    """`freeze` is what holds deliveries of the request's model and target now. No query."""
    if policy.still_needed(now.states) != 1:
        return Effect.COUNTS
    return Effect.WAITS if freeze and not now.request.is_urgent else Effect.DELIVERS


def read(now: RequestState) -> Effect:
    """The same, where the freezes are not known. One query."""
    return of(now, freezes.holding(now.request.version.model.name, now.request.target_id))


def had(now: RequestState) -> Effect:
    """What an approval did that was just given, by how the request stands after it. One query."""
    if now.request.status == Status.PENDING:
        return Effect.COUNTS
    held = freezes.holding(now.request.version.model.name, now.request.target_id)
    return Effect.WAITS if held and not now.request.is_urgent else Effect.DELIVERS
