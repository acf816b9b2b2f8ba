"""Rehearsal: the last requests under a draft of a policy, before it is switched on. Reads; stores nothing.

Evidence and reviews are those of then; who may review and who is in which group is as of now, since nothing else is
known. External checks cannot be asked about the past and are left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from approvals import checks, policy
from approvals.models import PromotionRequest, Review, Status, Target, Verdict
from approvals.policy import CheckRule, Effect, MetricRule, Reviewer, Rule
from approvals.selectors import metrics_of_record, reviewers

USUAL, MOST = 50, 500
LOOKED_AT = 5000
"""So many of a target's newest requests are searched for models that the pattern fits."""


class Outcome(StrEnum):
    IMPOSSIBLE = "impossible"
    BLOCKED = "blocked"
    DELAYED = "delayed"
    SAME = "same"


ORDER = tuple(Outcome)


@dataclass(frozen=True, slots=True)
class Replay:
    request: PromotionRequest
    outcome: Outcome
    reasons: tuple[str, ...]
    """Sentences; none when it would have gone as it did."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    replays: list[Replay]
    """What would have gone otherwise first, the newest first among equals."""

    left_out: tuple[str, ...]
    """Titles of external checks, which are not replayed."""

    def count(self, outcome: Outcome) -> int:
        return sum(replay.outcome == outcome for replay in self.replays)

    @property
    def same(self) -> list[Replay]:
        return [replay for replay in self.replays if replay.outcome == Outcome.SAME]

    @property
    def totals(self) -> list[tuple[Outcome, int]]:
        return [(outcome, self.count(outcome)) for outcome in ORDER]


def of(draft: Rule, target: Target, *, last: int = USUAL) -> Rehearsal:
    """The last requests (at most `MOST`) of the target whose model fits the draft. A fixed number of queries."""
    eligible = reviewers.eligible()
    own = metrics_of_record.load().own
    replays = [judge(draft, request, eligible, own) for request in _past(draft, target, min(last, MOST))]
    replays.sort(key=lambda replay: ORDER.index(replay.outcome))  # stable: the newest stays first
    external = tuple(checks.title(each.kind, each.settings) for each in draft.checks if each.kind == "external")
    return Rehearsal(replays, external)


def _past(draft: Rule, target: Target, last: int) -> list[PromotionRequest]:
    names = PromotionRequest.objects.filter(target=target).order_by("-pk").values_list("pk", "version__model__name")
    fitting = [pk for pk, name in names[:LOOKED_AT] if policy.matches(draft.model_pattern, name)][:last]
    found = PromotionRequest.objects.with_subject().filter(pk__in=fitting).order_by("-pk")
    return list(found.prefetch_related("reviews__reviewer__groups"))


def judge(
    draft: Rule, request: PromotionRequest, eligible: Sequence[Reviewer], own: Mapping[str, tuple[MetricRule, ...]]
) -> Replay:
    """One request under the draft. `eligible` are those who may review now, `own` the metrics of record that models
    bring themselves, by name."""
    name = request.version.model.name
    draft = replace(draft, metrics=policy.merged_metrics(draft.metrics, own.get(name, ())))
    evidence = json.loads(request.evidence)
    given = [each for each in request.reviews.all() if each.verdict == Verdict.APPROVE and each.voided_at is None]
    given.sort(key=lambda review: (review.created_at, review.pk))
    people = _with_signers(eligible, given)
    named = _contributors(draft, evidence)
    excluded = policy.excluded(draft, asked_by=request.asked_by, named=named, people=people)
    if shortage := policy.shortage(draft, eligible=people, excluded=excluded):
        return Replay(request, Outcome.IMPOSSIBLE, (f"As of now: {shortage}",))
    if failed := _failed(draft.checks, {**evidence, "rule": draft.as_json()}, request):
        return Replay(request, Outcome.BLOCKED, failed)
    was_approved = request.status in (Status.APPROVED, Status.APPLIED, Status.FAILED)
    if was_approved and (missing := _missing(draft, given, people, excluded)):
        return Replay(request, Outcome.DELAYED, missing)
    return Replay(request, Outcome.SAME, ())


def _contributors(draft: Rule, evidence: dict[str, Any]) -> list[str]:
    """Those whom the evidence names, and whom the tags name that the draft would ask for. Only the version's
    watched tags were frozen; what a tag of the run said is not known any more."""
    facts = evidence["version"]
    tagged = [name.strip() for tag in draft.contributor_tags for name in facts.get("tags", {}).get(tag, "").split(",")]
    return [*facts.get("contributors", ()), *filter(None, tagged)]


def _with_signers(eligible: Sequence[Reviewer], given: Sequence[Review]) -> list[Reviewer]:
    """Those who may review now, and those who signed then: they could at the time."""
    known = {person.id for person in eligible}
    others = {
        review.reviewer_id: Reviewer(
            review.reviewer_id,
            review.reviewer.label,
            frozenset(group.name for group in review.reviewer.groups.all()),
            names=review.reviewer.known_as,
        )
        for review in given
        if review.reviewer_id not in known and not review.reviewer.is_service_account
    }
    return [*eligible, *others.values()]


def _failed(rules: Sequence[CheckRule], evidence: dict[str, Any], request: PromotionRequest) -> tuple[str, ...]:
    """What would have blocked it on the day on which it was asked."""
    blocking = [each for each in rules if each.effect == Effect.BLOCK and each.kind != "external"]
    results = checks.run(blocking, evidence, today=request.created_at.date())
    return tuple(f"{result.title}: {result.reason}" for result in results if result.outcome == "fail")


def _missing(
    draft: Rule, given: Sequence[Review], people: Sequence[Reviewer], excluded: frozenset[int]
) -> tuple[str, ...]:
    """What was missing when it was approved, and whose approval would not have counted and why; () when nothing was."""
    by_id = {person.id: person for person in people}
    silent = {review.reviewer_id for review in given if draft.requires_reason and not review.comment.strip()}
    counted = [
        replace(by_id[review.reviewer_id], changed=frozenset())
        for review in given
        if review.reviewer_id in by_id and review.reviewer_id not in silent
    ]
    states = policy.slot_states(draft, approvers=counted, eligible=people, excluded=excluded)
    if policy.is_met(states):
        return ()
    needed = [
        f"{state.missing} more approval{'' if state.missing == 1 else 's'} from {state.slot.group or 'any reviewer'}"
        for state in states
        if not state.is_filled
    ]
    filled = {person.id for state in states for person in state.filled_by}
    return (
        f"It would have waited for {' and '.join(needed)}.",
        *(
            f"The approval of {review.reviewer.name} would not have counted: "
            f"{_why_not(review, draft, by_id, excluded, silent)}."
            for review in given
            if review.reviewer_id not in filled
        ),
    )


def _why_not(
    review: Review, draft: Rule, by_id: dict[int, Reviewer], excluded: frozenset[int], silent: set[int]
) -> str:
    person = by_id.get(review.reviewer_id)
    if person is None:
        return "it is a service account"
    if review.reviewer_id in silent:
        return "it has no comment"
    if review.reviewer_id in excluded:
        return "they contributed to the version"
    if not any(person.fits(slot) for slot in draft.slots):
        return "they are in none of the required groups"
    return "other approvals already count"
