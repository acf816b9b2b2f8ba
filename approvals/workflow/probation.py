"""Probation: a promotion that is provisional. Unless a person confirms it in time, or when a health report about it is
bad, the target goes back to the last approved holder by itself."""

import contextlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum, auto

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from accounts.models import User
from approvals import ledger, policy
from approvals.evidence import canonical
from approvals.models import Action, AuditEvent, Incident, Probation, PromotionRequest, RequestKind, Status
from approvals.models.requests import OPEN
from approvals.selectors import champions, eligibility, request_state, reviewers, rollback_candidates
from approvals.workflow import locks, outbox, rollbacks
from approvals.workflow.shared import Conflict, Invalid, move, require
from approvals.workflow.verbs import verb
from mirror import composed
from mirror.isolation import alone

O = Probation.Outcome  # noqa: E741
MOST_REPORTS = 1000
"""Health reports of one probation that are recorded; after that only a bad one is."""


# --- Beginning and end of a promotion ---------------------------------------------------------------------------------


def running_beside(request: PromotionRequest) -> list[Probation]:
    """What is on probation in the request's target, locked for the transaction. Every transaction locks such rows
    before it writes to the ledger, so that none waits for another in a circle."""
    # None begins beside the caller, who has locked the target.
    if not composed.objects(_any_beside, request.version.model_id, request.target_id, request.pk):
        return []
    running = _running_beside(request.version.model_id, request.target_id, request.pk)
    # Their requests first, as those who confirm, report or fall back do: the event of an end touches the row.
    _hold(PromotionRequest.objects.filter(pk__in=running.values("request")))
    return list(running.select_for_update(of=("self",)).order_by("pk"))


def _running_beside(model: int, target: int, request: int) -> QuerySet[Probation]:
    running = Probation.objects.running().filter(request__version__model=model, request__target=target)
    return running.exclude(request=request)


def _any_beside(model: int, target: int, request: int) -> QuerySet[Probation, int]:
    return _running_beside(model, target, request).values_list("pk", flat=True)[:1]


def _hold(requests: "QuerySet[PromotionRequest]") -> None:
    list(requests.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))


def settle(request: PromotionRequest, beside: Sequence[Probation]) -> None:
    """The request's version has reached its target: what is on probation there `beside` it is over, and the
    version begins its own where its rule says so. In the transaction of delivery's settlement."""
    # Anyone who replaces it by a rollback has judged it; anyone who promotes the next version has not.
    is_rollback = request.kind == RequestKind.ROLLBACK
    for other in beside:
        _close(
            other,
            O.ROLLED_BACK if is_rollback else O.SUPERSEDED,
            reason=request.justification if is_rollback else f"Request #{request.pk} replaced it.",
            by=request.requester if is_rollback else None,
            rollback=request if is_rollback else None,
        )
    hours = policy.Rule.from_json(request.rule).probation.hours
    if hours is None or request.kind not in (RequestKind.PROMOTION, RequestKind.BREAK_GLASS):
        return
    now = timezone.now()
    ends_at = now + timedelta(hours=hours)
    begun = Probation.objects.create(request=request, started_at=now, ends_at=ends_at, token=secrets.token_urlsafe(32))
    told = {"hours": hours, "ends_at": ends_at.isoformat()}
    ledger.record(Action.PROBATION_STARTED, actor=None, request=request, data=told, rows=[begun])


@verb()
def confirm_probation(request: PromotionRequest, *, by: User, comment: str) -> None:
    """A reviewer who did not ask for it confirms the promotion: it stays. Raises NotAllowed, Invalid (nothing was said)
    or Conflict (it ended in this very moment)."""
    running = Probation.objects.running().select_for_update(of=("self",)).filter(request=request).first()
    require(
        policy.may_confirm(
            reviewers.actor_of(by), request_state.after_facts(request, by, on_probation=running is not None)
        )
    )
    if not comment.strip():
        raise Invalid("Enter what the confirmation is based on; auditors read it.")
    # Due is over, although no worker has ended it yet: else a click could undo what the page calls ended.
    if running is None or running.ends_at <= timezone.now():
        raise Conflict("The probation is over; the target goes back to the last approved version.", request)
    if not _close(running, O.CONFIRMED, reason=comment.strip(), by=by):
        raise Conflict("Another person was faster. See the request as it is now.", request)


# --- Health reports ---------------------------------------------------------------------------------------------------


class Reported(Enum):
    """What became of a health report."""

    RECORDED = auto()
    SAME = auto()
    """The same message once more."""
    TOO_MANY = auto()
    OVER = auto()
    """The probation has ended."""


def report_health(
    probation: Probation, *, is_healthy: bool, reason: str, reported_by: str, message_id: str
) -> Reported:
    """Takes a report. A good one is recorded and confirms nothing; a bad one ends the probation at once, and should the
    worker die before that is done, `end_due_probations` does it."""
    became = _record_report(probation, is_healthy, reason, reported_by, message_id)
    if became == Reported.RECORDED and not is_healthy:
        with contextlib.suppress(Conflict):  # an open request for the same is being delivered; tried again soon
            fall_back(probation)
    return became


@transaction.atomic
def _record_report(probation: Probation, is_healthy: bool, reason: str, reported_by: str, message_id: str) -> Reported:
    request = locks.lock_request(probation.request)
    Probation.objects.select_for_update(of=("self",)).get(pk=probation.pk)
    # The sender may send a message once more; the ledger is where it is known again.
    reports = request.events.filter(action=Action.HEALTH_REPORTED)
    if reports.filter(payload__contains=canonical({"message_id": message_id})[1:-1]).exists():
        return Reported.SAME
    running = Probation.objects.running().filter(pk=probation.pk)
    if not running.exists():
        return Reported.OVER
    if is_healthy and reports.count() >= MOST_REPORTS:
        return Reported.TOO_MANY
    told = {"healthy": is_healthy, "reason": reason, "reported_by": reported_by, "message_id": message_id}
    if not is_healthy:
        # Kept on the row, so that the end follows from it no matter who carries it out.
        said = f"{reported_by} reported that it is not healthy" + (f": {reason}" if reason else ".")
        running.filter(reason="").update(ends_at=timezone.now(), reason=said)
    ledger.record(Action.HEALTH_REPORTED, actor=None, acting=reported_by, request=request, data=told, rows=[probation])
    return Reported.RECORDED


# --- Falling back -----------------------------------------------------------------------------------------------------


def end_due_probations() -> int:
    """Ends every probation that no one confirmed in time; returns how many. Safe to run twice at once."""
    due = Probation.objects.running().filter(ends_at__lte=timezone.now()).order_by("ends_at", "pk")
    ended = 0
    for probation in due.select_related("request"):
        with alone("probation.not_ended", probation=probation.pk), contextlib.suppress(Conflict):  # tried again later
            ended += fall_back(probation)
    for probation in _stranded():
        with alone("probation.not_ended", probation=probation.pk), contextlib.suppress(Conflict):
            _fall_back_again(probation)
    return ended


def _stranded() -> list[Probation]:
    """Whose roll back failed because a person had put another version there, and whose version came back since."""
    failed_at = AuditEvent.objects.filter(request=OuterRef("rollback"), action=Action.DELIVERY_FAILED)
    came_back = Incident.objects.filter(
        model_name=OuterRef("request__version__model__name"),
        target=OuterRef("request__target"),
        resolution__in=(Incident.Resolution.PUT_BACK, Incident.Resolution.UNDONE),
        resolved_at__gt=OuterRef("failed_at"),
    )
    found = Probation.objects.filter(outcome=O.ROLLED_BACK, rollback__status=Status.FAILED)
    found = found.annotate(failed_at=Subquery(failed_at.order_by("-sequence").values("at")[:1]))
    return list(found.filter(Exists(came_back)).select_related("request__version__model", "request__target"))


@transaction.atomic
def _fall_back_again(probation: Probation) -> None:
    """Once for each time that the version came back: what fails for another reason waits for a person."""
    if probation.rollback is None:
        return
    champion = champions.champion_of(probation.request.version.model, probation.request.target)
    rollback = locks.lock_request(probation.rollback)
    if champion is None or champion.pk != probation.request.version_id or rollback.status != Status.FAILED:
        return
    # What a person wanted back is theirs to retry.
    if not rollback.requester.is_countersign:
        return
    move(rollback, Status.APPROVED, status_reason="", decided_at=F("decided_at"))
    entry = outbox.enqueue(rollback)
    allowed = rollbacks.allowed_alone(rollback)
    ledger.record(Action.DELIVERY_RETRIED, actor=None, request=rollback, allowed_by=allowed, rows=[entry])


@transaction.atomic
def fall_back(probation: Probation) -> bool:
    """Ends a probation that is due: the target goes back to the last approved holder. False when a person ended it
    before, or while it is open whether the version comes back. Everything or nothing: killed in the middle, it is due
    again."""
    ended = probation.request  # what a rollback may have to make way for is locked first, as a settlement does
    locks.lock_targets([ended.target_id])
    _hold(PromotionRequest.objects.open().filter(version__model=ended.version.model_id, target=ended.target_id))
    request = locks.lock_request(ended)
    probation = Probation.objects.select_for_update(of=("self",)).get(pk=probation.pk)
    if probation.closed_at or probation.ends_at > timezone.now():
        return False
    reason = probation.reason or "It was not confirmed in time."
    target, model = request.target, request.version.model
    holders = champions.holders(model, target)
    champion = next(iter(holders), None)
    if champion is None or champion.pk != request.version_id:
        if _may_come_back(request):
            return False  # due again with the next call: what is put back must not stay unconfirmed
        holds = f"Version {champion.number} holds" if champion else "Nothing holds"
        return _close(probation, O.SUPERSEDED, reason=f"{reason} {holds} {target.name} by now.")
    chosen = rollback_candidates.first(
        [each for each in rollback_candidates.earlier(model, target, holders) if each.was_approved]
    )
    if chosen is None or chosen.version is None:
        why = rollback_candidates.cannot_go_back(target) or "There is no approved earlier version to go back to."
        return _close(probation, O.STAYED, reason=f"{reason} {why}")
    asked = eligibility.candidate(chosen.version, target, holders=holders)
    # It is on its way back already: one roll back is enough.
    existing = asked.open_request
    if existing is not None and existing.kind == RequestKind.ROLLBACK and existing.decided_at and existing.is_open:
        return _close(probation, O.ROLLED_BACK, reason=reason, rollback=existing)
    by = User.objects.countersign()
    rollback = rollbacks.make_rollback(
        asked,
        before=chosen.tenure.request,
        by=by,
        reason=f"Probation of request #{request.pk}: {reason}",
        allowed_by=[rollbacks.because_of(probation)],
    )
    return _close(probation, O.ROLLED_BACK, reason=reason, rollback=rollback)


def _may_come_back(request: PromotionRequest) -> bool:
    """Whether the request's version was taken out of its target outside Countersign and is to be put back, or will be
    if reviewers refuse what holds the target now."""
    found = Incident.objects.open().filter(model_name=request.version.model.name, target_id=request.target_id)
    may_be = found.filter(Q(is_owed=True) | Q(request__status__in=OPEN, response=Incident.Response.REVIEW))
    return any(request.version.number in incident.approved for incident in may_be)


def _close(
    probation: Probation,
    outcome: Probation.Outcome,
    *,
    reason: str,
    by: User | None = None,
    rollback: PromotionRequest | None = None,
) -> bool:
    """One conditional UPDATE, whose row count tells who ended it; and the event."""
    won = (
        Probation.objects.running()
        .filter(pk=probation.pk)
        .update(closed_at=timezone.now(), outcome=outcome, reason=reason, closed_by=by, rollback=rollback)
    )
    if won:
        told = {"outcome": str(outcome), "reason": reason, "rollback": rollback.pk if rollback else None}
        ledger.record(Action.PROBATION_ENDED, actor=by, request=probation.request, data=told, rows=[probation])
    return bool(won)
