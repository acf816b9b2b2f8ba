"""Rolling back: a target goes to a version that held it before, under a rule of its own."""

from collections.abc import Sequence
from dataclasses import replace

from accounts.models import User
from approvals import ledger, policy
from approvals.models import Action, Probation, PromotionRequest, RequestKind, Status, Target
from approvals.selectors import champions, eligibility, reviewers, rollback_candidates
from approvals.selectors.eligibility import Candidate
from approvals.selectors.rollback_candidates import Earlier
from approvals.workflow import creation, outbox
from approvals.workflow.shared import Conflict, Invalid, require
from approvals.workflow.verbs import verb
from mirror.models import ModelVersion, RegisteredModel


@verb()
def roll_back(
    model: RegisteredModel, target: Target, *, by: User, reason: str, to: int | None = None, leaving: int | None = None
) -> PromotionRequest:
    """Takes the target back to version `to`, by default the last approved holder before the one of now. Who may roll
    back alone has it approved and on its way at once; others ask for it, and it is checked and reviewed.

    `leaving` is the holder that the person saw: with another one by now nothing is done. Raises NotAllowed, Invalid (no
    reason, or no version to go back to) or Conflict (the holder is another, or a person was faster).
    """
    require(policy.may_roll_back(reviewers.actor_of(by)))
    reason = reason.strip()
    if not reason:
        raise Invalid("Enter a reason; reviewers and auditors read it.", code="reason_required")
    holders = champions.holders(model, target)
    _check_holder(target, holders, leaving)
    chosen = _chosen(model, target, holders, to)
    if chosen.version is None:
        raise Invalid(chosen.problem)
    asked = eligibility.candidate(chosen.version, target, holders=holders)
    alone = policy.may_roll_back_alone(reviewers.actor_of(by), asked.rule, was_approved=chosen.was_approved)
    allowed_by = [by.label] if alone else []
    return make_rollback(asked, before=chosen.tenure.request, by=by, reason=reason, allowed_by=allowed_by)


def make_rollback(
    asked: Candidate, *, before: PromotionRequest | None, by: User, reason: str, allowed_by: Sequence[str]
) -> PromotionRequest:
    """The request itself, in the caller's transaction. `before` is the request with which the version held the target;
    `allowed_by` says who or what allowed it now; empty: reviewers have to. Raises Conflict (the same is asked for)."""
    version, target, existing = asked.version, asked.target, asked.open_request
    # What is on its way need not be overtaken; what waits for reviewers makes way for who needs none.
    is_on_its_way = existing is not None and existing.is_urgent and existing.status == Status.APPROVED
    if existing is not None and (is_on_its_way or not allowed_by):
        raise Conflict(
            f"Request #{existing.pk} already asks for version {version.number}.", existing, code="already_open"
        )
    if existing is not None:
        creation.make_way(existing, by=by, reason=f"{target.name} is rolled back to this version without it.")
    request = creation.make(
        replace(asked, rule=rule_under(asked.rule, before)),
        by=by,
        justification=reason,
        kind=RequestKind.ROLLBACK,
        is_decided=bool(allowed_by),
    )
    if allowed_by:
        entry = outbox.enqueue(request)
        ledger.record(
            Action.REQUEST_APPROVED,
            actor=by,
            request=request,
            allowed_by=allowed_by,
            data={"fingerprint": request.fingerprint, "kind": str(RequestKind.ROLLBACK), "alone": True},
            rows=[entry],
        )
    return request


def rule_under(rule: policy.Rule, before: PromotionRequest | None) -> policy.Rule:
    """What a rollback asks for under the rule of today; `before` is the request with which the version held the
    target."""
    limit = policy.Rule.from_json(before.rule).files_limit_mb if before else rule.files_limit_mb
    return policy.rollback_rule(rule, files_limit_mb=limit)


def allowed_alone(request: PromotionRequest) -> list[str]:
    """Who or what allowed a rollback that no one approved: the person, or the probation that ended it."""
    if not request.requester.is_countersign:
        return [request.requester.label]
    ended = Probation.objects.filter(rollback=request).first()
    return [because_of(ended)] if ended else [request.requester.label]


def because_of(probation: Probation) -> str:
    return f"probation of request #{probation.request_id}"


def _check_holder(target: Target, holders: Sequence[ModelVersion], leaving: int | None) -> None:
    now = next(iter(holders), None)
    if leaving is not None and (now is None or now.number != leaving):
        holds = f"Version {now.number} holds" if now else "Nothing holds"
        raise Conflict(f"{holds} {target.name} now, not version {leaving}. Check the current state.")


def _chosen(model: RegisteredModel, target: Target, holders: Sequence[ModelVersion], to: int | None) -> Earlier:
    if problem := rollback_candidates.cannot_go_back(target):
        raise Invalid(problem)
    found = rollback_candidates.earlier(model, target, holders)
    if to is None:
        chosen = rollback_candidates.first(found)
        if chosen is None:
            raise Invalid(f"There is no earlier approved version to take {target.name} back to.")
        return chosen
    for each in found:
        if each.number == to:
            if each.problem:
                raise Invalid(each.problem)
            return each
    raise Invalid(f"Version {to} did not hold {target.name} with an approval, so there is no way back to it.")
