"""One request as the inbox and the review queue show it: what is better and worse, and whose turn it is."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from accounts.models import User
from approvals import policy
from approvals.evidence import comparison
from approvals.models import CheckResult, Outcome, Probation, PromotionRequest, Review, Status, Verdict
from approvals.models.requests import UNDECIDED
from approvals.selectors import metrics_of_record, nominations
from mirror import composed

NEAR_EXPIRY = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Checked:
    """How many live checks of a request failed, warned, and keep it from being asked."""

    failed: int = 0
    warned: int = 0
    blocking: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    request: PromotionRequest
    given: int
    needed: int
    own_verdict: str
    """What this person has said, in words; "" when nothing."""

    is_near_expiry: bool
    checks: Checked
    headline: comparison.MetricRow | None
    """The metric of record, the same one each time; without a champion where nothing is replaced."""

    tally: comparison.Tally
    """Of all metrics, beside the champion's; empty where nothing is replaced."""

    probation_until: datetime | None
    tells_missing: bool
    """Whether it says whose approval is missing, which is plain where all rows wait for the same person."""

    slot: str
    """The group whose approval this person can give, `any reviewer`, or ""."""

    is_addressed: bool = False
    """This person was asked by name, or with a group, and has not decided yet."""

    @property
    def reason(self) -> str:
        """The first line of why it was asked."""
        lines = str(self.request.reason).strip().splitlines()  # type: ignore[attr-defined]  # of `inbox.for_list`
        return lines[0] if lines else ""

    @property
    def shows_state(self) -> bool:
        """Where all rows wait for this person, "waiting for review" on each of them says nothing."""
        return self.tells_missing or self.request.status != Status.PENDING

    @property
    def shows_expiry(self) -> bool:
        return self.request.status in UNDECIDED

    @property
    def blocked_by(self) -> int:
        return self.checks.blocking if self.request.status == Status.CHECKING else 0

    @property
    def glass(self) -> str:
        """How an emergency promotion stands with its review."""
        if self.request.is_review_overdue:
            return "Emergency promotion: review overdue"
        return "Emergency promotion: not reviewed" if self.request.owes_review else "Emergency promotion"

    @property
    def progress(self) -> str:
        """`1 of 2 approvals`, or why there are none."""
        if self.request.is_break_glass:
            return "without approvals"
        if self.request.is_rollback and self.request.decided_at and not self.given:
            return "needed no approval"
        return f"{self.given} of {_counted(self.needed, 'approval')}"

    @property
    def facts(self) -> list[str]:
        """`blocked by 1 check`, `you: approve`, `waits for risk`, as far as they are so."""
        found = [f"blocked by {_counted(self.blocked_by, 'check')}"] if self.blocked_by else []
        if self.own_verdict:
            found.append(f"you: {self.own_verdict.lower()}")
        elif self.slot:
            found.append(f"your slot: {self.slot}")
        elif self.missing and self.tells_missing:
            found.append(f"waits for {self.missing}")
        return found

    @property
    def missing(self) -> str:
        """Whose approval is missing, while it is: `risk and any reviewer`."""
        return " and ".join(map(_slot_words, _waits_for(self.request)))


def _waits_for(request: PromotionRequest) -> list[str]:
    """Groups whose approval a pending request lacks; `*` is any reviewer."""
    return [group for group in request.waits_for.split("|") if group] if request.status == Status.PENDING else []


def _slot_words(group: str) -> str:
    return "any reviewer" if group == "*" else group


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def rows(
    requests: Sequence[PromotionRequest],
    user: User,
    *,
    now: datetime,
    can_decide: bool = False,
    tells_missing: bool = True,
) -> list[Row]:
    """Four queries, however many requests there are (of `inbox.for_list`). Approvals are counted; whether they fit
    their slots is on the page. `can_decide` says that all wait for this person, so that each row names their slot."""
    known = tuple(request.pk for request in requests)
    reviews = composed.objects(_reviews, known)
    given = Counter(request for request, verdict, _ in reviews if verdict == Verdict.APPROVE)
    own = {request: Verdict(verdict).label for request, verdict, person in reviews if person == user.pk}
    checked = _checked(known)
    provisional = dict(composed.objects(_probations, known))
    addressed = nominations.addressed(requests, user)
    found = []
    for request in requests:
        rule = policy.Rule.from_json(request.rule)
        metrics = metrics_of_record.rows_of(request.version, request.champion, rule.metrics)
        waits_for = _waits_for(request) if can_decide else []
        slot = next((group for group in [*user.group_names, "*"] if group in waits_for), "")
        row = Row(
            request,
            given=given[request.pk],
            needed=rule.approvals,
            own_verdict=own.get(request.pk, ""),
            is_near_expiry=request.status in UNDECIDED and request.expires_at - now < NEAR_EXPIRY,
            checks=checked.get(request.pk, Checked()),
            headline=comparison.of_record(metrics),
            tally=comparison.tally(metrics if request.champion else ()),
            probation_until=provisional.get(request.pk),
            tells_missing=tells_missing,
            slot=_slot_words(slot) if slot else "",
            is_addressed=request.pk in addressed and request.pk not in own and request.status == Status.PENDING,
        )
        found.append(row)
    return found


def _reviews(requests: tuple[int, ...]) -> QuerySet[Any, Any]:
    found = Review.objects.live().filter(request__in=requests)
    return found.values_list("request_id", "verdict", "reviewer_id")


def _probations(requests: tuple[int, ...]) -> QuerySet[Any, Any]:
    return Probation.objects.running().filter(request__in=requests).values_list("request_id", "ends_at")


def _not_passed(requests: tuple[int, ...]) -> QuerySet[Any, Any]:
    told = CheckResult.objects.live().filter(request__in=requests).exclude(outcome=Outcome.PASS).order_by()
    return told.values_list("request_id", "outcome", "effect", "overridden_at")


def _checked(requests: tuple[int, ...]) -> dict[int, Checked]:
    """By request, of those that have something else than passed checks."""
    found: dict[int, Checked] = defaultdict(Checked)
    for pk, outcome, effect, overridden_at in composed.objects(_not_passed, requests):
        failed, warned = (outcome == each and overridden_at is None for each in (Outcome.FAIL, Outcome.WARN))
        blocks, known = failed and effect == "block", found[pk]
        found[pk] = Checked(known.failed + failed, known.warned + warned, known.blocking + blocks)
    return found
