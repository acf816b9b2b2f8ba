"""Freezes on the way to MLflow: what is approved waits, in its order and without counting as a failed try."""

import contextlib

from django.db import transaction
from django.db.models import F

from approvals import ledger, workflow
from approvals.delivery.settlement import Claim, ClaimLost
from approvals.models import Action, PromotionRequest
from approvals.policy.freezes import Freeze
from approvals.selectors import freezes
from approvals.workflow import outbox
from mirror import clock


class Held(Exception):
    """A freeze is on; nothing was moved."""

    def __init__(self, freeze: Freeze) -> None:
        super().__init__(freeze.window.name)
        self.freeze = freeze


def check(request: PromotionRequest) -> None:
    """Raises Held while a freeze is on for the request's model and target; none holds what is urgent."""
    if request.is_urgent:
        return
    if found := freezes.holding(request.version.model.name, request.target_id):
        raise Held(found)


@transaction.atomic
def hold(request: PromotionRequest, claim: Claim, freeze: Freeze) -> str:
    """Gives the entry back until the freeze ends; returns "held". One event for each window and its end."""
    with contextlib.suppress(ClaimLost):
        claim.give_back(
            available_at=freeze.until,
            held_until=freeze.until,
            held_by=freeze.window.name,
            attempts=F("attempts") - 1,
        )
        told = {"freeze": freeze.window.name, "freeze_id": freeze.window.id, "until": freeze.until.isoformat()}
        last = request.events.filter(action=Action.DELIVERY_HELD).order_by("-sequence").first()
        if last is None or last.data != told:
            approvers = workflow.approver_labels(request)
            ledger.record(Action.DELIVERY_HELD, actor=None, request=request, allowed_by=approvers, data=told)
    return "held"


def release_what_is_free() -> int:
    """Makes due what no freeze holds any more, or not until then: a window that was changed in the moment in which a
    worker put an entry aside would hold it for too long. Returns how many."""
    now, known = clock.now(), freezes.windows()
    rows = list(outbox.held().values_list("pk", "model_name", "target_id", "held_until"))
    scopes = {(name, target) for _, name, target, _ in rows}
    ends = {scope: freezes.holding(*scope, now=now, known=known) for scope in scopes}
    free = []
    for pk, name, target, until in rows:
        freeze = ends[name, target]
        if freeze is None or (until and freeze.until < until):
            free.append(pk)
    return outbox.release(free) if free else 0
