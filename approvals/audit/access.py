"""Who can approve what: the people against the slots of every policy, now or at a moment, and the changes of roles."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import StrIndex

from accounts import roles
from approvals import policy as rules
from approvals.audit import replay
from approvals.ledger import sentences
from approvals.models import Action, AuditEvent, Identity

REVIEW, OVERRIDE, ROLL_BACK = "approvals.review_promotion", "approvals.override_check", "approvals.roll_back"
BREAK_GLASS, POLICIES, PEOPLE = "approvals.break_glass", "approvals.manage_policies", "accounts.manage_people"
POWERS = {
    OVERRIDE: "overrides checks",
    ROLL_BACK: "rolls back",
    BREAK_GLASS: "promotes in an emergency",
    POLICIES: "changes policies",
    PEOPLE: "manages people",
}
"""What else may lead to a promotion, or to the power over one."""


@dataclass(frozen=True, slots=True)
class Column:
    """One slot of one policy."""

    target: str
    pattern: str
    version: int
    slot: rules.SlotRule
    enforcement: str
    """Of the target: off, observe or enforce."""

    @property
    def needs(self) -> str:
        return self.slot.sentence

    @property
    def in_mlflow(self) -> str:
        """`enforced in MLflow`; "" where nothing is asked of MLflow."""
        return {"enforce": "enforced in MLflow", "observe": "observed in MLflow"}.get(self.enforcement, "")

    @property
    def label(self) -> str:
        return f"{self.target} of {self.pattern}: {self.slot.group or 'any reviewer'}"


@dataclass(frozen=True, slots=True)
class Row:
    person: replay.Person
    roles: Sequence[str]
    groups: Sequence[str]
    powers: Sequence[str]
    fills: Sequence[bool]
    """For each column, whether the person can fill the slot (not of their own requests and versions)."""

    @property
    def name(self) -> str:
        return self.person.label.partition(" <")[0]

    @property
    def kinds(self) -> str:
        """`reviewer; risk; a program`: roles, groups, and that it is no person."""
        parts = [", ".join(self.roles) or "no role", ", ".join(self.groups)]
        return "; ".join(filter(None, [*parts, "a program" if self.person.is_service_account else ""]))


@dataclass(frozen=True, slots=True)
class Matrix:
    columns: Sequence[Column]
    rows: Sequence[Row]
    """Those who can do anything first, then by name. People who are not active are left out."""

    unrecorded: Sequence[str]
    """Labels of those whose roles no event tells."""


def may(person: replay.Person, permission: str) -> bool:
    """By the roles as they are today: what a role may do changes with the version of Countersign, not by an event."""
    return person.is_active and any(permission in roles.PERMISSIONS.get(group, ()) for group in person.groups)


def matrix(state: replay.State, *, model_name: str = "", target: str = "") -> Matrix:
    """`model_name` keeps, of each target, the one policy that applies to it."""
    columns = list(_columns(state, model_name, target))
    rows = [_row(person, columns) for person in state.people.values() if person.is_active]
    rows.sort(key=lambda row: (not any(row.fills), not row.powers, row.name.lower(), row.person.id))
    return Matrix(columns, rows, sorted(row.person.label for row in rows if not row.person.is_recorded))


def _columns(state: replay.State, model_name: str, target: str) -> Iterator[Column]:
    for name, terms in state.targets.items():
        if target and name != target:
            continue
        mode = state.enforced.get(name, "off")
        found = [(each, rules.Rule.from_json(each.terms)) for each in terms]
        if model_name:
            found = [(each, rule) for each, rule in found if rules.matches(rule.model_pattern, model_name)][:1]
            if not found:
                yield from (Column(name, "", 0, slot, mode) for slot in rules.FALLBACK.slots)
        for each, rule in found:
            yield from (Column(name, rule.model_pattern, each.version, slot, mode) for slot in rule.slots)


def _row(person: replay.Person, columns: Sequence[Column]) -> Row:
    reviews = may(person, REVIEW) and not person.is_service_account
    as_reviewer = rules.Reviewer(person.id, person.label, person.groups)
    return Row(
        person=person,
        roles=[name for name in roles.PERMISSIONS if name in person.groups],
        groups=sorted(person.groups - set(roles.PERMISSIONS)),
        powers=[words for permission, words in POWERS.items() if may(person, permission)],
        fills=[reviews and as_reviewer.fits(column.slot) for column in columns],
    )


CSV_COLUMNS = (
    "at",
    "person",
    "roles",
    "groups",
    "other_powers",
    "target",
    "pattern",
    "policy_version",
    "slot",
    "in_mlflow",
    "can",
)


def plain(found: Matrix, moment: datetime) -> Iterator[dict[str, Any]]:
    """One row for each person and slot; keys are CSV_COLUMNS."""
    for row in found.rows:
        for column, fills in zip(found.columns, row.fills, strict=True):
            yield {
                "at": moment.isoformat(),
                "person": row.person.label,
                "roles": " ".join(row.roles),
                "groups": "; ".join(row.groups),
                "other_powers": "; ".join(row.powers),
                "target": column.target,
                "pattern": column.pattern,
                "policy_version": column.version or None,
                "slot": column.needs,
                "in_mlflow": column.enforcement,
                "can": "yes" if fills else "no",
            }


# --- Changes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoleChange:
    event: AuditEvent
    person: str
    sentence: str
    before: Sequence[str] | None
    """Roles and groups; None where the event does not change them."""

    after: Sequence[str] | None


def role_events(*, until: datetime | None = None, person: str = "") -> QuerySet[AuditEvent]:
    """Events of roles, groups, policies and targets, the newest first; `person` is part of a label
    that a person had, then or since; events from before names were tokens have it in their text."""
    found = AuditEvent.objects.filter(action__in=replay.TOLD).order_by("-sequence")
    found = found.filter(at__lte=until) if until else found
    if not person:
        return found
    called = Q(label__icontains=person)
    if number := re.search(r"\bperson (\d{1,9})\b", person, re.IGNORECASE):
        called |= Q(person_id=int(number[1])) & ~Q(erased_at=None)  # how the pseudonymised are shown
    place = StrIndex(OuterRef("payload"), F("commitment"))
    named = Identity.objects.filter(called).alias(place=place).filter(place__gt=0)
    older = ~Q(payload__contains="⟨person ") & Q(payload__icontains=person)
    return found.filter(Exists(named) | older, action__startswith="person.")


def role_changes(events: Iterable[AuditEvent]) -> list[RoleChange]:
    return [_role_change(event) for event in events]


def _role_change(event: AuditEvent) -> RoleChange:
    data, before, after = event.data, None, None
    match Action(event.action):
        case Action.PERSON_CHANGED:
            before, after = data.get("before", []), data.get("after", [])
        case Action.PERSON_INVITED | Action.SERVICE_ACCOUNT_MADE:
            before, after = [], data.get("groups", [])
        case Action.PERSON_DEACTIVATED:
            before, after = data.get("groups", []), []
        case Action.PERSON_REACTIVATED:
            before, after = [], data.get("groups", [])
    return RoleChange(event, str(data.get("person", "")), sentences.sentence(event), before, after)
