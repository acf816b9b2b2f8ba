"""Pays what the outbox owes to MLflow; nothing else of the product writes there.

    claim → freeze? → look → check → annotate → move → read back → settle

Annotate comes before move, so no version is ever in its target without its approvers named. Every step is idempotent by
value, so a worker killed between any two of them is resumed by the next drain with the same end state. The steps are in
`attempt`, the note and tags in `annotation`, our own side of the books in `settlement`.
Called by `approvals.tasks` (and by tests) with a registry.
"""

from collections.abc import Callable
from datetime import datetime

import structlog
from django.db.models import QuerySet

from approvals.delivery import freezing, halfway
from approvals.delivery.attempt import Attempt, Stop
from approvals.delivery.freezing import Held
from approvals.delivery.settlement import Claim, ClaimLost
from approvals.ledger import cut
from approvals.models import OutboxEntry, PromotionRequest
from approvals.workflow import locks, outbox
from mirror import clock, composed, tracing
from mirror.isolation import alone
from mirror.port import Outdated, Registry, RegistryError

logger = structlog.get_logger(__name__)

LOOKS = 3
"""Times that an attempt looks at MLflow when its gate finds that a person was faster."""


def deliver(entry_id: int, registry: Registry) -> str:
    """Delivers one outbox entry; returns what happened: "applied", "failed", "reopened" (what was approved is not
    what is there; it is back in review), "held" (by a freeze, until it ends), "waiting" (it is due again later, because
    MLflow did not answer, does not let Countersign do it, or did half of it) or
    "skipped" (not due, closed, or held by another worker).

    Never raises for a RegistryError. Any other error is raised after the entry was released, so that it is tried again.
    """
    claim = Claim.of(entry_id)
    if claim is None:
        return "skipped"
    request = locks.read_request(claim.entry.request_id)
    about = {"request": request.pk, "correlation_id": str(request.correlation_id)}
    with tracing.span("delivery", parent=claim.entry.traceparent, **about):
        outcome = _attempt(request, claim, registry)
        tracing.note(outcome=outcome)
    logger.info(
        "delivery",
        **about,
        entry=entry_id,
        attempt=claim.entry.attempts,
        outcome=outcome,
    )
    # It is closed: what waited behind it, for the same model and target, is due now.
    if outcome in OutboxEntry.Outcome.values:
        outbox.hint_next_delivery(claim.entry)
    return outcome


def _attempt(request: PromotionRequest, claim: Claim, registry: Registry) -> str:
    attempt = Attempt(request, claim, registry)
    try:
        if claim.entry.plan is None:  # nothing was begun: neither read nor write
            freezing.check(request)
        # A ledger that was cut off does not know what else was approved, so nothing is written until a person says so.
        cut.check(registry)
        return _run(attempt)
    except ClaimLost:
        return "skipped"
    except Held as held:
        return freezing.hold(request, claim, held.freeze)
    except cut.CutOff as error:
        return claim.release(error.message)
    except Exception as error:
        claim.release(f"Delivery met an error of its own ({type(error).__name__}); the worker's log has the details.")
        raise


def _run(attempt: Attempt) -> str:
    """Raises ClaimLost; what MLflow says ends the attempt, one way or the other."""
    half = halfway.Halfway(attempt)
    try:
        for look in range(1, LOOKS):
            try:
                return _step(attempt, half, is_again=look > 1)
            except Outdated as error:
                logger.info("delivery.outdated", request=attempt.request.pk, error=error.message)
        return _step(attempt, half, is_again=True)
    except Stop as stop:
        return attempt.stop(stop)
    except RegistryError as error:
        return half.rest(error) if attempt.is_halfway(error) else attempt.interrupt(error)


def _step(attempt: Attempt, half: halfway.Halfway, *, is_again: bool) -> str:
    view, plan = attempt.begin(is_again=is_again)
    if attempt.claim.entry.ending:  # a person has said how the partial delivery ends
        return half.end(view, plan)
    return attempt.run(view, plan)


def drain(
    registry: Registry, *, first: int | None = None, limit: int = 500, is_over: Callable[[], bool] = lambda: False
) -> int:
    """Delivers `first`, and then what is due, the urgent and the oldest before the others, until nothing is, `limit` is
    reached or it `is_over`; returns how many were looked at. What raises is logged and keeps no one waiting.

    This is what finds the rows whose hint was lost: with the broker, or with a killed worker.
    """
    if first is not None:
        _deliver_alone(first, registry)
    with alone("delivery.freezes_not_read"):
        freezing.release_what_is_free()
    with alone("delivery.half_not_resumed"):
        halfway.resume_what_failed()
    for done in range(limit):
        due = composed.objects(_due, clock.now())
        if not due or is_over():
            return done
        _deliver_alone(due[0], registry)
    return limit


def _due(now: datetime) -> QuerySet[OutboxEntry, int]:
    return OutboxEntry.objects.due(now).order_by("-is_urgent", "pk").values_list("pk", flat=True)[:1]


def _deliver_alone(entry_id: int, registry: Registry) -> None:
    with alone("delivery.error", entry=entry_id):  # it is released already, and due again later
        deliver(entry_id, registry)
