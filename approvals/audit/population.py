"""The changes under the population: every change of what held a place of a target in a period, each with its cause.
`units` puts together what one delivery or incident changed.

A change is a tenure that began, together with what it replaced, or a tenure that ended without another beginning at
the same place by the same event. Both are read from `Tenure` alone; the cause is what the ledger and the incidents say.
"""

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Coalesce

from approvals.audit.periods import Period
from approvals.evidence import canonical
from approvals.ledger import machines
from approvals.models import Action, AuditEvent, Incident, RequestKind, Target, Tenure
from approvals.selectors.history import guarded

CHUNK = 500
HEAVY = ("request__evidence", "request__parts", "request__rule")
"""What a request has that may be long and that no row of the population shows."""


class Cause(StrEnum):
    """Why it changed, and how it counts: see COUNTED_AS."""

    DELIVERY = "delivery"
    ROLLBACK = "rollback"
    BREAK_GLASS = "break_glass"
    PUT_BACK = "put_back"
    INCIDENT = "incident"
    FOUND = "found"
    IMPORTED = "imported"
    RETIRED = "retired"
    UNEXPLAINED = "unexplained"


CAUSES: dict[Cause, str] = {
    Cause.DELIVERY: "Delivery of an approved request",
    Cause.ROLLBACK: "Rollback",
    Cause.BREAK_GLASS: "Emergency promotion",
    Cause.PUT_BACK: "Reverted by Countersign",
    Cause.INCIDENT: "Change outside Countersign",
    Cause.FOUND: "Found in place before Countersign",
    Cause.IMPORTED: "Imported from earlier records",
    Cause.RETIRED: "The target is no longer watched",
    Cause.UNEXPLAINED: "Unexplained",
}
DELIVERED = (Cause.DELIVERY, Cause.ROLLBACK, Cause.BREAK_GLASS, Cause.PUT_BACK)
OUTSIDE_OF_IT = (Cause.FOUND, Cause.IMPORTED, Cause.RETIRED)
"""No change in MLflow that was seen in the period: first seen then, told by other records, or no longer looked at."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an audit looks at."""

    period: Period
    model_name: str = ""
    target: Target | None = None

    @property
    def filters(self) -> dict[str, str]:
        """In words, for the event of an export and the files of an archive."""
        return {
            "since": self.period.since.isoformat(),
            "until": self.period.until.isoformat(),
            "model": self.model_name,
            "target": self.target.name if self.target else "",
        }

    def before(self, own: AuditEvent) -> "Scope":
        """The same, but nothing that comes after `own`, the event of the export: what is read twice is the same both
        times."""
        until = min(self.period.until, own.at)
        return replace(self, period=Period(min(self.period.since, until), until))

    def of_tenures(self, found: QuerySet[Tenure]) -> QuerySet[Tenure]:
        """Without the period."""
        found = found.filter(model_name=self.model_name) if self.model_name else found
        return found.filter(target=self.target) if self.target else found

    def of_events(self, found: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Without the period."""
        found = found.filter(model_name=self.model_name) if self.model_name else found
        return found.filter(target_name=self.target.name) if self.target else found

    def of_incidents(self, found: QuerySet[Incident]) -> QuerySet[Incident]:
        """Those of `found` that were seen in the period, of the scope's model and target."""
        found = found.filter(seen_at__gte=self.period.since, seen_at__lt=self.period.until)
        found = found.filter(model_name=self.model_name) if self.model_name else found
        return found.filter(target=self.target) if self.target else found


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the population."""

    id: str
    """`start-17` or `end-17`: which end of which tenure."""

    at: datetime
    not_before: datetime | None
    """Of what was found: it was not so then. None: `at` is exact, as far as Countersign did it."""

    tenure: Tenure
    replaced: Sequence[int]
    """Numbers of the versions that lost the place by it."""

    cause: Cause
    sequence: int | None
    """Number of the event that records it."""

    event: AuditEvent | None
    incident: Incident | None
    through: str = ""
    """The token with which the request was made, in words; "" where a person made it on a page."""

    @property
    def begins(self) -> bool:
        return self.id.startswith("start-")

    @property
    def request(self) -> Any:
        """The request that made the change, or the one that reviewed it afterwards; None where there is none."""
        if self.event is not None and self.event.request is not None:
            return self.event.request
        if self.incident is not None and self.incident.request is not None:
            return self.incident.request
        return self.tenure.request if self.begins else None

    @property
    def how(self) -> str:
        return str(self.tenure.get_origin_display() if self.begins else self.tenure.get_end_display())

    @property
    def cause_label(self) -> str:
        return CAUSES[self.cause]

    @property
    def sentence(self) -> str:
        """`version 8 took Production, replacing version 7`."""
        tenure = self.tenure
        if not self.begins:
            return f"version {tenure.version_number} left {tenure.place}"
        numbers = " and ".join(map(str, self.replaced))
        noun = "version" if len(self.replaced) == 1 else "versions"
        return f"version {tenure.version_number} took {tenure.place}" + (
            f", replacing {noun} {numbers}" if numbers else ""
        )

    def as_plain(self) -> dict[str, Any]:
        """Text, numbers and None; times in ISO 8601, UTC. One change in a unit's detail."""
        tenure, request, incident = self.tenure, self.request, self.incident
        return {
            "change": self.id,
            "at": self.at.isoformat(),
            "not_before": self.not_before.isoformat() if self.not_before else None,
            "model": tenure.model_name,
            "target": tenure.target.name,
            "place": tenure.place,
            "what": "began" if self.begins else "ended",
            "version": tenure.version_number,
            "replaced": " ".join(map(str, self.replaced)),
            "cause": str(self.cause),
            "how": self.how,
            "event": self.sequence,
            "request": request.pk if request else None,
            "requested_by": request.requester.label if request else tenure.requested_by,
            "requested_through": self.through,
            "allowed_by": "; ".join(self.event.allowed_by.splitlines()) if self.event else tenure.approved_by,
            "incident": incident.pk if incident else None,
            "resolution": incident.resolution or "open" if incident else "",
        }


def starts(scope: Scope) -> QuerySet[Tenure]:
    """Tenures that began in the period."""
    found = Tenure.objects.filter(started_at__gte=scope.period.since, started_at__lt=scope.period.until)
    return scope.of_tenures(found)


def lone_ends(scope: Scope) -> QuerySet[Tenure]:
    """Tenures that ended in the period while no other began at the same place by the same event."""
    found = Tenure.objects.filter(ended_at__gte=scope.period.since, ended_at__lt=scope.period.until)
    return without_following(scope.of_tenures(found))


def without_following(found: QuerySet[Tenure]) -> QuerySet[Tenure]:
    """Of ended tenures, those whose end is a change of its own."""
    following = Tenure.objects.filter(
        model_name=OuterRef("model_name"),
        target_id=OuterRef("target_id"),
        place=OuterRef("place"),
        started_at=OuterRef("ended_at"),
    )
    # What was imported has no event at either end: then the same moment is what joins them.
    mine, theirs = Coalesce("start_sequence", 0), Coalesce(OuterRef("end_sequence"), 0)
    following = following.alias(mine=mine).filter(mine=theirs)
    return found.filter(~Exists(following.exclude(pk=OuterRef("pk"))))


def changes(ids: Iterable[str]) -> list[Change]:
    """These changes, in this order; what is gone is left out. A handful of queries, however many ids."""
    wanted = [(each, *each.split("-")) for each in ids]
    tenures = (
        Tenure.objects.select_related("target", "request__requester")
        .defer(*HEAVY)
        .filter(pk__in={int(number) for _, _, number in wanted})
        .in_bulk()
    )
    rows = [(each, kind == "start", tenures[int(pk)]) for each, kind, pk in wanted if int(pk) in tenures]
    sequences = {sequence for _, begins, tenure in rows if (sequence := _sequence(tenure, begins)) is not None}
    events = (
        AuditEvent.objects.select_related("request__requester").defer(*HEAVY).filter(sequence__in=sequences).in_bulk()
    )
    incidents = _incidents(events.values(), sequences)
    replaced = _replaced([tenure for _, begins, tenure in rows if begins])
    found = [_change(each, tenure, begins, events, incidents, replaced) for each, begins, tenure in rows]
    through = _through({each.request.pk for each in found if each.request})
    return [replace(each, through=through.get(each.request.pk, "") if each.request else "") for each in found]


def _through(requests: Collection[int]) -> dict[int, str]:
    """By the request: the token with which it was made, in words. One query, none without requests."""
    if not requests:
        return {}
    made = AuditEvent.objects.filter(
        request__in=requests, action=Action.REQUEST_CREATED, payload__contains=f'"{machines.KEY}":'
    )
    found = [(event.request_id, machines.of(event)) for event in made]
    return {number: machine.words for number, machine in found if number and machine}


def _change(
    change_id: str,
    tenure: Tenure,
    begins: bool,
    events: Mapping[int, AuditEvent],
    incidents: Mapping[int, Incident],
    replaced: Mapping[int, list[int]],
) -> Change:
    sequence = _sequence(tenure, begins) or 0
    event = events.get(sequence)
    return Change(
        id=change_id,
        at=tenure.started_at if begins else tenure.ended_at or tenure.started_at,
        not_before=tenure.started_after if begins else tenure.ended_after,
        tenure=tenure,
        replaced=replaced.get(tenure.pk, []) if begins else [],
        cause=cause_of(
            tenure.origin if begins else tenure.end,
            event.action if event and tells_of(event, tenure, begins) else None,
            event.request.kind if event and event.request else None,
        ),
        sequence=sequence or None,
        event=event,
        incident=incidents.get(sequence),
    )


def _sequence(tenure: Tenure, begins: bool) -> int | None:
    return tenure.start_sequence if begins else tenure.end_sequence


def _incidents(events: Iterable[AuditEvent], sequences: Iterable[int]) -> dict[int, Incident]:
    """By the event: the incident that it opened, resolved, or put right."""
    named = {event.sequence: event.data.get("incident") for event in events if event.action in TELL_OF_INCIDENTS}
    related = Incident.objects.select_related("request__requester", "resolved_by").defer(*HEAVY)
    by_id = {each.pk: each for each in related.filter(pk__in=[pk for pk in named.values() if pk])} if named else {}
    opened = {each.opened_sequence: each for each in related.filter(opened_sequence__in=sequences)}
    return opened | {sequence: by_id[pk] for sequence, pk in named.items() if pk in by_id}


def _replaced(begun: Sequence[Tenure]) -> dict[int, list[int]]:
    """By the tenure that began: the versions whose tenures of the same place ended with it. One query."""
    ends = Tenure.objects.filter(ended_at__in={each.started_at for each in begun}).values_list(
        "model_name", "target_id", "place", "ended_at", "end_sequence", "version_number", "pk"
    )
    by_place: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for *place, number, pk in ends.order_by("version_number"):
        by_place.setdefault(tuple(place), []).append((number, pk))
    return {
        each.pk: [
            number
            for number, pk in by_place.get(
                (each.model_name, each.target_id, each.place, each.started_at, each.start_sequence), ()
            )
            if pk != each.pk
        ]
        for each in begun
    }


# --- Causes -----------------------------------------------------------------------------------------------------------

TELL_OF_INCIDENTS = (Action.INCIDENT_OPENED, Action.INCIDENT_RESOLVED, Action.VERSION_RESTORED)
_DELIVERED = {RequestKind.ROLLBACK: Cause.ROLLBACK, RequestKind.BREAK_GLASS: Cause.BREAK_GLASS}
_ORIGINS: dict[str, tuple[str, ...]] = {
    # origin or end: the events that may record it
    Tenure.Origin.DELIVERY: (Action.VERSION_PROMOTED, Action.DELIVERY_HALFWAY),
    Tenure.End.REPLACED: (Action.VERSION_PROMOTED, Action.DELIVERY_HALFWAY),
    Tenure.Origin.RESTORED: (Action.VERSION_RESTORED,),
    Tenure.Origin.OUTSIDE: (Action.INCIDENT_OPENED, Action.INCIDENT_RESOLVED, Action.TENURE_FOUND),
    Tenure.End.DELETED: (Action.INCIDENT_OPENED, Action.INCIDENT_RESOLVED),
    Tenure.End.RENAMED: (Action.INCIDENT_OPENED, Action.INCIDENT_RESOLVED),
    Tenure.Origin.FOUND: (Action.TENURE_FOUND,),
}
GOES_ON: Mapping[str, str] = {
    # What an event says with which a tenure continues under the origin that it had: the model was renamed, or what was
    # changed outside Countersign was changed back.
    Action.INCIDENT_OPENED: canonical({"kind": Incident.Kind.RENAMED})[1:-1],
    Action.INCIDENT_RESOLVED: canonical({"resolution": Incident.Resolution.UNDONE})[1:-1],
}
_CHANGED_OUTSIDE = (Tenure.Origin.OUTSIDE, Tenure.End.DELETED, Tenure.End.RENAMED)
EXACT = (Action.VERSION_PROMOTED, Action.VERSION_RESTORED, Action.DELIVERY_HALFWAY)
"""Events that name the very model (and, of what began, the very version) that they record."""
OF_A_REQUEST = (Action.VERSION_PROMOTED, Action.DELIVERY_HALFWAY)
"""Events that explain nothing without a request."""

TELLING: Mapping[str, Sequence[str]] = {
    # What an event may record, by its action: origins and ends. GOES_ON says what else.
    str(action): [str(how) for how, actions in _ORIGINS.items() if action in actions]
    for action in dict.fromkeys(action for actions in _ORIGINS.values() for action in actions)
}


def cause_of(how: str, action: str | None, kind: str | None) -> Cause:
    """`how` is the tenure's origin or end, `action` that of the event that records it (None: there is none), `kind`
    that of the event's request. A delivery without its event, or a change outside Countersign without an incident, is
    not explained. What was imported or is no longer watched needs no event."""
    if how == Tenure.Origin.IMPORTED:
        return Cause.IMPORTED
    if how == Tenure.End.RETIRED:
        return Cause.RETIRED
    if action not in _ORIGINS[how] and action not in GOES_ON:
        return Cause.UNEXPLAINED
    return told_by(action, kind)


def told_by(action: str | None, kind: str | None) -> Cause:
    """What an event that may record a change says of it; arguments as for `cause_of`."""
    match action:
        case Action.VERSION_PROMOTED | Action.DELIVERY_HALFWAY:
            return _DELIVERED.get(RequestKind(kind or ""), Cause.DELIVERY) if kind else Cause.UNEXPLAINED
        case Action.VERSION_RESTORED:
            return Cause.PUT_BACK
        case Action.TENURE_FOUND:
            return Cause.FOUND
    return Cause.INCIDENT


def tells_of(event: AuditEvent, tenure: Tenure, begins: bool) -> bool:
    """Whether an event is of this tenure at all; `tally` asks the same in SQL."""
    if event.action in GOES_ON and (tenure.origin if begins else tenure.end) not in _CHANGED_OUTSIDE:
        return begins and GOES_ON[event.action] in event.payload
    if event.action not in EXACT:
        return True
    is_version = not begins or event.version_number == tenure.version_number
    return event.model_name == tenure.model_name and is_version


# --- Downloads --------------------------------------------------------------------------------------------------------


class _Line:
    """What csv writes to: gives the line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Rows as CSV (RFC 4180), as they come. Cells that a spreadsheet would run as a formula get an apostrophe.
    Raises ValueError when two columns have one name, KeyError when a row lacks one."""
    if len(set(columns)) < len(columns):
        raise ValueError(f"Two columns have one name: {', '.join(columns)}.")
    writer = csv.writer(_Line())
    yield str(writer.writerow(columns))
    for row in rows:
        yield str(writer.writerow([guarded(row[column]) for column in columns]))


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Each row as one line of JSON, as they come."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"
