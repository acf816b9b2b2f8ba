"""Which policy applies, who may do what and why not, and what is still missing. Pure: no database, no clock.

The page, the view and the verb all ask the same functions, so they cannot disagree.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

# --- Which policy applies ---------------------------------------------------------------------------------------------


class HasPattern(Protocol):
    @property
    def model_pattern(self) -> str: ...


P = TypeVar("P", bound=HasPattern)


def matches(pattern: str, model_name: str) -> bool:
    """Whether the whole name fits: * is any text, ? one character, everything else itself (case-sensitive)."""
    wild = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(wild, model_name, re.DOTALL) is not None


def specificity(pattern: str) -> tuple[bool, int, int]:
    """Sort key, the most specific first when reversed: an exact name, then more literal characters, then fewer
    stars."""
    literal = sum(char not in "*?" for char in pattern)
    return (literal == len(pattern), literal, -pattern.count("*"))


def applicable(policies: Iterable[P], model_name: str) -> list[P]:
    """The policies whose pattern fits the model, the one that applies first. `policies` are those of one target."""
    fitting = [policy for policy in policies if matches(policy.model_pattern, model_name)]
    return sorted(fitting, key=lambda policy: specificity(policy.model_pattern), reverse=True)


# --- The rule, as a request keeps it ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SlotRule:
    approvals: int
    group: str | None = None
    """Name of the group the approvals must come from; None is any reviewer."""

    @property
    def sentence(self) -> str:
        noun = "approval" if self.approvals == 1 else "approvals"
        return f"{self.approvals} {noun} from {self.group or 'any reviewer'}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy as it stood when a request was made; survives edits of the policy."""

    model_pattern: str
    slots: tuple[SlotRule, ...]
    requires_reason: bool
    open_for_days: int
    policy_id: int | None = None
    why: str = ""

    @property
    def approvals(self) -> int:
        return sum(slot.approvals for slot in self.slots)

    @property
    def sentence(self) -> str:
        return " and ".join(slot.sentence for slot in self.slots)

    def as_json(self) -> dict[str, Any]:
        return {
            "policy_id": self.policy_id,
            "model_pattern": self.model_pattern,
            "slots": [{"approvals": slot.approvals, "group": slot.group} for slot in self.slots],
            "requires_reason": self.requires_reason,
            "open_for_days": self.open_for_days,
            "why": self.why,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Rule":
        return cls(**{**data, "slots": tuple(SlotRule(**slot) for slot in data["slots"])})


FALLBACK = Rule(
    model_pattern="",
    slots=(SlotRule(approvals=2),),
    requires_reason=False,
    open_for_days=14,
    why="No policy fits this model and target, so the strictest default applies: two approvals from any reviewer.",
)

# --- Slots: who filled them, who still can ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A person who may review at all (active, with the permission), and their groups."""

    id: int
    label: str
    groups: frozenset[str]

    def fits(self, slot: SlotRule) -> bool:
        return slot.group is None or slot.group in self.groups


@dataclass(frozen=True, slots=True)
class SlotState:
    slot: SlotRule
    filled_by: tuple[Reviewer, ...]
    candidates: tuple[Reviewer, ...]
    """Who could still fill it: fits, has not decided yet, is not the requester."""

    @property
    def missing(self) -> int:
        return self.slot.approvals - len(self.filled_by)

    @property
    def is_filled(self) -> bool:
        return self.missing == 0


def assign(slots: Sequence[SlotRule], people: Sequence[Reviewer]) -> list[list[Reviewer]]:
    """Gives each person to at most one slot so that as many approvals as possible count (bipartite matching).

    Returns one list per slot. Earlier people keep their place where there is a choice.
    """
    places = [index for index, slot in enumerate(slots) for _ in range(slot.approvals)]
    holder: list[Reviewer | None] = [None] * len(places)

    def place(person: Reviewer, tried: set[int]) -> bool:
        open_to = [spot for spot, index in enumerate(places) if person.fits(slots[index])]
        # A free place first, so that nobody is moved without need.
        for spot in sorted(open_to, key=lambda spot: holder[spot] is not None):
            if spot in tried:
                continue
            tried.add(spot)
            current = holder[spot]
            if current is None or place(current, tried):
                holder[spot] = person
                return True
        return False

    for person in people:
        place(person, set())
    return [
        [person for spot, person in enumerate(holder) if person is not None and places[spot] == index]
        for index in range(len(slots))
    ]


def slot_states(
    rule: Rule, *, approvers: Sequence[Reviewer], eligible: Sequence[Reviewer], requester_id: int | None
) -> list[SlotState]:
    """`approvers` approved already (in time order) and are still eligible; `eligible` are all who may review."""
    decided = {person.id for person in approvers}
    free = [person for person in eligible if person.id not in decided and person.id != requester_id]
    return [
        SlotState(
            slot,
            tuple(person for person in approvers if person in filled),  # in the order in which they approved
            tuple(person for person in free if person.fits(slot)),
        )
        for slot, filled in zip(rule.slots, assign(rule.slots, approvers), strict=True)
    ]


def is_met(states: Sequence[SlotState]) -> bool:
    return all(state.is_filled for state in states)


def waits_for(states: Sequence[SlotState]) -> str:
    """The groups that still have to approve, as the inbox searches them: `|risk|*|`, * for any reviewer; "" for
    none."""
    missing = dict.fromkeys(state.slot.group or "*" for state in states if not state.is_filled)
    return f"|{'|'.join(missing)}|" if missing else ""


def still_needed(states: Sequence[SlotState]) -> int:
    return sum(state.missing for state in states)


def shortage(rule: Rule, *, eligible: Sequence[Reviewer], requester_id: int | None = None) -> str:
    """A sentence that says why the rule can never be met by these people, or "" when it can."""
    people = [person for person in eligible if person.id != requester_id]
    short = [
        f"{slot.sentence} ({len([p for p in people if p.fits(slot)])} eligible)"
        for slot, given in zip(rule.slots, assign(rule.slots, people), strict=True)
        if len(given) < slot.approvals
    ]
    if not short:
        return ""
    besides = " besides the requester" if requester_id is not None else ""
    return f"This can never be met: it needs {' and '.join(short)}; there are not enough people{besides}."


# --- Who may do what --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor:
    id: int
    permissions: frozenset[str]

    def may(self, permission: str) -> bool:
        return permission in self.permissions


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether an action is open to a person; when it is not, `reason` is a sentence for them."""

    is_allowed: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.is_allowed


YES = Answer(True)


def no(reason: str) -> Answer:
    return Answer(False, reason)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What the answers below depend on, gathered once by `standing.of`."""

    status: str
    status_label: str
    requester_id: int
    states: Sequence[SlotState]
    is_overdue: bool
    own_verdict: str
    """The actor's live review in words ("Approved"), or "" when there is none."""
    own_groups: frozenset[str]
    stale: str
    """Why the request is out of date, as a sentence; "" when it is not."""

    vacates: str = ""
    """Why delivering it would leave a later target empty, as a sentence; "" when it would not."""


def available_actions(actor: Actor, facts: RequestFacts) -> dict[str, Answer]:
    """Every action on a request, with the answer for this person."""
    return {
        "approve": _may_approve(actor, facts),
        "reject": _may_decide(actor, facts),
        "request_changes": _may_decide(actor, facts),
        "comment": _may_comment(actor),
        "withdraw": _may_withdraw(actor, facts),
        "resubmit": _may_resubmit(actor, facts),
        "retry": _may_retry(actor, facts),
    }


def may_request(actor: Actor) -> Answer:
    if not actor.may("approvals.request_promotion"):
        return no("Only people with the requester role can ask for a promotion. An administrator can give it to you.")
    return YES


def _may_decide(actor: Actor, facts: RequestFacts) -> Answer:
    if facts.status != "pending":
        return no(f"There is nothing to decide: {facts.status_label.lower()}.")
    if facts.is_overdue:
        return no("This request has been open for longer than its policy allows and expires now.")
    if actor.id == facts.requester_id:
        return no("You asked for this promotion, so somebody else has to decide.")
    if not actor.may("approvals.review_promotion"):
        return no("Only reviewers decide on requests.")
    if facts.own_verdict:
        return no(f"You have already decided: {facts.own_verdict.lower()}.")
    return YES


def _may_approve(actor: Actor, facts: RequestFacts) -> Answer:
    answer = _may_decide(actor, facts)
    if not answer:
        return answer
    if facts.vacates:
        return no(facts.vacates)
    if facts.stale:
        return no(f"{facts.stale} The requester has to submit the request again before it can be approved.")
    me = Reviewer(actor.id, "", facts.own_groups)
    open_slots = [state.slot for state in facts.states if not state.is_filled]
    approvers = [person for state in facts.states for person in state.filled_by]
    before = len(approvers)
    rule_slots = [state.slot for state in facts.states]
    if sum(map(len, assign(rule_slots, [*approvers, me]))) == before:
        needed = " and ".join(slot.sentence for slot in open_slots)
        return no(f"What is missing has to come from others: {needed}.")
    return YES


def _may_comment(actor: Actor) -> Answer:
    if not actor.may("approvals.comment_on_request"):
        return no("Only requesters and reviewers take part in the discussion.")
    return YES


def _may_withdraw(actor: Actor, facts: RequestFacts) -> Answer:
    if facts.status not in ("pending", "changes_requested", "failed"):
        return no(f"It cannot be withdrawn any more: {facts.status_label.lower()}.")
    if actor.id != facts.requester_id:
        return no("Only the person who asked can withdraw the request.")
    return YES


def _may_resubmit(actor: Actor, facts: RequestFacts) -> Answer:
    is_stale = facts.status == "pending" and bool(facts.stale)
    if facts.status not in ("changes_requested", "failed") and not is_stale:
        return no("There is nothing to submit again.")
    if actor.id != facts.requester_id:
        return no("Only the person who asked can submit the request again.")
    return may_request(actor)


def _may_retry(actor: Actor, facts: RequestFacts) -> Answer:
    if facts.status != "failed":
        return no("Only a failed delivery can be retried.")
    if not actor.may("approvals.retry_delivery"):
        return no("Reviewers and administrators can retry a failed delivery.")
    return YES
