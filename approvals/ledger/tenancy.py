"""Tenures against the events that record their beginning and end, and promotions against their tenures."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Case, Min, Q, QuerySet, TextField, Value, When

from approvals.ledger.verdicts import Fault
from approvals.models import Action, AuditEvent, Incident, Tenure

A = Action
_BEGINS: dict[str, Sequence[str]] = {
    Tenure.Origin.DELIVERY: (A.VERSION_PROMOTED, A.DELIVERY_HALFWAY),
    Tenure.Origin.RESTORED: (A.VERSION_RESTORED, A.VERSION_PROMOTED),
    Tenure.Origin.FOUND: (A.TENURE_FOUND,),
    Tenure.Origin.OUTSIDE: (A.INCIDENT_OPENED, A.INCIDENT_RESOLVED),
    Tenure.Origin.IMPORTED: (A.HISTORY_IMPORTED,),
}
_GOES_ON: Mapping[str, tuple[str, str]] = {
    # events with which a tenure continues under the origin that it had: what each says, and of what
    A.INCIDENT_OPENED: ("kind", Incident.Kind.RENAMED),
    A.INCIDENT_RESOLVED: ("resolution", Incident.Resolution.UNDONE),
}
_NAMES_VERSION = (A.VERSION_PROMOTED, A.DELIVERY_HALFWAY, A.VERSION_RESTORED, A.TENURE_FOUND)
_AT_ONCE = (A.VERSION_PROMOTED, A.DELIVERY_HALFWAY)
"""Events that are written in the moment in which the tenure begins or ends."""

_SINCE = ("approvals", "0009_tenures_and_incidents")
PORTION = 500


def faults() -> Iterator[tuple[Fault, Callable[[], Fault | None] | None] | None]:
    """Each tenure that does not fit what events say, and each promotion without one; each with a function that looks
    again, to tell a fault from a change that came in between."""
    at = 0
    while True:
        portion = _rows(Tenure.objects.filter(pk__gt=at).order_by("pk")[:PORTION])
        if not portion:
            break
        for pk, fault in _compare(portion):
            yield fault, partial(_again, pk)
        at = portion[-1].pk
        yield None  # a sign of life
    for sequence, fault in _without_tenure():
        yield fault, partial(_still_without, sequence)


def _still_without(sequence: int) -> Fault | None:
    return next((fault for found, fault in _without_tenure(sequence - 1) if found == sequence), None)


def _again(pk: int) -> Fault | None:
    return next((fault for _, fault in _compare(_rows(Tenure.objects.filter(pk=pk)))), None)


Row = Any
"""A named row of the tenures, with `target__name`: a model's object would cost more than all that is compared."""


def _rows(tenures: QuerySet[Tenure]) -> list[Row]:
    columns = ("pk", "model_name", "version_number", "target__name", "place", "origin", "end")
    return list(tenures.values_list(*columns, "started_at", "ended_at", "start_sequence", "end_sequence", named=True))


@dataclass(frozen=True, slots=True)
class _Event:
    """As far as it is compared; the payload only where the data is looked at."""

    sequence: int
    action: str
    model_name: str
    target_name: str
    version_number: int | None
    at: datetime
    payload: str

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.payload))


def _events(numbers: Collection[int]) -> dict[int, _Event]:
    looked_at = Case(When(action__in=[*_GOES_ON], then="payload"), default=Value("{}"), output_field=TextField())
    columns = ("sequence", "action", "model_name", "target_name", "version_number", "at")
    rows = (
        AuditEvent.objects.filter(sequence__in=numbers).annotate(looked_at=looked_at).values_list(*columns, "looked_at")
    )
    return {row[0]: _Event(*row) for row in rows}


def _compare(tenures: Sequence[Row]) -> Iterator[tuple[int, Fault]]:
    numbers = {n for tenure in tenures for n in (tenure.start_sequence, tenure.end_sequence) if n is not None}
    events = _events(numbers) if numbers else {}
    for tenure in tenures:
        if fault := _fault_of_start(tenure, events) or _fault_of_end(tenure, events):
            yield tenure.pk, fault


def _name(tenure: Row) -> str:
    holder = f"{tenure.model_name} version {tenure.version_number}"
    return f"The tenure of {holder} in {tenure.target__name} ({tenure.place}, tenure {tenure.pk})"


def _fault_of_start(tenure: Row, events: Mapping[int, _Event]) -> Fault | None:
    if tenure.start_sequence is None:
        if tenure.origin == Tenure.Origin.DELIVERY:
            return Fault(f"{_name(tenure)} says that Countersign promoted it, but names no event.")
        return None
    event = events.get(tenure.start_sequence)
    if event is None:
        return Fault(f"{_name(tenure)} begins with event {tenure.start_sequence}, which is not there.")
    says = f"event {event.sequence}, which it begins with"
    if event.action not in _BEGINS.get(tenure.origin, (event.action,)) and not _goes_on(tenure, event):
        return Fault(f"{_name(tenure)} does not fit {says}: that is {event.action}.", event.sequence)
    targets = ("", event.target_name if _is_rename(event) else tenure.target__name)  # a rename is told once for all
    if event.model_name not in ("", tenure.model_name) or event.target_name not in targets:
        return Fault(f"{_name(tenure)} does not fit {says}: that is about another model or target.", event.sequence)
    if event.action in _NAMES_VERSION and event.version_number not in (None, tenure.version_number):
        return Fault(f"{_name(tenure)} does not fit {says}: that is about version {event.version_number}.",
                     event.sequence)  # fmt: skip
    if event.action in _AT_ONCE and tenure.started_at != event.at:
        return Fault(f"{_name(tenure)} begins at another time than event {event.sequence} says.", event.sequence)
    return None


def _is_rename(event: _Event) -> bool:
    return event.action == A.INCIDENT_OPENED and event.data.get("kind") == Incident.Kind.RENAMED


def _goes_on(tenure: Row, event: _Event) -> bool:
    """The model was renamed, or what was changed outside Countersign was changed back: what held before holds on."""
    key, value = _GOES_ON.get(event.action, ("", ""))
    return bool(key) and event.data.get(key) == value and tenure.origin != Tenure.Origin.IMPORTED


def _fault_of_end(tenure: Row, events: Mapping[int, _Event]) -> Fault | None:
    if tenure.end_sequence is None:
        return None
    event = events.get(tenure.end_sequence)
    if event is None:
        return Fault(f"{_name(tenure)} ends with event {tenure.end_sequence}, which is not there.")
    is_renamed = tenure.end == Tenure.End.RENAMED and _is_rename(event)
    if event.model_name not in ("", tenure.model_name) and not is_renamed:
        return Fault(f"{_name(tenure)} ends with event {event.sequence}, which is about another model.", event.sequence)
    if tenure.start_sequence is not None and tenure.end_sequence < tenure.start_sequence:
        return Fault(f"{_name(tenure)} ends with event {event.sequence}, which was before it began.", event.sequence)
    if event.action in _AT_ONCE and tenure.ended_at != event.at:
        return Fault(f"{_name(tenure)} ends at another time than event {event.sequence} says.", event.sequence)
    return None


def _without_tenure(since: int = 0) -> Iterator[tuple[int, Fault]]:
    """Promotions after which no tenure of the version runs. Those from before there were tenures have none."""
    promotions = AuditEvent.objects.filter(_recorded_with_tenures(), action=A.VERSION_PROMOTED)
    while True:
        portion = list(promotions.filter(sequence__gt=since).order_by("sequence")[:PORTION])
        if not portion:
            return
        began = set(
            Tenure.objects.filter(start_sequence__in=[event.sequence for event in portion]).values_list(
                "start_sequence", "place"
            )
        )
        for event in portion:
            for place in _places(event):
                if (event.sequence, place) not in began and not _ran(event, place):
                    words = f"version {event.version_number} of {event.model_name} in {event.target_name} ({place})"
                    problem = f"The tenure of {words} is missing: event {event.sequence} says that it was promoted."
                    yield event.sequence, Fault(problem, event.sequence)
        since = portion[-1].sequence


def _recorded_with_tenures() -> Q:
    """Since the first tenure of a delivery, or the update that brought them, whichever was earlier."""
    began = Tenure.objects.filter(origin=Tenure.Origin.DELIVERY).aggregate(first=Min("start_sequence"))["first"]
    migrated = MigrationRecorder.Migration.objects.filter(app=_SINCE[0], name=_SINCE[1]).values_list("applied").first()
    since = Q(sequence__gte=began) if began is not None else Q(pk__in=())
    return since | Q(at__gte=migrated[0]) if migrated is not None else since


def _places(event: AuditEvent) -> list[str]:
    """Which places the promotion was for, as it says itself."""
    told = event.data
    stage, alias = told.get("stage") or "", told.get("alias") or ""
    return [stage] * bool(stage) + [f"@{alias}"] * bool(alias)


def _ran(event: AuditEvent, place: str) -> bool:
    """Whether the version had the place already: then its tenure only went on."""
    running = Tenure.objects.filter(
        model_name=event.model_name, version_number=event.version_number or 0, place=place, started_at__lte=event.at
    )
    return running.filter(Q(ended_at=None) | Q(ended_at__gte=event.at)).exists()
