"""What may be done without the usual approvals, or after them: roll back, emergency promotion, its review,
probation."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from approvals.policy.actions import NOBODY_ANSWERS, YES, Actor, Answer, no
from approvals.policy.rules import BreakGlassRule, ProbationRule, Rule, SlotRule

SHORTEST_REASON = 20
"""Characters that an emergency promotion asks for."""


def rollback_rule(rule: Rule, *, files_limit_mb: int | None) -> Rule:
    """What rolling back asks for, where `rule` is for promotions: its own slot and no checks. `files_limit_mb` is the
    one under which the version was approved, so that its files are held against what was read then."""
    slot = SlotRule(rule.rollback.approvals, rule.rollback.group)
    why = f"{rule.why} A rollback needs {slot.sentence}.".strip()
    return replace(rule, slots=(slot,), checks=(), probation=ProbationRule(), files_limit_mb=files_limit_mb, why=why)


def may_roll_back(actor: Actor) -> Answer:
    """Whether the person may do it, or ask for it."""
    if not actor.is_answered_for:
        return no("owner_missing", NOBODY_ANSWERS)
    if actor.may("approvals.roll_back") or actor.may("approvals.request_promotion"):
        return YES
    return no("role_required", "Requesters can request a rollback; reviewers and responders can roll back.")


def may_roll_back_alone(actor: Actor, rule: Rule, *, was_approved: bool) -> Answer:
    """Whether no one else need approve. `was_approved`: the version held the target through Countersign before."""
    if not actor.may("approvals.roll_back") or actor.is_service_account:
        return no("role_required", "Without the permission to roll back, another person must approve it.")
    if not rule.rollback.permission_suffices:
        return no("approval_required", "The policy requires an approval of every rollback.")
    if not was_approved:
        return no(
            "never_approved",
            "That version was there before Countersign and was never approved here, so another person must "
            "approve it now.",
        )
    return YES


def may_break_glass(actor: Actor, rule: BreakGlassRule) -> Answer:
    if not actor.may("approvals.break_glass") or actor.is_service_account:
        return no("role_required", "An emergency promotion requires the responder role.")
    if not rule.is_allowed:
        return no("not_in_policy", "The policy does not allow emergency promotions.")
    return YES


@dataclass(frozen=True, slots=True)
class AfterFacts:
    """What the answers below depend on, besides the actor."""

    asked_by: Collection[int]
    """Ids of those who count as the requester."""

    is_break_glass: bool = False
    is_reviewed: bool = False
    on_probation: bool = False
    unanswered: str = ""
    """Why no one can be told from the requester, as a sentence; "" when they can."""

    contributes: str = ""
    """How the actor contributed to the version, where the rule excludes contributors; else ""."""


def may_review_afterwards(actor: Actor, facts: AfterFacts) -> Answer:
    if not facts.is_break_glass:
        return no("not_emergency", "Only an emergency promotion is reviewed afterwards.")
    if facts.is_reviewed:
        return no("already_reviewed", "It is already reviewed.")
    if actor.id in facts.asked_by:
        return no("self_approval", "You promoted it, so another person must review it.")
    return _may_sign(actor, facts, "Only reviewers can review an emergency promotion.")


def may_confirm(actor: Actor, facts: AfterFacts) -> Answer:
    if not facts.on_probation:
        return no("not_on_probation", "It is not on probation.")
    if actor.id in facts.asked_by:
        return no("self_approval", "You requested this promotion, so another person must confirm it.")
    return _may_sign(actor, facts, "Only reviewers can confirm a promotion on probation.")


def _may_sign(actor: Actor, facts: AfterFacts, refusal: str) -> Answer:
    if not actor.may("approvals.review_promotion") or actor.is_service_account:
        return no("role_required", refusal)
    if facts.unanswered:
        return no("owner_missing", facts.unanswered)
    if facts.contributes:
        return no("contributor", f"You {facts.contributes}, so another person must do it.")
    return YES
