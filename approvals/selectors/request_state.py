"""Reads how things stand from the database and hands it to `policy`: which rule, who is eligible, who did what."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from approvals import evidence, policy
from approvals.models import CheckResult, Outcome, PromotionRequest, Review, Status, Verdict
from approvals.models.requests import UNDECIDED, RequestKind
from approvals.selectors import eligibility, frozen_evidence, reviewers
from mirror import composed


@dataclass(frozen=True, slots=True)
class RequestState:
    request: PromotionRequest
    rule: policy.Rule
    states: list[policy.SlotState]
    reviews: list[Review]
    """All of them, the voided ones too, oldest first."""
    actions: dict[str, policy.Answer]
    shortage: str
    eligible: Sequence[policy.Reviewer]
    """Everyone who may review at all."""

    excluded: frozenset[int]
    """Who cannot approve: the requester, and contributors where the rule excludes them."""

    checks: list[CheckResult]
    """The results that stand now, in the rule's order."""

    stale: str
    """A sentence when what is asked is out of date: the champion or the version's facts have changed since."""

    unanswered: str = ""
    """A sentence when no one can approve, because no one answers for the service account that asked."""

    @property
    def approvals_given(self) -> int:
        return sum(len(state.filled_by) for state in self.states)

    @property
    def needed_none(self) -> bool:
        """A rollback that went ahead without another's approval."""
        return self.request.is_rollback and self.request.decided_at is not None and not self.approvals_given

    @property
    def blocking(self) -> list[CheckResult]:
        return [check for check in self.checks if check.blocks]

    @property
    def checks_tally(self) -> str:
        """`3 passed, 1 failed`; "" without checks."""
        found = [Outcome(check.outcome) for check in self.checks]
        words = {each: each.label.lower() for each in Outcome}
        if not self.request.is_open:
            words[Outcome.WAITING] = "not answered"
        return ", ".join(f"{found.count(each)} {word}" for each, word in words.items() if each in found)

    @property
    def counted(self) -> set[int]:
        """Ids of those whose approval can fill a slot."""
        return {person.id for state in self.states for person in state.filled_by}


def of(request: PromotionRequest, user: User | None = None, *, before: RequestState | None = None) -> RequestState:
    """How the request stands, for this person (None: for no one in particular). `before` is how it stood earlier in the
    same transaction: who may review, and whether what is asked is out of date, is taken from there."""
    eligible = before.eligible if before else reviewers.eligible()
    rule = policy.Rule.from_json(request.rule)
    reviews = _known(request, composed.objects(_reviews, request.pk))
    live = [review for review in reviews if review.voided_at is None]
    # A decision that is taken stands, whatever is found out about people afterwards.
    named = [] if request.decided_at else _contributors(request)
    excluded = policy.excluded(rule, asked_by=request.asked_by, named=named, people=eligible)
    counted = _approvers(request, live, eligible)
    states = policy.slot_states(rule, approvers=counted, eligible=eligible, excluded=excluded)
    checks = _known(request, composed.objects(_checks, request.pk))
    stale = before.stale if before else ""
    if before is None and request.status == Status.PENDING and (changed := frozen_evidence.changes(request)):
        stale = f"This changed in MLflow since the request: {frozen_evidence.listed(changed)}."
    me = next((person for person in eligible if user and person.id == user.pk), None)
    entry = request.outbox_entries.open().first() if request.status == Status.APPROVED else None
    waits = "half" if entry and entry.half else "waiting" if entry and entry.waiting_since else ""
    facts = policy.RequestFacts(
        delivery=waits,
        status=request.status,
        status_label=request.get_status_display(),
        asked_by=request.asked_by,
        states=states,
        is_overdue=request.is_overdue(timezone.now()),
        own_verdict=next((r.get_verdict_display() for r in live if user and r.reviewer_id == user.pk), ""),
        own_groups=me.groups if me else frozenset(),
        stale=stale,
        kind=request.kind,
        contributes=_contributes(request, rule, user),
        blocked_by=[check.title for check in checks if check.blocks],
        unanswered=_unanswered(request),
        gone=eligibility.gone(request.version) if request.status == Status.PENDING else "",
        vacates=eligibility.would_vacate(request.version, request.target) if request.status == Status.PENDING else "",
    )
    actor = reviewers.actor_of(user) if user else policy.Actor(0, frozenset())
    people = [*eligible, *(person for person in counted if all(person.id != other.id for other in eligible))]
    shortage = policy.shortage(rule, eligible=people, excluded=excluded) if request.status in UNDECIDED else ""
    actions = policy.available_actions(actor, facts)
    return RequestState(
        request, rule, states, reviews, actions, shortage, eligible, excluded, checks, stale, facts.unanswered
    )


def _known(request: PromotionRequest, rows: list[Any]) -> list[Any]:
    for row in rows:
        row.request = request
    return rows


def _reviews(request: int) -> QuerySet[Review]:
    found = Review.objects.filter(request=request).select_related("reviewer")
    return found.prefetch_related("reviewer__groups", "findings__owner").order_by("created_at", "pk")


def _checks(request: int) -> QuerySet[CheckResult]:
    found: QuerySet[CheckResult] = CheckResult.objects.live().filter(request=request)
    return found.select_related("overridden_by").order_by("position", "pk")


def _approvers(
    request: PromotionRequest, live: Sequence[Review], eligible: Sequence[policy.Reviewer]
) -> list[policy.Reviewer]:
    """Who approved, as eligible now. An approval of a person who no longer may review does not count towards a decision
    that is still open; one that is taken stands as it was signed."""
    by_id = {person.id: person for person in eligible}
    found = []
    for review in live:
        if review.verdict != Verdict.APPROVE:
            continue
        person = by_id.get(review.reviewer_id)
        if person is None and request.decided_at is not None:
            groups = frozenset(group.name for group in review.reviewer.groups.all())
            person = policy.Reviewer(review.reviewer_id, review.reviewer.label, groups)
        if person is not None:
            found.append(replace(person, changed=evidence.changed_parts(review.parts, request.parts)))
    return found


def _unanswered(request: PromotionRequest) -> str:
    if request.requester.is_answered_for or request.owner_id is not None:
        return ""
    return (
        f"The service account {request.requester.name} has no owner, so reviewers cannot be separated from the "
        "requester. An administrator can set an owner under People."
    )


def _contributors(request: PromotionRequest) -> list[str]:
    return list(json.loads(request.evidence)["version"].get("contributors", ()))


def _contributes(request: PromotionRequest, rule: policy.Rule, user: User | None) -> str:
    if user is None or not rule.excludes_contributors:
        return ""
    names = [name for name in _contributors(request) if name.lower() in user.known_as]
    return f"contributed to this version ({names[0]} in MLflow)" if names else ""


def after_facts(request: PromotionRequest, user: User, *, on_probation: bool = False) -> policy.AfterFacts:
    """What `policy` asks about a review afterwards and about confirming a promotion on probation."""
    return policy.AfterFacts(
        asked_by=request.asked_by,
        unanswered=_unanswered(request),
        is_break_glass=request.kind == RequestKind.BREAK_GLASS,
        is_reviewed=request.afterwards_at is not None,
        on_probation=on_probation,
        contributes=_contributes(request, policy.Rule.from_json(request.rule), user),
    )
