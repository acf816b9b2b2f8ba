"""Slots: who filled them, who still can, and whose approval still counts after the evidence has changed."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from approvals.policy.rules import Rule, SlotRule


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A person who may review at all (active, with the permission), and their groups."""

    id: int
    label: str
    groups: frozenset[str]
    changed: frozenset[str] = frozenset()
    """Parts of the evidence that have changed since they signed."""

    names: frozenset[str] = frozenset()
    """What MLflow may call them, in lower case."""

    def fits(self, slot: SlotRule) -> bool:
        """Whether their approval can fill the slot: its group, and nothing that the slot looks at has changed since."""
        is_in_group = slot.group is None or slot.group in self.groups
        return is_in_group and not any(slot.sees(part) for part in self.changed)


@dataclass(frozen=True, slots=True)
class SlotState:
    slot: SlotRule
    filled_by: tuple[Reviewer, ...]
    candidates: tuple[Reviewer, ...]
    """Who could still fill it: fits, has not decided yet, is neither the requester nor an excluded contributor."""

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
        # A free place first, so that no one is moved without need.
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


def excluded(
    rule: Rule, *, asked_by: Iterable[int], named: Iterable[str], people: Iterable[Reviewer]
) -> frozenset[int]:
    """Ids of those who cannot approve: who counts as the requester (`asked_by`), and, where the rule excludes
    contributors, everyone whom MLflow names as one (`named`)."""
    if not rule.excludes_contributors:
        return frozenset(asked_by)
    contributors = {name.lower() for name in named}
    return frozenset({*asked_by, *(person.id for person in people if person.names & contributors)})


def slot_states(
    rule: Rule, *, approvers: Sequence[Reviewer], eligible: Sequence[Reviewer], excluded: Collection[int] = ()
) -> list[SlotState]:
    """`approvers` approved already (in time order) and are still eligible; `eligible` are all who may review;
    `excluded` are the ids of those who cannot approve: the requester, and contributors where the rule says so."""
    decided = {person.id for person in approvers}
    counted = [person for person in approvers if person.id not in excluded]
    free = [person for person in eligible if person.id not in decided and person.id not in excluded]
    return [
        SlotState(
            slot,
            tuple(person for person in counted if person in filled),  # in the order in which they approved
            tuple(person for person in free if person.fits(slot)),
        )
        for slot, filled in zip(rule.slots, assign(rule.slots, counted), strict=True)
    ]


def still_counts(rule: Rule, person: Reviewer) -> bool:
    """Whether an approval can fill any slot at all, after what has changed since it was given."""
    return any(person.fits(slot) for slot in rule.slots)


def is_met(states: Sequence[SlotState]) -> bool:
    return all(state.is_filled for state in states)


def waits_for(states: Sequence[SlotState]) -> str:
    """The groups that still have to approve, as the inbox searches them: `|risk|*|`, * for any reviewer; "" for
    none."""
    missing = dict.fromkeys(state.slot.group or "*" for state in states if not state.is_filled)
    return f"|{'|'.join(missing)}|" if missing else ""


def still_needed(states: Sequence[SlotState]) -> int:
    """How many approvals all slots together lack."""
    return sum(state.missing for state in states)


def shortage(rule: Rule, *, eligible: Sequence[Reviewer], excluded: Collection[int] = ()) -> str:
    """A sentence that says why the rule can never be met by these people, or "" when it can."""
    people = [person for person in eligible if person.id not in excluded]
    short = [
        f"{slot.sentence} ({len([p for p in people if p.fits(slot)])} eligible)"
        for slot, given in zip(rule.slots, assign(rule.slots, people), strict=True)
        if len(given) < slot.approvals
    ]
    if not short:
        return ""
    besides = " apart from those who are excluded" if excluded else ""
    return f"This policy cannot be met: it needs {' and '.join(short)}, and there are not enough people{besides}."
