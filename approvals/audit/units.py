"""What an audit counts and draws: one delivery, put-back or incident with everything that it changed. A delivery that
moves a stage and an alias and empties another stage is one unit of three changes. What no event records, such as what
was imported, is a unit by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Concat

from approvals.audit import population
from approvals.audit.population import CAUSES, CHUNK, Cause, Change, Scope
from approvals.models import AuditEvent, Incident, Tenure

_WORST = {cause: place for place, cause in enumerate((Cause.UNEXPLAINED, Cause.INCIDENT, Cause.BREAK_GLASS))}
"""A unit counts as the worst of its changes: who forges one beside a real delivery is not hidden by it."""


@dataclass(frozen=True, slots=True)
class Unit:
    id: str
    """`event-412`: the event that records it; or the id of its only change."""

    changes: Sequence[Change]
    """At least one, in the order of their tenures."""

    @property
    def first(self) -> Change:
        return self.changes[0]

    @property
    def at(self) -> datetime:
        return self.first.at

    @property
    def not_before(self) -> datetime | None:
        return self.first.not_before

    @property
    def cause(self) -> Cause:
        return min((each.cause for each in self.changes), key=_badness)

    @property
    def cause_label(self) -> str:
        return CAUSES[self.cause]

    @property
    def is_alarming(self) -> bool:
        return self.cause in (Cause.INCIDENT, Cause.UNEXPLAINED, Cause.BREAK_GLASS)

    @property
    def sequence(self) -> int | None:
        return self.first.sequence

    @property
    def event(self) -> AuditEvent | None:
        return self.first.event

    @property
    def request(self) -> Any:
        return next((each.request for each in self.changes if each.request is not None), None)

    @property
    def incident(self) -> Incident | None:
        return next((each.incident for each in self.changes if each.incident is not None), None)

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(each.tenure.model_name for each in self.changes))

    @property
    def places(self) -> list[str]:
        return list(dict.fromkeys(each.tenure.place for each in self.changes))

    @property
    def sentence(self) -> str:
        return "; ".join(each.sentence for each in self.changes)

    def as_plain(self) -> dict[str, Any]:
        """Text, numbers and None; times in ISO 8601, UTC. Keys are COLUMNS."""
        plain = [each.as_plain() for each in self.changes]

        def every(name: str) -> str:
            return "; ".join(dict.fromkeys(str(each[name]) for each in plain if each[name] not in (None, "")))

        told = next((each for each in plain if each["request"] or each["incident"]), plain[0])
        return {
            "unit": self.id,
            "at": plain[0]["at"],
            "not_before": plain[0]["not_before"],
            "model": every("model"),
            "target": every("target"),
            "place": every("place"),
            "changes": len(plain),
            "what": self.sentence,
            "cause": str(self.cause),
            "how": every("how"),
            **{
                name: told[name]
                for name in ("event", "request", "requested_by", "allowed_by", "incident", "resolution")
            },
        }


COLUMNS = (
    *("unit", "at", "not_before", "model", "target", "place", "changes", "what", "cause", "how"),
    *("event", "request", "requested_by", "allowed_by", "incident", "resolution"),
)


def keys(scope: Scope) -> QuerySet[Any, Any]:
    """(at, unit id) of every unit, the oldest first. One query, however it is sliced."""
    began = _named(population.starts(scope), begins=True).values_list("at", "unit")
    ended = _named(population.lone_ends(scope), begins=False).values_list("at", "unit")
    found: QuerySet[Any, Any] = began.union(ended).order_by("at", "unit")
    return found


def count(scope: Scope) -> int:
    return keys(scope).count()


def of(ids: Iterable[str]) -> list[Unit]:
    """These units, in this order; what is gone is left out. A handful of queries, however many ids. A unit is whole,
    whatever the filter that found it."""
    wanted = list(ids)
    sequences = [int(each.removeprefix("event-")) for each in wanted if each.startswith("event-")]
    parts: dict[str, list[str]] = {each: [each] for each in wanted if not each.startswith("event-")}
    for begins in (True, False):
        field = "start_sequence" if begins else "end_sequence"
        rows = Tenure.objects if begins else population.without_following(Tenure.objects.exclude(ended_at=None))
        found = _named(rows.filter(**{f"{field}__in": sequences}), begins=begins).order_by("pk")
        for unit, pk in found.values_list("unit", "pk"):
            if unit.startswith("event-"):
                parts.setdefault(unit, []).append(f"{'start' if begins else 'end'}-{pk}")
    changes = {each.id: each for each in population.changes(part for unit in wanted for part in parts.get(unit, ()))}
    found_parts = [(unit, [changes[part] for part in parts.get(unit, ()) if part in changes]) for unit in wanted]
    return [Unit(unit, each) for unit, each in found_parts if each]


def every(scope: Scope) -> Iterator[Unit]:
    """The whole population, the oldest first, a few hundred at a time in memory."""
    found = iter(keys(scope).iterator(chunk_size=2000))
    while chunk := list(islice(found, CHUNK)):
        yield from of(unit for _, unit in chunk)


def counts(scope: Scope) -> dict[Cause, int]:
    """How many units of each cause, those with nothing too."""
    causes: dict[str, Cause] = {}
    for rows, how, begins in ((population.starts(scope), "origin", True), (population.lone_ends(scope), "end", False)):
        told = population.event_facts(_named(rows, begins=begins), begins=begins).order_by()
        for unit, value, action, kind in told.values_list("unit", how, "action", "kind").distinct().iterator():
            cause = population.cause_of(value, action, kind)
            causes[unit] = min(causes.get(unit, cause), cause, key=_badness)
    found = dict.fromkeys(CAUSES, 0)
    for cause in causes.values():
        found[cause] += 1
    return found


def _badness(cause: Cause) -> int:
    return _WORST.get(cause, len(_WORST))


def _named(found: QuerySet[Tenure], *, begins: bool) -> Any:
    """Annotates `at` and the id of the `unit`."""
    sequence, kind = ("start_sequence", "start-") if begins else ("end_sequence", "end-")
    alone = Q(origin=Tenure.Origin.IMPORTED) if begins else Q(end__in=(Tenure.End.IMPORTED, Tenure.End.RETIRED))
    by_itself = Concat(Value(kind), Cast("pk", CharField()), output_field=CharField())
    by_event = Concat(Value("event-"), Cast(sequence, CharField()), output_field=CharField())
    return found.annotate(
        at=F("started_at" if begins else "ended_at"),
        unit=Case(When(alone | Q(**{sequence: None}), then=by_itself), default=by_event, output_field=CharField()),
    )
