"""Makes what stands equal to a file, through the same verbs as the pages."""

import difflib
from dataclasses import dataclass

from django.db import transaction

from accounts.models import User
from approvals import administration
from approvals.administration.policy_files.nodes import BadFile
from approvals.administration.policy_files.reading import Document
from approvals.administration.policy_files.writing import export
from approvals.models import FreezeWindow, Policy, Target
from approvals.policy import Rule
from approvals.workflow import WorkflowError, verbs
from approvals.workflow.locks import lock_targets


@dataclass(frozen=True, slots=True)
class Outcome:
    difference: str
    """A unified difference of what stood before and what stands after; "" when nothing changes."""

    left_alone: list[str]
    """What stands but is not in the file, in words."""


class _OnlyLooking(Exception):
    pass


def apply(document: Document, *, prune: bool = False, dry_run: bool = False, by: User | None = None) -> Outcome:
    """Makes what stands equal to the file, in one transaction and through the same verbs as the pages; with `dry_run`
    everything is taken back. What the file lacks is left alone, or retired with `prune`. Raises BadFile for what a
    verb refuses; nothing is changed then."""
    left: list[str] = []
    try:
        with transaction.atomic():
            # The order in which every verb below locks, for all of them at once.
            verbs.lock_people([by] if by else [])
            lock_targets(Target.objects.values_list("pk", flat=True))
            before = after = export()  # inside, so that no one's edit falls between it and what it is compared with
            for target, rules in document.policies.items():
                left += _apply_policies(target, rules, prune=prune, by=by)
            if prune:
                for target in Target.objects.current():
                    if target not in document.policies:
                        _apply_policies(target, [], prune=True, by=by)
            for target, mode in document.enforcement.items():
                if target.enforcement != mode:
                    target.enforcement = mode
                    administration.save_target(target, by=by)
            left += _apply_freezes(document.freezes, prune=prune, by=by)
            after = export()
            if dry_run:
                raise _OnlyLooking
    except _OnlyLooking:
        pass
    except WorkflowError as error:
        raise BadFile(error.message) from error
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), "now", "file", n=4)
    return Outcome("".join(lines), left)


def _apply_policies(target: Target, rules: list[Rule], *, prune: bool, by: User | None) -> list[str]:
    standing = {each.model_pattern: each for each in Policy.objects.current().filter(target=target)}
    order = list(standing)
    wanted = []
    for rule in rules:
        policy = standing.get(rule.model_pattern) or Policy(target=target)
        try:
            wanted.append(administration.save_policy(policy, rule, by=by))
        except WorkflowError as error:
            raise BadFile(f"{target.name}, {rule.model_pattern}: {error.message}") from error
    patterns = {rule.model_pattern for rule in rules}
    others = [policy for pattern, policy in standing.items() if pattern not in patterns]
    if prune:
        for policy in others:
            administration.retire_policy(policy, by=by)
    else:
        for policy in others:  # where they stood, as far as there is such a place
            wanted.insert(order.index(policy.model_pattern), policy)
    administration.reorder_policies(target, wanted, by=by)
    return [] if prune else [f"{target.name}: the policy for {policy.model_pattern}" for policy in others]


def _apply_freezes(windows: list[FreezeWindow], *, prune: bool, by: User | None) -> list[str]:
    standing = {each.name: each for each in FreezeWindow.objects.current()}
    for window in windows:
        known = standing.pop(window.name, None)
        if known is not None:
            known.reason, known.target, known.model_pattern = window.reason, window.target, window.model_pattern
            known.when = window.when
        try:
            administration.save_freeze(known or window, by=by)
        except WorkflowError as error:
            raise BadFile(f"Freeze {window.name}: {error.message}") from error
    if prune:
        for window in standing.values():
            administration.retire_freeze(window, by=by)
    return [] if prune else [f"the freeze {name}" for name in standing]
