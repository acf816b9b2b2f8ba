"""What a file says, held against the targets, groups and checks that there are. Changes nothing."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

import yaml
from django.contrib.auth.models import Group

from approvals import checks
from approvals.administration.policy_files import nodes
from approvals.models import Enforcement, FreezeWindow, Target
from approvals.policy import DIRECTIONS, PARTS, Effect, OnBypass, Rule, SlotRule, freezes, problems_of, read_tolerance

LARGEST = 1_000_000
"""Bytes."""


def _known_group(node: yaml.Node) -> str:
    found = str(nodes.text(node))
    if not Group.objects.filter(name=found).exists():
        raise nodes.fail(node, f"there is no group called {found!r}; add it on the page of people first.")
    return found


def _target(node: yaml.Node) -> Target:
    found = str(nodes.text(node))
    target = Target.objects.current().filter(name=found).first()
    if target is None:
        raise nodes.fail(node, f"there is no target called {found!r}.")
    return target


def _check(node: yaml.Node) -> dict[str, Any]:
    settings = dict.fromkeys({field.name for kind in checks.KINDS.values() for field in kind.fields}, nodes.plain)
    read = nodes.group(
        {
            "kind": nodes.one_of(checks.KINDS, "check"),
            "effect": nodes.one_of(Effect, "effect"),
            "settings": nodes.group(settings),
        },
        "kind",
    )
    found: dict[str, Any] = {"effect": str(Effect.BLOCK), "settings": {}} | read(node)
    found["settings"], problems = checks.validate(found["kind"], found["settings"])
    if problems:
        raise nodes.fail(node, " ".join(problems))
    return found


def _tolerance(node: yaml.Node) -> str:
    """As it is written, whichever kind YAML takes it for: 0.002, or 0.5 %."""
    try:
        return read_tolerance(node.value if isinstance(node, yaml.ScalarNode) else "?")
    except ValueError:
        raise nodes.fail(node, "a tolerance is a number such as 0.002, or a percentage such as 0.5 %.") from None


_SLOT = nodes.group(
    {
        "approvals": nodes.whole,
        "group": nodes.or_nothing(_known_group),
        "looks_at": nodes.listed(nodes.one_of(PARTS, "part of the evidence")),
    },
    "approvals",
)
_METRIC = nodes.group(
    {"name": nodes.text, "better": nodes.one_of(DIRECTIONS, "direction"), "tolerance": _tolerance}, "name"
)
_POLICY = nodes.group(
    {
        "model_pattern": nodes.text,
        "slots": nodes.listed(_SLOT),
        "requires_reason": nodes.flag,
        "open_for_days": nodes.whole,
        "checks": nodes.listed(_check),
        "watched_tags": nodes.listed(nodes.text),
        "excludes_contributors": nodes.flag,
        "contributor_tags": nodes.listed(nodes.text),
        "files_limit_mb": nodes.or_nothing(nodes.whole),
        "allows_findings": nodes.flag,
        "batch_approval": nodes.flag,
        "signature": nodes.group(
            {"reauthenticate": nodes.flag, "within_minutes": nodes.whole, "asks_meaning": nodes.flag}
        ),
        "reminders": nodes.group(
            {
                "first_after_hours": nodes.whole,
                "every_hours": nodes.whole,
                "escalate_after_hours": nodes.or_nothing(nodes.whole),
                "escalate_to": nodes.or_nothing(_known_group),
            }
        ),
        "on_bypass": nodes.one_of(OnBypass, "answer to a change outside Countersign"),
        "rollback": nodes.group(
            {"approvals": nodes.whole, "group": nodes.or_nothing(_known_group), "permission_suffices": nodes.flag}
        ),
        "break_glass": nodes.group({"is_allowed": nodes.flag, "review_within_hours": nodes.whole}),
        "metrics": nodes.listed(_METRIC),
        "probation": nodes.group({"hours": nodes.or_nothing(nodes.whole)}),
    },
    "model_pattern",
    "slots",
)


def _moment(node: yaml.Node) -> datetime:
    """With its offset from UTC, as YAML or as text."""
    raw = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    try:
        found: datetime | None = datetime.fromisoformat(raw)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise nodes.fail(node, "write a time with its offset from UTC, such as 2026-12-24T18:00:00Z.")
    return found


def _weekday(node: yaml.Node) -> tuple[int, time]:
    day, _, clock = str(nodes.text(node)).partition(" ")
    days = [each.lower() for each in freezes.DAYS]
    try:
        number, at = days.index(day.lower()), time.fromisoformat(clock)
        if at.tzinfo or at.second or at.microsecond:  # the zone is named beside it, and export writes minutes
            raise ValueError
    except ValueError:
        raise nodes.fail(node, "write a day and a time, such as friday 16:00.") from None
    return number, at


_FREEZE = nodes.group(
    {
        "name": nodes.text,
        "reason": nodes.text,
        "target": nodes.or_nothing(_target),
        "model_pattern": nodes.text,
        "from": _moment,
        "until": _moment,
        "weekly": nodes.group(
            {"from": _weekday, "until": _weekday, "time_zone": nodes.text}, "from", "until", "time_zone"
        ),
    },
    "name",
)


@dataclass(frozen=True, slots=True)
class Document:
    policies: dict[Target, list[Rule]]
    freezes: list[FreezeWindow]
    """Unsaved, one for each name."""

    enforcement: dict[Target, Enforcement]


def read(source: bytes) -> Document:
    """Raises BadFile. Aliases, tags and everything else that YAML can do beyond plain data are refused."""
    if len(source) > LARGEST:
        raise nodes.BadFile(f"The file is larger than {LARGEST:,} bytes.")
    try:
        content = source.decode("utf-8-sig")
        # Before anything is built: a few lines of aliases of aliases stand for more than memory holds.
        for event in yaml.parse(content, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise nodes.fail(event, "anchors and aliases are not read.")
        root = yaml.compose(content, yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise nodes.BadFile("The file is not UTF-8.") from error
    except RecursionError as error:
        raise nodes.BadFile("The file is nested too deeply.") from error
    except yaml.MarkedYAMLError as error:
        line = f"Line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise nodes.BadFile(f"{line}this is no YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise nodes.BadFile(f"This is no YAML: {error}.") from error
    if root is None:
        raise nodes.BadFile("The file is empty.")
    fields = {"policies": _policies, "enforcement": _enforcement, "freezes": nodes.listed(_freeze)}
    found = nodes.group(fields, "policies")(root)
    windows: list[FreezeWindow] = found.get("freezes", [])
    names = [each.name for each in windows]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise nodes.BadFile(f"There are two freezes called {twice!r}.")
    return Document(found["policies"], windows, found.get("enforcement", {}))


def _policies(node: yaml.Node) -> dict[Target, list[Rule]]:
    found: dict[Target, list[Rule]] = {}
    for _, key, value in nodes.items(node):
        rules = [_rule(each) for each in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
        patterns = [rule.model_pattern for rule in rules]
        if twice := next((each for each in patterns if patterns.count(each) > 1), None):
            raise nodes.fail(value, f"there are two policies for {twice!r}.")
        found[_target(key)] = rules
    return found


def _enforcement(node: yaml.Node) -> dict[Target, Enforcement]:
    found: dict[Target, Enforcement] = {}
    for _, key, value in nodes.items(node):
        # As it is written: YAML takes a bare off for false.
        mode = value.value if isinstance(value, yaml.ScalarNode) else "?"
        if mode not in Enforcement.values:
            raise nodes.fail(value, f"enforcement is one of {', '.join(Enforcement.values)}.")
        found[_target(key)] = Enforcement(mode)
    return found


def _rule(node: yaml.Node) -> Rule:
    told = _POLICY(node)
    usual = Rule("", (SlotRule(1),)).terms()
    for name in ("signature", "reminders", "rollback", "break_glass", "probation"):
        told[name] = usual[name] | told.get(name, {})
    rule = Rule.from_json(told)
    if found := problems_of(rule):
        raise nodes.fail(node, " ".join(found))
    return rule


def _freeze(node: yaml.Node) -> FreezeWindow:
    told = _FREEZE(node)
    window = FreezeWindow(
        name=told["name"],
        reason=told.get("reason", ""),
        target=told.get("target"),
        model_pattern=told.get("model_pattern", "*"),
    )
    weekly = told.get("weekly")
    if (weekly is None) == ("from" not in told or "until" not in told) or (
        weekly and ("from" in told or "until" in told)
    ):
        raise nodes.fail(node, "a freeze has either from and until, or weekly.")
    if weekly is None:
        window.when = freezes.Once(told["from"], told["until"])
    else:
        (first, begins), (last, ends) = weekly["from"], weekly["until"]
        window.when = freezes.Weekly(first, begins, last, ends, weekly["time_zone"])
    return window
