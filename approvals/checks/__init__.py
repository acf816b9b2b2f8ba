"""Automatic gates over frozen evidence, each with an outcome and a sentence of reason. Pure.

`KINDS` says what there is and which settings each takes, for forms and files alike; `run` judges. The one kind that
needs the world outside only says here that it waits: `external.call` is for the worker.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from approvals.checks import comparing, describing, external, packaging
from approvals.checks.kinds import Field, Kind, Result, Settings, says
from approvals.policy import CheckRule

KINDS: dict[str, Kind] = {
    kind.key: kind
    for kind in (
        *describing.KINDS,
        *comparing.KINDS,
        *packaging.KINDS,
        external.KIND,
    )
}

__all__ = ["KINDS", "Field", "Kind", "Result", "Settings", "run", "says", "title", "validate"]


def validate(kind: str, settings: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """The settings with their defaults and types, and what is wrong with them, in sentences."""
    if kind not in KINDS:
        return {}, [f"There is no check called {kind!r}; there are {', '.join(sorted(KINDS))}."]
    return KINDS[kind].clean(settings)


def title(kind: str, settings: Mapping[str, Any]) -> str:
    """`Metric threshold: auc_roc`."""
    found = KINDS[kind]
    name = found.named({**found.defaults, **settings})
    return f"{found.label}: {name}" if name else found.label


def run(rules: Sequence[CheckRule], evidence: Mapping[str, Any], *, today: date) -> list[Result]:
    """One result for each rule, in order. `evidence` is what `approvals.evidence.freeze` wrote, read as JSON. A check
    that cannot judge fails and says why; nothing raises."""
    results, taken = [], set[str]()
    for rule in rules:
        key = name = f"{rule.kind}:{title(rule.kind, rule.settings)}" if rule.kind in KINDS else rule.kind
        twin = 2
        while key in taken:
            key, twin = f"{name} ({twin})", twin + 1
        taken.add(key)
        results.append(_judged(rule, key[:300], evidence, today))
    return results


def _judged(rule: CheckRule, key: str, evidence: Mapping[str, Any], today: date) -> Result:
    settings, problems = validate(rule.kind, rule.settings)
    if problems:
        return Result(key, rule.kind, rule.kind, str(rule.effect), "fail", " ".join(problems))
    outcome, reason = KINDS[rule.kind].judge(settings, evidence, today)
    if outcome == "fail" and rule.effect == "warn":
        outcome = "warn"
    return Result(key, rule.kind, title(rule.kind, settings)[:300], str(rule.effect), outcome, reason)
