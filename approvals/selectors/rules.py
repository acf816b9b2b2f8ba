"""Which policy applies to a model and a target."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.db.models import QuerySet

from approvals import policy
from approvals.models import ModelMetrics, Policy, PromotionRequest, RequestKind, Status, Target
from mirror import composed


def rule_from(found: Policy, *, why: str) -> policy.Rule:
    return policy.Rule.from_json({**found.terms, "policy_id": found.pk, "policy_version": found.version, "why": why})


def rule_for(model_name: str, target: Target) -> policy.Rule:
    """The rule that a request made now would get, with the reason why it is this one; its metrics of record are the
    policy's, then those of the model. Two queries."""
    rule = rule_among(composed.objects(_of_target, target.pk), model_name)
    own = own_metrics(model_name)
    return replace(rule, metrics=policy.merged_metrics(rule.metrics, own.rules)) if own else rule


def own_metrics(model_name: str) -> ModelMetrics | None:
    """The metrics of record that the model brings itself, as they stand now."""
    return next(iter(composed.objects(_own_metrics, model_name)), None)


def _of_target(target: int) -> QuerySet[Policy]:
    found: QuerySet[Policy] = Policy.objects.current().filter(target=target)
    return found


def _own_metrics(model_name: str) -> QuerySet[ModelMetrics]:
    """There is one at most."""
    return ModelMetrics.objects.filter(model_name=model_name)


def rule_among(policies: Iterable[Policy], model_name: str) -> policy.Rule:
    """What these policies of one target, in their order, ask of the model. No query."""
    fitting = policy.applicable(policies, model_name)
    if not fitting:
        return policy.FALLBACK
    pattern = fitting[0].model_pattern
    why = f"The policy for {pattern} applies to {model_name}"
    why += ": the only one that matches." if len(fitting) == 1 else f": the first of {len(fitting)} that match."
    return rule_from(fitting[0], why=why)


def policy_among(policies: Iterable[Policy], model_name: str) -> tuple[int, int] | tuple[None, None]:
    """The number and the version of the one of these that `rule_among` would take. No query."""
    found = next(iter(policy.applicable(policies, model_name)), None)
    return (found.pk, found.version) if found else (None, None)


def other_today(request: PromotionRequest) -> policy.Rule | None:
    """Of a request that waits for people or checks: the rule that it would get today, where that comes from another
    policy, or another version of its own."""
    if request.status not in (Status.CHECKING, Status.PENDING) or request.kind != RequestKind.PROMOTION:
        return None
    rule = rule_for(request.version.model.name, request.target)
    return None if is_same_policy(request.rule, rule) else rule


def is_same_policy(made_under: dict[str, Any], now: policy.Rule) -> bool:
    """Whether a request's rule is this policy, in this version."""
    return (made_under.get("policy_id"), made_under.get("policy_version")) == (now.policy_id, now.policy_version)
