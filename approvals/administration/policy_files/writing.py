"""What stands, as YAML: short, with a comment that explains each key."""

from collections.abc import Mapping
from typing import Any

import yaml

from approvals.models import FreezeWindow, Policy, Target
from approvals.policy import Rule

HEADER = """\
# Policies and freeze windows of Countersign: `manage.py policies export` and `manage.py policies apply`.
#
# policies: by target, in their order; of those of one target the first whose model_pattern fits applies.
#   model_pattern: a model's name or a pattern: * is any text, ? any one character
#   slots: approvals, group (none: any reviewer), looks_at (parts of the evidence; none: all of them)
#   requires_reason, open_for_days, allows_findings, excludes_contributors
#   batch_approval: whether a reviewer may approve several requests at once (no comment or signature is asked then)
#   checks: kind, effect (block, warn, inform), settings
#   metrics: the metrics of record, the most important first: name (or a pattern), better (higher, lower), tolerance
#     (0.002, or 0.5 % of the champion's value; none: every difference counts)
#   watched_tags, contributor_tags: lists of patterns and of keys
#   files_limit_mb: above this size files are not hashed (0: never)
#   signature: reauthenticate, within_minutes, asks_meaning
#   reminders: first_after_hours, every_hours, escalate_after_hours, escalate_to
#   on_bypass: report, put_back or review: what answers a change of the target that no delivery made
#   rollback: approvals, group, permission_suffices (people who may roll back need no approval)
#   break_glass: is_allowed, review_within_hours
#   probation: hours (none: a promotion is final)
# enforcement: by target, what MLflow does with changes that were not approved: off, observe or enforce
# freezes: name, reason, target (none: all), model_pattern, and either from and until (with their offset from UTC) or
#   weekly: from, until ("friday 16:00"), time_zone.
# What is left out has its default.
"""


def export() -> str:
    """Everything that stands, as YAML."""
    policies: dict[str, list[dict[str, Any]]] = {}
    for policy in Policy.objects.current():
        policies.setdefault(policy.target.name, []).append(_short(Rule.from_json(policy.terms)))
    enforcement = {target.name: str(target.enforcement) for target in Target.objects.current()}
    windows = [_without_empty(window.as_json()) for window in FreezeWindow.objects.current()]
    return HEADER + yaml.safe_dump(
        {"policies": policies, "enforcement": enforcement, "freezes": windows},
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def _short(rule: Rule) -> dict[str, Any]:
    """The policy without what is as it usually is."""
    usual = {**Rule(rule.model_pattern, rule.slots).terms(), "metrics": [], "batch_approval": False}
    found: dict[str, Any] = {"model_pattern": rule.model_pattern}
    for key, value in rule.terms().items():
        if key in ("slots", "checks", "metrics"):
            if value:
                found[key] = [_without_empty(each) for each in value]
        elif value != usual[key]:
            is_group = isinstance(value, Mapping)
            found[key] = {name: each for name, each in value.items() if each != usual[key][name]} if is_group else value
    return found


def _without_empty(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value not in (None, "", [], {})}
