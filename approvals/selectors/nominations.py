"""Who was asked by name to review a request, who still can be, and why others cannot."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from accounts.models import User
from approvals import policy
from approvals.models import Nomination, PromotionRequest
from approvals.selectors.request_state import RequestState
from mirror import composed


@dataclass(frozen=True, slots=True)
class Possible:
    """Who can be asked by name."""

    people: Sequence[policy.Reviewer]
    """Who can give a missing approval, by name."""

    groups: Sequence[str]
    """Of whose members one can."""


@dataclass(frozen=True, slots=True)
class Nominations:
    asked: Sequence[Nomination]
    """Not taken back, the first first."""

    possible: Possible
    """Without those who were asked."""


def possible(states: Iterable[policy.SlotState]) -> Possible:
    """Who could give an approval that is missing in one of these slots."""
    missing = [state for state in states if not state.is_filled]
    people = {each.id: each for state in missing for each in state.candidates}
    groups = dict.fromkeys(state.slot.group for state in missing if state.slot.group and state.candidates)
    return Possible(sorted(people.values(), key=lambda each: each.label.lower()), [*filter(None, groups)])


def of(now: RequestState) -> Nominations:
    """One query."""
    rows = composed.objects(_live, now.request.pk)
    asked, groups = {row.person_id for row in rows}, {row.group for row in rows}
    free = possible(now.states)
    people = [each for each in free.people if each.id not in asked]
    return Nominations(rows, Possible(people, [group for group in free.groups if group not in groups]))


def _live(request: int) -> QuerySet[Nomination]:
    found: QuerySet[Nomination] = Nomination.objects.live().filter(request=request)
    return found.select_related("person").order_by("pk")


def _open(now: RequestState) -> list[policy.SlotState]:
    return [state for state in now.states if not state.is_filled]


def refusal_of_person(now: RequestState, person: User) -> str:
    """Why this person cannot review the request now, as a sentence; "" when they can."""
    if any(person.pk == each.id for state in _open(now) for each in state.candidates):
        return ""
    if all(person.pk != each.id for each in now.eligible):
        return f"{person.name} cannot review: that needs an active account with the reviewer role."
    if person.pk in now.request.asked_by:
        return f"{person.name} requested this promotion, so another person must review it."
    if person.pk in now.excluded:
        return f"{person.name} contributed to this version, so another person must review it."
    if person.pk in now.counted:
        return f"{person.name} has already approved."
    needed = " and ".join(state.slot.sentence for state in _open(now))
    return f"{person.name} cannot give what is missing: {needed}." if needed else "No approval is missing."


def refusal_of_group(now: RequestState, group: str) -> str:
    """Why this group cannot be asked, as a sentence; "" when it can."""
    slots = [state for state in _open(now) if state.slot.group == group]
    if not slots:
        return f"No missing approval has to come from the group {group}."
    if not any(state.candidates for state in slots):
        return f"No one in the group {group} can review this request."
    return ""


def addressed(requests: Collection[PromotionRequest], user: User) -> set[int]:
    """Ids of those of these requests that this person was asked to review, by name or with a group. One query."""
    known = tuple(request.pk for request in requests)
    return set(composed.objects(_addressed, known, user.pk, user.group_names or ("",)))


def _addressed(requests: tuple[int, ...], person: int, groups: tuple[str, ...]) -> QuerySet[Any, int]:
    """A nomination of a person has no group."""
    mine = Q(person=person) | (Q(group__in=groups) & ~Q(group=""))
    return Nomination.objects.live().filter(mine, request__in=requests).values_list("request_id", flat=True)


def nominated(request: PromotionRequest) -> set[int]:
    """Ids of everyone who was asked by name or with a group, whether they still may review or not. One query."""
    live = request.nominations.live()
    mine = Q(nominations__in=live) | Q(groups__name__in=live.exclude(group="").values("group"))
    return set(User.objects.filter(mine).values_list("pk", flat=True))
