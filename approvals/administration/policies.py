"""Policies: every edit is a new version, and of one target the first that fits applies."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from django.utils import timezone

from accounts.models import User
from approvals import checks
from approvals import policy as rules
from approvals.administration.shared import COMMAND_LINE, POLICIES, record, require, valid
from approvals.evidence import comparison
from approvals.models import Action, Policy, PolicyVersion, Target
from approvals.workflow import Conflict, Invalid
from approvals.workflow.verbs import verb


@verb(edits="policy")
def save_policy(policy: Policy, rule: rules.Rule, *, by: User | None, seen: int | None = None) -> Policy:
    """Adds a policy, or saves a new version of it, with what `rule` says; unchanged, nothing is saved. `policy` names
    the target; a new one takes its place by how specific its pattern is. Open requests keep the version they were made
    under. `by` None is the command line. `seen` is the number of the version that was edited.

    Raises NotAllowed, Invalid (the document makes no sense, the pattern is taken), or Conflict when another version
    than `seen` stands by now, or the policy was retired.
    """
    require(by, POLICIES)
    rule = replace(rule, metrics=directed_metrics(rule.metrics))
    if found := [*rules.problems_of(rule), *_check_problems(rule)]:
        raise Invalid(" ".join(found))
    is_new, terms = policy.pk is None, rule.terms()
    # Locked before the versions are compared: of two who edited the same one, the second is told.
    now = None if is_new else Policy.objects.select_for_update().get(pk=policy.pk)
    if now is not None and now.retired_at:
        raise Conflict("Another person has retired this policy meanwhile.")
    if now is not None and seen is not None and seen != now.version:
        raise Conflict(f"Another person has saved version {now.version} meanwhile; you were editing version {seen}.")
    before = describe_policy(now) if now else {}
    if not is_new and before["terms"] == terms:
        return policy
    policy.model_pattern, policy.terms = rule.model_pattern, terms
    if now is not None:  # it may have been moved since it was read
        policy.position = now.position
    policy.version = 1 if is_new else before["version"] + 1
    with valid("Another person has just added a policy for this pattern and target."):
        policy.full_clean()
        policy.save()
    saved = PolicyVersion.objects.create(
        policy=policy, number=policy.version, terms=terms, saved_by=by, saved_as=by.label if by else COMMAND_LINE
    )
    if is_new:
        place(policy)
    record(
        Action.POLICY_CREATED if is_new else Action.POLICY_CHANGED,
        by,
        target_name=policy.target.name,
        data={"before": before, "after": describe_policy(policy)},
        # All of the target's: a new one takes its place among them and moves others.
        rows=[saved, *Policy.objects.filter(target=policy.target)],
    )
    return policy


def describe_policy(policy: Policy) -> dict[str, Any]:
    """The policy as plain data, for the ledger."""
    return {"policy_id": policy.pk, "version": policy.version, "position": policy.position, "terms": policy.terms}


def _check_problems(rule: rules.Rule) -> list[str]:
    return [problem for check in rule.checks for problem in checks.validate(check.kind, check.settings)[1]]


def directed_metrics(metrics: Iterable[rules.MetricRule]) -> tuple[rules.MetricRule, ...]:
    """As they are kept: each with its direction. Raises Invalid where no one can tell it."""
    found = tuple(map(comparison.directed, metrics))
    if unknown := [each.name for each in found if comparison.is_undirected(each)]:
        raise Invalid(f"Choose whether higher or lower is better for {', '.join(unknown)}: the name does not say.")
    return found


def place(policy: Policy) -> None:
    """Puts a new policy before the first that is less specific, in the caller's transaction."""
    others = [each for each in Policy.objects.current().filter(target=policy.target) if each.pk != policy.pk]
    mine = rules.specificity(policy.model_pattern)
    before = [each for each in others if rules.specificity(each.model_pattern) < mine]
    index = others.index(before[0]) if before else len(others)
    put_in_order([*others[:index], policy, *others[index:]])


def put_in_order(policies: Iterable[Policy]) -> None:
    """Stores positions 1, 2, 3, … for these policies of one target, in the caller's transaction."""
    for position, each in enumerate(policies, start=1):
        if each.position != position:
            each.position = position
            Policy.objects.filter(pk=each.pk).update(position=position)


@verb()
def move_policy(policy: Policy, *, up: bool, by: User) -> None:
    """Swaps a policy with its neighbour among those of its target; nothing at the end of the row. Open requests keep
    what they were made under. Raises NotAllowed."""
    require(by, POLICIES)
    row = list(Policy.objects.current().filter(target=policy.target).select_for_update(of=("self",)))
    places = [each.pk for each in row]
    if policy.pk not in places:  # retired in this very moment
        return
    index = places.index(policy.pk)
    other = index - 1 if up else index + 1
    if 0 <= other < len(row):
        row[index], row[other] = row[other], row[index]
        reorder_policies(policy.target, row, by=by)


@verb()
def reorder_policies(target: Target, wanted: Sequence[Policy], *, by: User | None) -> None:
    """Puts all policies of a target in this order; unchanged, nothing is recorded. Raises NotAllowed, or Conflict when
    `wanted` are not the target's policies (any more)."""
    require(by, POLICIES)
    # Locked, so that the order which is saved is one of the policies that there are.
    row = list(Policy.objects.current().filter(target=target).select_for_update(of=("self",)))
    if {each.pk for each in row} != {each.pk for each in wanted} or len(row) != len(wanted):
        raise Conflict("Another person has added or retired a policy meanwhile.")
    before, after = ([each.model_pattern for each in some] for some in (row, wanted))
    if before == after:
        return
    now = {each.pk: each for each in row}  # the caller's may have been read before others took their place
    put_in_order(now[each.pk] for each in wanted)
    record(Action.POLICY_REORDERED, by, target_name=target.name, data={"before": before, "after": after}, rows=row)


@verb()
def retire_policy(policy: Policy, *, by: User | None) -> None:
    """Takes the policy out of use; requests made under it keep it. Raises NotAllowed."""
    require(by, POLICIES)
    if Policy.objects.filter(pk=policy.pk, retired_at=None).update(retired_at=timezone.now()):
        data = {"before": describe_policy(policy)}
        record(Action.POLICY_RETIRED, by, target_name=policy.target.name, data=data, rows=[policy])
