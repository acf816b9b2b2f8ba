"""What the policies page reads: targets and policies, what each means, who can meet it, what is open under it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from django.db.models import F

from approvals import policy
from approvals.models import Policy, PolicyVersion, PromotionRequest, Target
from approvals.policy import Rule, SlotState
from approvals.selectors import policy_history, reviewers, rules

OpenRequests: TypeAlias = dict[int, list[tuple[int, int | None]]]
"""By policy: ids of open requests, each with the version that it was made under."""

MANY = 8
"""Open requests and people that are named one by one; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Eligible:
    """Who could fill one slot, by name."""

    source: str
    names: list[str]
    more: int

    @property
    def words(self) -> str:
        return ", ".join(self.names) + (f" and {self.more} more" if self.more else "")


@dataclass(frozen=True, slots=True)
class Meaning:
    """One policy in words."""

    policy: Policy
    rule: Rule
    sentence: str
    states: list[SlotState]
    """With everyone who is eligible now as candidates."""

    shortage: str
    open_requests: list[int]
    older: str = ""
    """`2 open requests were made under version 1.`; "" when all were made under the version that stands."""

    saved: PolicyVersion | None = None
    covered_by: str = ""
    """Pattern of a policy before it that fits every model, so that this one never applies; "" when there is none."""

    @property
    def eligible(self) -> list[Eligible]:
        lines = []
        for state in self.states:
            names = [person.label.partition(" <")[0] for person in state.candidates]
            lines.append(Eligible(state.slot.group or "Any reviewer", names[:MANY], max(0, len(names) - MANY)))
        return lines

    @property
    def afterwards(self) -> str:
        return policy_history.afterwards(self.rule)

    @property
    def has_groups(self) -> bool:
        return any(slot.group for slot in self.rule.slots)

    @property
    def first_requests(self) -> list[int]:
        return self.open_requests[:MANY]

    @property
    def more_requests(self) -> int:
        return max(0, len(self.open_requests) - MANY)


@dataclass(frozen=True, slots=True)
class Chapter:
    """One target with its policies, in the order in which they apply."""

    target: Target
    meanings: list[Meaning]

    @property
    def rest(self) -> str:
        """What no policy of the target fits."""
        return "any other model" if self.meanings else "any model"

    @property
    def covers_everything(self) -> bool:
        return any(meaning.policy.model_pattern == "*" for meaning in self.meanings)


@dataclass(frozen=True, slots=True)
class Application:
    """Which policy a request for this target would get."""

    target: Target
    rule: Rule
    sentence: str
    shortage: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a policy says that is being typed: sentences as the page of policies has them, or what is wrong with it."""

    subject: str = ""
    """`Production of fraud_*`."""

    sentence: str = ""
    afterwards: str = ""
    shortage: str = ""
    mistakes: Sequence[str] = ()


def draft(rule: Rule, target: Target | None) -> Draft:
    """The very sentences that the policy will have once it is saved."""
    return Draft(
        subject=f"{target.name if target else 'The target'} of {rule.model_pattern}",
        sentence=sentence(rule),
        afterwards=policy_history.afterwards(rule),
        shortage=policy.shortage(rule, eligible=reviewers.eligible()),
    )


def chapters() -> list[Chapter]:
    """Each current target with its policies, in the order in which they apply."""
    eligible = reviewers.eligible()
    requests = _open_requests()
    saved = {row.policy_id: row for row in PolicyVersion.objects.filter(number=F("policy__version"))}
    by_target: dict[int, list[Policy]] = defaultdict(list)
    for found in Policy.objects.current():
        by_target[found.target_id].append(found)
    return [
        Chapter(
            target,
            [
                replace(
                    _meaning(found, eligible, requests),
                    covered_by=_covered_by(found, by_target[target.pk]),
                    saved=saved.get(found.pk),
                )
                for found in by_target[target.pk]
            ],
        )
        for target in Target.objects.current()
    ]


def applications(model_name: str) -> list[Application]:
    """What a request for this model would need, target by target."""
    eligible = reviewers.eligible()
    found = []
    for target in Target.objects.current():
        rule = rules.rule_for(model_name, target)
        found.append(Application(target, rule, sentence(rule), policy.shortage(rule, eligible=eligible)))
    return found


def meaning(found: Policy) -> Meaning:
    return _meaning(found, reviewers.eligible(), _open_requests())


def unmet_without(person_id: int) -> list[Meaning]:
    """The policies that can be met now, and no more when this person may not review."""
    eligible = [reviewer for reviewer in reviewers.eligible() if reviewer.id != person_id]
    found = [_meaning(one, eligible, {}) for one in Policy.objects.current()]
    everyone = reviewers.eligible()
    return [one for one in found if one.shortage and not policy.shortage(one.rule, eligible=everyone)]


def sentence(rule: Rule) -> str:
    """What follows "needs": `2 approvals: 1 from risk and 1 from any reviewer; approvals need a comment; …`."""
    parts = [approvals(rule)]
    if rule.requires_reason:
        parts.append("approvals need a comment")
    if rule.metrics:
        parts.append(f"judged by {_listed([each.short for each in rule.metrics])}")
    if rule.batch_approval:
        parts.append("several can be approved at once")
    days = "1 day" if rule.open_for_days == 1 else f"{rule.open_for_days} days"
    return "; ".join([*parts, f"requests stay open for {days}"])


def approvals(rule: Rule) -> str:
    """The part of it that says who: `2 approvals: 1 from risk and 1 from any reviewer`."""
    if len(rule.slots) == 1:
        return rule.slots[0].sentence
    slots = " and ".join(f"{slot.approvals} from {slot.group or 'any reviewer'}" for slot in rule.slots)
    return f"{rule.approvals} approvals: {slots}"


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`; of more than three, how many more there are."""
    shown = [*names[:3], f"{len(names) - 3} more"] if len(names) > 3 else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def fallback() -> str:
    """What follows "needs" where no policy fits."""
    return sentence(policy.FALLBACK)


def _meaning(found: Policy, eligible: Sequence[policy.Reviewer], requests: OpenRequests) -> Meaning:
    rule = rules.rule_from(found, why="")
    return Meaning(
        policy=found,
        rule=rule,
        sentence=sentence(rule),
        states=policy.slot_states(rule, approvers=[], eligible=eligible),
        shortage=policy.shortage(rule, eligible=eligible),
        open_requests=[pk for pk, _ in requests.get(found.pk, [])],
        older=_older(found, requests.get(found.pk, [])),
    )


def _older(found: Policy, requests: Sequence[tuple[int, int | None]]) -> str:
    """How many open requests were made under which version that stands no more."""
    tally = Counter(version for _, version in requests if version is not None and version != found.version)
    return " ".join(
        f"{count} open request{' was' if count == 1 else 's were'} made under version {version}."
        for version, count in sorted(tally.items())
    )


def _covered_by(found: Policy, row: Sequence[Policy]) -> str:
    before = row[: row.index(found)]
    return next((each.model_pattern for each in before if policy.covers(each.model_pattern, found.model_pattern)), "")


def _open_requests() -> OpenRequests:
    """Open requests by the policy that they were made under: the request's id and the number of the version."""
    by_policy: OpenRequests = defaultdict(list)
    # By their keys, which an index alone has: SQLite would else walk through all requests.
    known = PromotionRequest.objects.open().order_by().values("pk")
    rows = PromotionRequest.objects.filter(pk__in=known).order_by("pk")
    for pk, policy_id, version in rows.values_list("pk", "rule__policy_id", "rule__policy_version"):
        if policy_id is not None:
            by_policy[int(policy_id)].append((pk, version))
    return by_policy
