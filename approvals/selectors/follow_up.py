"""Queries for pages about what follows a promotion: emergency promotion that waits for its review, probation, the way
back."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet, Value
from django.utils import timezone

from accounts.models import User
from approvals import policy
from approvals.models import (
    Action,
    AuditEvent,
    OutboxEntry,
    Probation,
    PromotionRequest,
    RequestKind,
    Status,
    Target,
    Tenure,
)
from approvals.models.requests import RequestQuerySet
from approvals.selectors import request_state, reviewers, rollback_candidates
from mirror import composed
from mirror.models import ModelVersion, RegisteredModel

REPORTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Unreviewed:
    """Emergency promotions that no one has reviewed."""

    count: int
    overdue: int
    first: int | None
    """The request to look at, where there is only one."""

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def overdue_words(self) -> str:
        if self.overdue == self.count:
            return "it is overdue" if self.count == 1 else "all are overdue"
        return f"{self.overdue} {'is' if self.overdue == 1 else 'are'} overdue"


def owing() -> QuerySet[Any, Any]:
    """For `composed`: a one for each emergency promotion that no one has reviewed."""
    return PromotionRequest.objects.owing_review().order_by().values(one=Value(1))


def unreviewed() -> Unreviewed:
    """One query, and a second one where there are any."""
    late = Q(afterwards_due_at__lte=timezone.now())
    rows = list(PromotionRequest.objects.owing_review().order_by("afterwards_due_at").values_list("pk", flat=True)[:2])
    if not rows:
        return Unreviewed(0, 0, None)
    found = PromotionRequest.objects.owing_review().aggregate(all=Count("pk"), late=Count("pk", filter=late))
    return Unreviewed(found["all"], found["late"], rows[0] if len(rows) == 1 else None)


def broken_for(*, model: RegisteredModel | None = None, version_id: int | None = None) -> list[PromotionRequest]:
    """The emergency promotions of a model that wait for a review, or all of a version; the newest first. One query; of
    a model, a second one where there are any."""
    if version_id is not None:
        return composed.objects(_broken, version_id)
    owing = [number for number, of in composed.rows(_owing) if model is not None and of == model.pk]
    return list(_emergencies().owing_review().filter(pk__in=owing)[:5]) if owing else []


def _broken(version: int) -> RequestQuerySet:
    return _emergencies().filter(version=version)[:5]


def _emergencies() -> RequestQuerySet:
    found = PromotionRequest.objects.filter(kind=RequestKind.BREAK_GLASS).defer("evidence").order_by("-pk")
    return found.select_related("version__model", "target", "requester", "afterwards_by")


def _owing() -> QuerySet[Any, Any]:
    """Nobody has reviewed them yet: there are few."""
    return PromotionRequest.objects.owing_review().order_by().values_list("pk", "version__model")


def half_delivered(model: RegisteredModel) -> list[OutboxEntry]:
    """Deliveries of the model of which MLflow has done a part. One query; a second one where there are any."""
    halves = [number for number, name in composed.rows(_halves) if name == model.name]
    if not halves:
        return []
    found = OutboxEntry.objects.open().exclude(half=None).filter(pk__in=halves)
    return list(found.select_related("request__version", "target").defer("request__evidence").order_by("pk"))


def _halves() -> QuerySet[Any, Any]:
    """Of all models: there are few."""
    return OutboxEntry.objects.open().exclude(half=None).values_list("pk", "model_name")


def kinds(request_ids: Iterable[int]) -> dict[int, PromotionRequest]:
    """Of these requests, those that needed less than their approvals. One query."""
    return {request.pk: request for request in composed.objects(_kinds, tuple(request_ids))}


def _kinds(requests: tuple[int, ...]) -> QuerySet[PromotionRequest]:
    found = PromotionRequest.objects.filter(pk__in=requests).exclude(kind=RequestKind.PROMOTION)
    return found.select_related("requester").defer("evidence")


def probations(request_ids: Collection[int]) -> dict[int, Probation]:
    """The running ones of these requests. One query."""
    return {each.request_id: each for each in composed.objects(_running, tuple(request_ids))}


def _running(requests: tuple[int, ...]) -> QuerySet[Probation]:
    found: QuerySet[Probation] = Probation.objects.running().filter(request__in=requests)
    return found


def with_a_way_back(model_name: str, targets: Iterable[Target]) -> set[int]:
    """Ids of the targets that another version held before, or holds below the champion: there may be a way back. One
    query."""
    possible = [target.pk for target in targets if not rollback_candidates.cannot_go_back(target)]
    held = Tenure.objects.filter(model_name=model_name, target__in=possible)
    found = held.values("target_id").annotate(
        ended=Count("pk", filter=Q(ended_at__isnull=False)), versions=Count("version_number", distinct=True)
    )
    return {row["target_id"] for row in found if row["ended"] or row["versions"] > 1}


@dataclass(frozen=True, slots=True)
class ProbationState:
    """One probation for the request's page."""

    row: Probation
    may_confirm: policy.Answer
    reports: list[AuditEvent]
    total_reports: int
    share: int
    """Percent of its time that is over."""

    @property
    def is_running(self) -> bool:
        return self.row.closed_at is None

    @property
    def icon(self) -> str:
        icons = {"": "hourglass", "confirmed": "circle-check", "rolled_back": "arrow-back-up"}
        return icons.get(self.row.outcome, "alert-triangle")

    @property
    def colour(self) -> str:
        """`amber`, `green`, `red`, or "" for what was replaced meanwhile."""
        return {"": "amber", "confirmed": "green", "superseded": ""}.get(self.row.outcome, "red")

    @property
    def ending(self) -> str:
        """How it ended, in a sentence, where it was not confirmed."""
        match self.row.outcome:
            case "rolled_back":
                status = self.row.rollback.status if self.row.rollback else ""
                way = {"applied": "rolled back", "approved": "it is being rolled back"}
                return f"Did not pass its probation: {way.get(status, 'the rollback did not happen')}."
            case "stayed":
                return "Did not pass its probation, and stays: no earlier version to roll back to."
        return "Replaced before its probation ended."


def probation_of(request: PromotionRequest, user: User) -> ProbationState | None:
    """One query without a probation, three with one; none before the delivery, with which it begins."""
    if request.status != Status.APPLIED:
        return None
    row = Probation.objects.select_related("rollback", "closed_by").filter(request=request).first()
    if row is None:
        return None
    row.request = request
    facts = request_state.after_facts(request, user, on_probation=row.closed_at is None)
    told = request.events.filter(action=Action.HEALTH_REPORTED)
    return ProbationState(
        row,
        policy.may_confirm(reviewers.actor_of(user), facts),
        list(told.order_by("-sequence")[:REPORTS_SHOWN]),
        told.count(),
        _share(row, timezone.now()),
    )


def _share(row: Probation, now: datetime) -> int:
    whole = (row.ends_at - row.started_at).total_seconds()
    return 100 if whole <= 0 else max(0, min(100, round(100 * (now - row.started_at).total_seconds() / whole)))


@dataclass(frozen=True)
class FollowUp:
    """What the request's page says besides the request itself."""

    probation: ProbationState | None
    may_review_afterwards: policy.Answer | None
    """None where it was no emergency promotion."""

    offers_roll_back: bool
    """It was found not to be justified, and its version still holds the target."""


def of_request(request: PromotionRequest, user: User, holder: ModelVersion | None) -> FollowUp:
    """`holder` is what holds the target now; it matters for an emergency promotion only."""
    actor = reviewers.actor_of(user)
    is_broken = request.is_break_glass
    is_doubtful = is_broken and request.afterwards_verdict == "not_justified"
    still_holds = holder is not None and holder.pk == request.version_id
    return FollowUp(
        probation_of(request, user),
        policy.may_review_afterwards(actor, request_state.after_facts(request, user)) if is_broken else None,
        is_doubtful and still_holds and bool(policy.may_roll_back(actor)),
    )
