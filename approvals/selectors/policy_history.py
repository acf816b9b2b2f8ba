"""Policy documents in words, what differs between two of them, and the versions that a policy has had."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from approvals import checks
from approvals.models import Policy
from approvals.policy import PARTS, CheckRule, Rule, SlotRule

EFFECTS = {"block": "blocks", "warn": "warns", "inform": "informs"}
ON_BYPASS = {"report": "reported", "put_back": "reverted", "review": "reviewed afterwards"}


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the document; `before` or `after` is "" where there was or is none."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Version:
    number: int
    saved_at: datetime
    saved_as: str
    is_from_installation: bool
    lines: dict[str, str]
    """The whole document as it was: label → words."""

    changes: list[Change]
    """Against the version before; [] for the first."""


def of(policy: Policy) -> list[Version]:
    """Every version of the policy, the newest first. One query."""
    found: list[Version] = []
    before: Mapping[str, Any] | None = None
    for row in policy.versions.order_by("number"):
        changes = differences(before, row.terms) if before is not None else []
        found.append(
            Version(row.number, row.saved_at, row.saved_as, row.is_from_installation, describe(row.terms), changes)
        )
        before = row.terms
    return found[::-1]


def between(policy: Policy, seen: int) -> list[Change]:
    """What was changed since the version `seen`; [] when there is no such version."""
    row = policy.versions.filter(number=seen).first()
    now = Policy.objects.get(pk=policy.pk)
    return differences(row.terms, now.terms) if row else []


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The lines that differ between two documents (`Rule.terms`), in the order of the document."""
    old, new = describe(before), describe(after)
    labels = dict.fromkeys([*old, *new])
    return [
        Change(label, old.get(label, ""), new.get(label, ""))
        for label in labels
        if old.get(label, "") != new.get(label, "")
    ]


def describe(terms: Mapping[str, Any]) -> dict[str, str]:
    """The document line by line: label → words. Nothing of it is left out, so equal lines are equal documents."""
    rule = Rule.from_json(terms)
    signature, reminders = rule.signature, rule.reminders
    return {
        "Models": rule.model_pattern,
        "Approvals": "; ".join(map(_slot, rule.slots)),
        "Comment required to approve": _yes(rule.requires_reason),
        "A request stays open for": _count(rule.open_for_days, "day"),
        **_checks(rule.checks),
        **({"Metrics of record": "; ".join(each.sentence for each in rule.metrics)} if rule.metrics else {}),
        "Tags that are part of the evidence": ", ".join(rule.watched_tags) or "none",
        "Files are hashed": _files(rule.files_limit_mb),
        "Contributors cannot approve": _yes(rule.excludes_contributors),
        "Tags that name more contributors": ", ".join(rule.contributor_tags) or "none",
        "Approval with findings": "allowed" if rule.allows_findings else "not allowed",
        **({"Approving several requests at once": "allowed"} if rule.batch_approval else {}),
        "Fresh proof of identity": "required" if signature.reauthenticate else "not required",
        "A proof counts for": _count(signature.within_minutes, "minute"),
        "Signature states its meaning": _yes(signature.asks_meaning),
        "First reminder after": _count(reminders.first_after_hours, "hour"),
        "Reminded again every": _count(reminders.every_hours, "hour"),
        "Escalation": (
            f"after {_count(reminders.escalate_after_hours, 'hour')} to {reminders.escalate_to}"
            if reminders.escalate_after_hours is not None
            else "none"
        ),
        "A change outside Countersign": ON_BYPASS.get(rule.on_bypass, rule.on_bypass),
        "A rollback needs": rollback(rule),
        "Emergency promotion": (
            f"allowed, reviewed within {_count(rule.break_glass.review_within_hours, 'hour')}"
            if rule.break_glass.is_allowed
            else f"not allowed (within {_count(rule.break_glass.review_within_hours, 'hour')})"
        ),
        "A promotion is provisional for": (
            _count(rule.probation.hours, "hour") if rule.probation.hours is not None else "no time: it is final"
        ),
    }


def rollback(rule: Rule) -> str:
    """`1 approval from any reviewer, or the permission to roll back`."""
    slot = SlotRule(rule.rollback.approvals, rule.rollback.group)
    return slot.sentence + (", or the permission to roll back" if rule.rollback.permission_suffices else "")


def afterwards(rule: Rule) -> str:
    """One paragraph for the page of policies: what happens after an approval, or without it."""
    hours = rule.break_glass.review_within_hours
    said = [
        f"A change outside Countersign is {ON_BYPASS.get(rule.on_bypass, rule.on_bypass)}.",
        f"A rollback needs {rollback(rule)}.",
        f"Emergency promotions are allowed and reviewed within {_count(hours, 'hour')}."
        if rule.break_glass.is_allowed
        else "Emergency promotions are not allowed.",
    ]
    if rule.probation.hours is not None:
        said.append(f"A promotion is provisional for {_count(rule.probation.hours, 'hour')}.")
    return " ".join(said)


def _slot(slot: SlotRule) -> str:
    parts = ", ".join(PARTS.get(part, part) for part in slot.looks_at)
    return slot.sentence + (f" (looks at {parts})" if parts else " (looks at everything)")


def _checks(found: tuple[CheckRule, ...]) -> dict[str, str]:
    lines: dict[str, list[str]] = defaultdict(list)
    for check in found:
        kind = checks.KINDS.get(check.kind)
        labels = {field.name: field.label for field in kind.fields} if kind else {}
        settings = [
            f"{labels.get(key, key)} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
            for key, value in sorted(check.settings.items())
            if value not in (None, "", [])
        ]
        effect = EFFECTS.get(check.effect, check.effect)
        lines[f"Check: {kind.label if kind else check.kind}"].append(
            ": ".join(filter(None, [effect, ", ".join(settings)]))
        )
    return {label: "; ".join(each) for label, each in lines.items()}


def _files(limit_mb: int | None) -> str:
    if limit_mb is None:
        return "always"
    return f"up to {limit_mb} MB" if limit_mb else "never"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
