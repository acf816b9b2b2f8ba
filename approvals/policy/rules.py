"""The policy document: everything that a policy asks of a request. A request keeps a copy of it, so that it survives
edits; the pages, the YAML file and the ledger carry it as plain JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from approvals.policy import metrics
from approvals.policy.metrics import MetricRule

PARTS: dict[str, str] = {
    "metrics": "Metrics",
    "params": "Parameters",
    "tags": "Tags",
    "description": "Descriptions",
    "data": "Training data and provenance",
    "packaging": "Signature, flavors and requirements",
    "files": "Model files",
    "exhibits": "Figures and tables of the run",
    "champion": "The champion",
}
"""The parts of the evidence, each with its label. What is asked (version, target, rule and reason) is the part
`request`."""

ALWAYS_SEEN = ("request", "files")
"""Every slot looks at these: an approval is for this question and for these bytes."""

EVERYTHING: tuple[str, ...] = ()
"""A slot with no parts named looks at all of them."""


class Effect(StrEnum):
    """What a failed check does."""

    BLOCK = "block"
    WARN = "warn"
    INFORM = "inform"


class Meaning(StrEnum):
    """What a signature means, as its signer chose."""

    REVIEWED = "reviewed"
    APPROVED = "approved"
    RESPONSIBLE = "responsible"


@dataclass(frozen=True, slots=True)
class SlotRule:
    approvals: int
    group: str | None = None
    """Name of the group the approvals must come from; None is any reviewer."""

    looks_at: tuple[str, ...] = EVERYTHING
    """Keys of PARTS; an approval stays when only other parts change."""

    @property
    def sentence(self) -> str:
        noun = "approval" if self.approvals == 1 else "approvals"
        return f"{self.approvals} {noun} from {self.group or 'any reviewer'}"

    def sees(self, part: str) -> bool:
        return not self.looks_at or part in ALWAYS_SEEN or part in self.looks_at


@dataclass(frozen=True, slots=True)
class CheckRule:
    """One automatic check: a kind of `approvals.checks.KINDS`, its settings, and what a failure does."""

    kind: str
    effect: str = Effect.BLOCK
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignatureRule:
    """What signing asks for besides a click. `within_minutes` is how old the proof of identity may be."""

    reauthenticate: bool = False
    within_minutes: int = 5
    asks_meaning: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """That a person has just shown who they are: how ("password", "totp", "webauthn", "identity provider"), and when
    (aware)."""

    method: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReminderRule:
    first_after_hours: int = 24
    every_hours: int = 48
    escalate_after_hours: int | None = None
    escalate_to: str | None = None
    """Name of a group."""


class OnBypass(StrEnum):
    """What happens when a target is changed in MLflow without a delivery."""

    REPORT = "report"
    PUT_BACK = "put_back"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class RollbackRule:
    """What going back to the last approved holder asks for: it reduces risk, so it is less than a promotion."""

    approvals: int = 1
    group: str | None = None
    permission_suffices: bool = True
    """Anyone who holds `approvals.roll_back` needs no one else's approval."""


@dataclass(frozen=True, slots=True)
class BreakGlassRule:
    is_allowed: bool = True
    review_within_hours: int = 24


@dataclass(frozen=True, slots=True)
class ProbationRule:
    hours: int | None = None
    """How long a promotion is provisional; None: it is not."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy as it stood when a request was made."""

    model_pattern: str
    slots: tuple[SlotRule, ...]
    requires_reason: bool = False
    open_for_days: int = 14
    checks: tuple[CheckRule, ...] = ()
    watched_tags: tuple[str, ...] = ("*",)
    """Patterns of the tags that are part of the evidence."""

    excludes_contributors: bool = False
    contributor_tags: tuple[str, ...] = ()
    """Tags whose values name more contributors, separated by commas."""

    files_limit_mb: int | None = None
    """Files above this size in total (in 10^6 bytes) are not hashed; None: always hashed, 0: never."""

    allows_findings: bool = True
    batch_approval: bool = False
    """Whether a reviewer may approve a request together with others."""

    signature: SignatureRule = SignatureRule()
    reminders: ReminderRule = ReminderRule()
    on_bypass: str = OnBypass.REPORT
    rollback: RollbackRule = RollbackRule()
    break_glass: BreakGlassRule = BreakGlassRule()
    probation: ProbationRule = ProbationRule()
    metrics: tuple[MetricRule, ...] = ()
    """The metrics of record, the most important first; where the policy names none, those of the model."""

    policy_id: int | None = None
    policy_version: int | None = None
    why: str = ""

    @property
    def approvals(self) -> int:
        return sum(slot.approvals for slot in self.slots)

    @property
    def sentence(self) -> str:
        return " and ".join(slot.sentence for slot in self.slots)

    @property
    def files_limit_bytes(self) -> int | None:
        return None if self.files_limit_mb is None else self.files_limit_mb * 1_000_000

    def as_json(self) -> dict[str, Any]:
        """Plain data of lists, dicts, strings, integers, booleans and None. Without metrics of record, or approving
        together, there is no such key, as in rules from before there were any: what was signed then keeps its
        fingerprint."""
        found = dict(_plain(asdict(self)))
        for name in ("metrics", "batch_approval"):
            if not found[name]:
                del found[name]
        return found

    def terms(self) -> dict[str, Any]:
        """What is asked, without where it came from: the part that a policy version stores and a YAML file carries."""
        return {
            key: value for key, value in self.as_json().items() if key not in ("policy_id", "policy_version", "why")
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Rule":
        """Reads what `as_json` or `terms` gave; keys that older requests do not have take their defaults."""
        read: dict[str, Any] = dict(data)
        read["slots"] = tuple(
            SlotRule(**{**slot, "looks_at": tuple(slot.get("looks_at", ()))}) for slot in data["slots"]
        )
        read["checks"] = tuple(CheckRule(**check) for check in data.get("checks", ()))
        for name in ("watched_tags", "contributor_tags"):
            if name in data:
                read[name] = tuple(data[name])
        read["metrics"] = metrics.from_json(data.get("metrics", ()))
        for name, kind in _NESTED.items():
            if name in data:
                read[name] = kind(**data[name])
        return cls(**read)


_NESTED: dict[str, type[Any]] = {
    "signature": SignatureRule,
    "reminders": ReminderRule,
    "rollback": RollbackRule,
    "break_glass": BreakGlassRule,
    "probation": ProbationRule,
}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, StrEnum) else value


FALLBACK = Rule(
    model_pattern="",
    slots=(SlotRule(approvals=2),),
    why="No policy matches this model and target; the built-in default applies: two approvals from any reviewer.",
)

MOST_APPROVALS, LONGEST_DAYS, LONGEST_HOURS = 20, 365, 24 * 365


def problems_of(rule: Rule) -> list[str]:
    """Sentences that say what makes no sense in the document; [] when all is well. Checks' settings are looked at by
    `approvals.checks.validate`."""
    found = []
    if not rule.model_pattern.strip():
        found.append("Enter a model name, or a pattern such as churn_*.")
    if not rule.slots:
        found.append("A policy needs at least one approval.")
    for slot in rule.slots:
        if not 1 <= slot.approvals <= MOST_APPROVALS:
            found.append(f"A slot needs 1 to {MOST_APPROVALS} approvals.")
        found += [f"There is no part of the evidence called {part!r}." for part in slot.looks_at if part not in PARTS]
    if not 1 <= rule.open_for_days <= LONGEST_DAYS:
        found.append(f"A request stays open for 1 to {LONGEST_DAYS} days.")
    if rule.files_limit_mb is not None and rule.files_limit_mb < 0:
        found.append("The size above which files are not hashed is a number of megabytes, or nothing.")
    if not 1 <= rule.signature.within_minutes <= 24 * 60:
        found.append("The proof of identity for a signature is valid for 1 to 1,440 minutes.")
    found += [
        f"Check {check.kind}: its effect is block, warn or inform."
        for check in rule.checks
        if check.effect not in list(Effect)
    ]
    reminders = rule.reminders
    hours = (reminders.first_after_hours, reminders.every_hours, reminders.escalate_after_hours or 1)
    if any(not 1 <= each <= LONGEST_HOURS for each in hours):
        found.append(f"Reminders and escalation come after 1 to {LONGEST_HOURS} hours.")
    found += [*_problems_after_approval(rule), *metrics.problems_of_metrics(rule.metrics)]
    if (reminders.escalate_after_hours is None) != (reminders.escalate_to is None):
        found.append("Escalation needs both a number of hours and a group.")
    return list(dict.fromkeys(found))


def _problems_after_approval(rule: Rule) -> list[str]:
    """The same of what happens after a version was promoted, or without asking anybody."""
    found = []
    if rule.on_bypass not in list(OnBypass):
        found.append("The answer to a change outside Countersign is report, put_back or review.")
    if not 1 <= rule.rollback.approvals <= MOST_APPROVALS:
        found.append(f"A rollback needs 1 to {MOST_APPROVALS} approvals.")
    if not 1 <= rule.break_glass.review_within_hours <= LONGEST_HOURS:
        found.append(f"An emergency promotion is reviewed within 1 to {LONGEST_HOURS} hours.")
    if rule.probation.hours is not None and not 1 <= rule.probation.hours <= LONGEST_HOURS:
        found.append(f"A probation lasts 1 to {LONGEST_HOURS} hours.")
    return found
