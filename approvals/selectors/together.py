"""What a person may approve in one go, as far as lists tell: the table that they confirm. The verb looks again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q

from accounts.models import User
from approvals.models import CheckResult, FreezeWindow, Outcome, PromotionRequest, RequestKind, Status, Target
from approvals.models.requests import RequestQuerySet
from approvals.policy import Rule
from approvals.selectors import batches, freezes, frozen_metrics, inbox, inbox_rows
from approvals.selectors.approval_effect import Effect


@dataclass(frozen=True, slots=True)
class Choice:
    """A target with the number of requests for it that may be approved together."""

    target: Target
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """One request of the table."""

    row: inbox_rows.Row
    effect: Effect
    """What this approval does, by the approvals that are given."""

    refusal: str = ""
    """Why it was not approved with the others, when that was tried."""

    @property
    def words(self) -> str:
        if self.effect == Effect.COUNTS:
            return f"approves, {self.row.given + 1} of {self.row.needed}"
        return "approves; delivered when the freeze ends" if self.effect == Effect.WAITS else "approves and delivers"


def possible() -> Q:
    """Promotions under a policy that allows it, all of whose checks passed."""
    unpassed = CheckResult.objects.live().filter(request=OuterRef("pk")).exclude(outcome=Outcome.PASS)
    return Q(~Exists(unpassed), kind=RequestKind.PROMOTION, status=Status.PENDING, rule__batch_approval=True)


def _possible(user: User, wanted: inbox.Wanted) -> RequestQuerySet:
    return inbox.narrowed(inbox.to_review(user), wanted).filter(possible())


def choices(user: User, wanted: inbox.Wanted) -> list[Choice]:
    """The targets, the one with most requests first. Two queries."""
    counted = _possible(user, wanted).order_by().values_list("target").annotate(Count("pk"))
    numbers = {target: number for target, number in counted if number >= batches.FEWEST}
    found = [Choice(target, numbers[target.pk]) for target in Target.objects.filter(pk__in=numbers).order_by("name")]
    return sorted(found, key=lambda each: -each.count)


def lines(user: User, wanted: inbox.Wanted, target: Target, *, now: datetime) -> list[Line]:
    """At most `batches.MOST`, of each model one. Nine queries, however many there are."""
    found = inbox.ordered(_possible(user, wanted).filter(target=target), wanted.sort)
    fitting: dict[int, PromotionRequest] = {}
    for request in inbox.for_list(found, evidence=True)[: 2 * batches.MOST]:
        if request.version.model_id not in fitting and _fits(request):
            fitting[request.version.model_id] = request
    return _lines(list(fitting.values())[: batches.MOST], user, now=now)


def _lines(requests: Sequence[PromotionRequest], user: User, *, now: datetime) -> list[Line]:
    windows = freezes.windows()
    return [
        Line(row, _effect(row, bool(_freeze(row.request, windows))))
        for row in inbox_rows.rows(requests, user, now=now, can_decide=True, tells_missing=False)
    ]


def _freeze(request: PromotionRequest, windows: Sequence[FreezeWindow]) -> object:
    return freezes.holding(request.version.model.name, request.target_id, known=windows)


def _effect(row: inbox_rows.Row, is_frozen: bool) -> Effect:
    if row.given + 1 < row.needed:
        return Effect.COUNTS
    return Effect.WAITS if is_frozen else Effect.DELIVERS


def _fits(request: PromotionRequest) -> bool:
    """Neither a comment nor a signature is asked for, and no metric is worse than the champion's."""
    rule = Rule.from_json(request.rule)
    if rule.requires_reason or rule.signature.reauthenticate or rule.signature.asks_meaning:
        return False
    metrics = frozen_metrics.rows_of(request) if request.champion_id else []
    return not any(row.judgement == "worse" or row.is_lost for row in metrics)
