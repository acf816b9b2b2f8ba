"""Who had which roles, and which policies stood, at a moment: replayed from the ledger's events, or as it is now.

What no event tells stays as every installation starts (`approvals.models.defaults`), or, of people, as the first event
about them says it was before; such people are marked.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from accounts.models import User
from approvals.models import Action, AuditEvent, Enforcement, Policy, PolicyVersion, Target

_KINDS = ("person.", "policy.", "target.", "group.")
TOLD = tuple(action for action in Action if action.startswith(_KINDS))
"""Every event that can change who may approve what."""


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    label: str
    groups: frozenset[str] = frozenset()
    """Roles among them."""

    is_active: bool = True
    is_service_account: bool = False
    is_recorded: bool = True
    """False: no event by then records this person's roles, so they are as the next event says or as they are now."""


@dataclass(frozen=True, slots=True)
class Term:
    """One policy as it stood."""

    policy_id: int
    version: int
    terms: Mapping[str, Any]

    @property
    def pattern(self) -> str:
        return str(self.terms.get("model_pattern", ""))


@dataclass(slots=True)
class State:
    people: dict[int, Person] = field(default_factory=dict)
    targets: dict[str, list[Term]] = field(default_factory=dict)
    """Policies by the name of their target, in the order in which they apply. Targets in use alone."""

    enforced: dict[str, str] = field(default_factory=dict)
    """By the name of the target: what MLflow does with changes that were not approved; see `Enforcement`."""

    @property
    def settled(self) -> "State":
        """For comparing: without what only says how it is known."""
        people = {pk: replace(each, is_recorded=True) for pk, each in self.people.items()}
        return State(people, self.targets, self.enforced)


# --- As it is now -----------------------------------------------------------------------------------------------------


def now() -> State:
    """From the tables themselves."""
    targets = list(Target.objects.current())
    found = State(
        targets={target.name: [] for target in targets},
        enforced={target.name: target.enforcement for target in targets},
    )
    for user in User.objects.prefetch_related("groups"):
        groups = frozenset(group.name for group in user.groups.all())
        found.people[user.pk] = Person(user.pk, user.label, groups, user.is_active, user.is_service_account)
    for policy in Policy.objects.current():
        found.targets.setdefault(policy.target.name, []).append(Term(policy.pk, policy.version, policy.terms))
    return found


# --- As it was --------------------------------------------------------------------------------------------------------


def at(moment: datetime) -> State:
    """From the events up to and including `moment`, in their order. Reads each event of TOLD once: memory holds the
    state alone."""
    state = State(targets=_beginnings())
    state.enforced = {name: mode for name, mode in _enforced_at_first().items() if name in state.targets}
    later: dict[int, Person] = {}
    ids = {label: pk for pk, label in _labels().items()}
    for event in AuditEvent.objects.filter(action__in=TOLD).order_by("sequence").iterator(chunk_size=2000):
        if event.at <= moment:
            _STEPS[Action(event.action)](state, event, ids)
        else:
            _remember_before(state, later, event, ids)
    _add_unrecorded(state, later, moment)
    return state


def _beginnings() -> dict[str, list[Term]]:
    """The targets and policies that the installation came with, and those of no event: see `defaults`. A policy's first
    version, unless an event records its making."""
    made = set(_policies_made())
    renamed = _first_names()
    found: dict[str, list[Term]] = {}
    born = {str(event.target_name) for event in AuditEvent.objects.filter(action=Action.TARGET_CREATED)}
    for target in Target.objects.order_by("position", "pk"):
        name = renamed.get(target.name, target.name)
        if name not in born:
            found[name] = []
    installed = PolicyVersion.objects.filter(number=1).exclude(policy_id__in=made).select_related("policy__target")
    for version in installed.order_by("policy_id"):
        name = renamed.get(version.policy.target.name, version.policy.target.name)
        found.setdefault(name, []).append(Term(version.policy_id, 1, version.terms))
    return found


def _policies_made() -> Iterable[int]:
    for event in AuditEvent.objects.filter(action=Action.POLICY_CREATED):
        number = event.data.get("after", {}).get("policy_id")
        if number is not None:
            yield int(number)


def _first_names() -> dict[str, str]:
    """By what a target is called now: what it was called at first, where it was renamed."""
    first: dict[str, str] = {}
    for event in AuditEvent.objects.filter(action=Action.TARGET_CHANGED).order_by("sequence"):
        before, after = event.data.get("before", {}).get("name"), event.data.get("after", {}).get("name")
        if before and after and before != after:
            first[after] = first.pop(before, before)
    return first


def _enforced_at_first() -> dict[str, str]:
    """By what a target was called at first: how its first change found it, or else how it is now. Production may be
    enforced from the first minute, by no event: see `defaults`."""
    renamed = _first_names()
    found = {renamed.get(target.name, target.name): str(target.enforcement) for target in Target.objects.all()}
    changes = (Action.TARGET_CHANGED, Action.TARGET_RETIRED)
    for event in AuditEvent.objects.filter(action__in=changes).order_by("-sequence"):
        before = event.data.get("before", {})
        if name := before.get("name"):
            found[name] = str(before.get("enforcement") or Enforcement.OFF)
    return found


def _labels() -> dict[int, str]:
    return {user.pk: user.label for user in User.objects.all()}


def _person_of(state: State, event: AuditEvent, ids: Mapping[str, int]) -> Person | None:
    """Whom the event is about: by number, or in older events by the label that they still have; None: no one known."""
    data = event.data
    label = str(data.get("person") or data.get("after") or "")
    number = data.get("person_id") or ids.get(label) or _by_label(state, str(data.get("person", "")))
    if number is None:
        return None
    return state.people.get(int(number)) or Person(int(number), label)


def _by_label(state: State, label: str) -> int | None:
    return next((pk for pk, each in state.people.items() if each.label == label), None)


def _remember_before(state: State, later: dict[int, Person], event: AuditEvent, ids: Mapping[str, int]) -> None:
    """The first event after the moment says what a person was before it, if nothing has said so yet."""
    if not event.action.startswith("person."):
        return
    found, data = _person_of(state, event, ids), event.data
    if found is None or found.id in later or found.id in state.people:
        return
    if event.action in (Action.PERSON_INVITED, Action.SERVICE_ACCOUNT_MADE):
        later[found.id] = replace(found, is_active=False, groups=frozenset())  # not there yet
    elif event.action == Action.PERSON_CHANGED:
        later[found.id] = replace(found, groups=frozenset(data.get("before", ())), is_recorded=False)
    elif event.action in (Action.PERSON_DEACTIVATED, Action.PERSON_REACTIVATED):
        is_active = event.action == Action.PERSON_DEACTIVATED
        later[found.id] = replace(
            found, groups=frozenset(data.get("groups", ())), is_active=is_active, is_recorded=False
        )


def _add_unrecorded(state: State, later: Mapping[int, Person], moment: datetime) -> None:
    """People of whom no event by then tells: those who came by themselves (an identity provider) have no role until an
    event gives one, those who were there before events were written have what the next one says, or what they have."""
    for user in User.objects.filter(joined_at__lte=moment).prefetch_related("groups"):
        if user.pk in state.people:
            continue
        if user.pk in later:
            found = later[user.pk]
            if found.is_recorded:  # their invitation comes later
                continue
            state.people[user.pk] = found
        else:
            groups = frozenset(group.name for group in user.groups.all())
            state.people[user.pk] = Person(
                user.pk, user.label, groups, user.is_active, user.is_service_account, is_recorded=not groups
            )


# --- Steps ------------------------------------------------------------------------------------------------------------

Step = Callable[[State, AuditEvent, Mapping[str, int]], None]


def _set_person(state: State, event: AuditEvent, ids: Mapping[str, int], **fields: Any) -> None:
    found = _person_of(state, event, ids)
    if found is not None:
        state.people[found.id] = replace(found, **fields)


def _invited(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    _set_person(state, event, ids, groups=frozenset(event.data.get("groups", ())), is_active=True, is_recorded=True)


def _made(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    _invited(state, event, ids)
    _set_person(state, event, ids, is_service_account=True)


def _changed(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    _set_person(state, event, ids, groups=frozenset(event.data.get("after", ())), is_recorded=True)


def _identified(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    is_program = bool(event.data.get("after", {}).get("is_service_account"))
    _set_person(state, event, ids, is_service_account=is_program)


def _active(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    groups = frozenset(event.data.get("groups", ()))
    is_active = event.action == Action.PERSON_REACTIVATED
    _set_person(state, event, ids, is_active=is_active, groups=groups, is_recorded=True)


def _renamed(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    data = event.data
    number = next(iter(event.people("after")), None)
    if number is None:  # from before names were tokens
        number = _by_label(state, str(data.get("before", ""))) or ids.get(str(data.get("after")))
    if number in state.people:
        state.people[number] = replace(state.people[number], label=str(data.get("after", "")))


def _target_created(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    state.targets.setdefault(event.target_name, [])
    state.enforced[event.target_name] = _enforcement(event)


def _target_changed(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    before, after = (event.data.get(key, {}).get("name") for key in ("before", "after"))
    if before and after and before != after and before in state.targets:
        state.targets[after] = state.targets.pop(before)
        state.enforced.pop(before, None)
    state.enforced[after or event.target_name] = _enforcement(event)


def _target_retired(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    state.targets.pop(event.target_name, None)
    state.enforced.pop(event.target_name, None)


def _enforcement(event: AuditEvent) -> str:
    """Events from before MLflow could enforce anything say nothing of it."""
    return str(event.data.get("after", {}).get("enforcement") or Enforcement.OFF)


def _policy_created(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    after, row = event.data["after"], state.targets.setdefault(event.target_name, [])
    if made := _term(after):
        row.insert(max(0, int(after.get("position") or len(row) + 1) - 1), made)


def _policy_changed(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    if made := _term(event.data["after"]):
        row = state.targets.get(event.target_name, [])
        row[:] = [made if each.policy_id == made.policy_id else each for each in row]


def _policy_retired(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    number = event.data["before"].get("policy_id")
    row = state.targets.get(event.target_name, [])
    row[:] = [each for each in row if each.policy_id != number]


def _policy_reordered(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    order = {pattern: place for place, pattern in enumerate(event.data.get("after", ()))}
    state.targets.get(event.target_name, []).sort(key=lambda each: order.get(each.pattern, len(order)))


def _term(told: Mapping[str, Any]) -> Term | None:
    """None for events from before policies were documents: what stood then came over as the first version."""
    if "terms" not in told:
        return None
    return Term(int(told["policy_id"]), int(told["version"]), told["terms"])


def _nothing(state: State, event: AuditEvent, ids: Mapping[str, int]) -> None:
    """A new group is no one's yet; a pseudonym changes no role."""


_STEPS: dict[Action, Step] = {
    Action.PERSON_INVITED: _invited,
    Action.PERSON_JOINED: _invited,
    Action.SERVICE_ACCOUNT_MADE: _made,
    Action.PERSON_CHANGED: _changed,
    Action.PERSON_IDENTIFIED: _identified,
    Action.PERSON_DEACTIVATED: _active,
    Action.PERSON_REACTIVATED: _active,
    Action.PERSON_RENAMED: _renamed,
    Action.PERSON_PSEUDONYMISED: _nothing,
    Action.GROUP_CREATED: _nothing,
    Action.TARGET_CREATED: _target_created,
    Action.TARGET_CHANGED: _target_changed,
    Action.TARGET_RETIRED: _target_retired,
    Action.POLICY_CREATED: _policy_created,
    Action.POLICY_CHANGED: _policy_changed,
    Action.POLICY_RETIRED: _policy_retired,
    Action.POLICY_REORDERED: _policy_reordered,
}
