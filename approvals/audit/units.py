"""What an audit counts and draws: one delivery, put-back or incident with everything that it changed. A delivery that
moves a stage and an alias and empties another stage is one unit of three changes. What no event records, such as what
was imported, is a unit by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db.models import Case, CharField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Concat

from approvals.audit import population
from approvals.audit.periods import Period
from approvals.audit.population import CAUSES, CHUNK, Cause, Change, Scope
from approvals.models import AuditEvent, Incident, Tenure

NEAR = 20_000
"""Tenures from the first or the last one on: pages within these do not need the whole population in order."""

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
                for name in (
                    "event",
                    "request",
                    "requested_by",
                    "requested_through",
                    "allowed_by",
                    "incident",
                    "resolution",
                )
            },
        }


COLUMNS = (
    *("unit", "at", "not_before", "model", "target", "place", "changes", "what", "cause", "how"),
    *("event", "request", "requested_by", "requested_through", "allowed_by", "incident", "resolution"),
)


def keys(scope: Scope, span: Period | None = None) -> QuerySet[Any, Any]:
    """(at, unit id) of every unit, the oldest first; of `span`, a part of the period, those whose first change lies in
    it. One query, however it is sliced."""
    part = replace(scope, period=span or scope.period)
    began = _firsts(population.starts(part), scope, begins=True).values_list("at", "unit")
    ended = _firsts(population.lone_ends(part), scope, begins=False).values_list("at", "unit")
    found: QuerySet[Any, Any] = began.union(ended).order_by("at", "unit")
    return found


def _firsts(found: QuerySet[Tenure], scope: Scope, *, begins: bool) -> Any:
    """Without changes that another one of the same unit precedes. They are not all of one moment: where something was
    changed back, what ends does so when that is seen, and what begins when MLflow said so. A unit that came up twice
    would push another off the last page."""
    sequence, at = ("start_sequence", "started_at") if begins else ("end_sequence", "ended_at")
    how = ExpressionWrapper(OuterRef("origin" if begins else "end"), CharField())
    for rows, theirs, moment in (
        (population.starts(scope).exclude(alone(begins=True)), "start_sequence", "started_at"),
        (population.lone_ends(scope).exclude(alone(begins=False)), "end_sequence", "ended_at"),
    ):
        before = rows.filter(**{theirs: OuterRef(sequence), f"{moment}__lt": OuterRef(at)})
        found = found.filter(~Exists(before.alias(how=how).exclude(how__in=_ALONE)))
    return named(found, begins=begins)


def between(scope: Scope, first: int, last: int, *, total: int) -> list[str]:
    """The ids of the units from `first` up to, not including, `last`; the oldest of the `total` is 0. Near either end
    only what lies there is put in order."""
    last = min(last, total)
    is_late = total - first < last
    needed = total - first if is_late else last
    moments = population.starts(scope).order_by("-started_at" if is_late else "started_at")
    looked_at = 2 * needed
    while looked_at <= NEAR:
        bound = moments.values_list("started_at", flat=True)[looked_at : looked_at + 1].first()
        if bound is None:
            break
        since, until = scope.period.since, scope.period.until
        near = Period(bound, until) if is_late else Period(since, bound + timedelta(microseconds=1))
        found = [unit for _, unit in keys(scope, near)]
        if len(found) >= needed:
            return found[len(found) - needed :][: last - first] if is_late else found[first:last]
        looked_at *= 4
    return [unit for _, unit in keys(scope)[first:last]]


def of(ids: Iterable[str]) -> list[Unit]:
    """These units, in this order; what is gone is left out. A handful of queries, however many ids. A unit is whole,
    whatever the filter that found it."""
    wanted = list(ids)
    sequences = [int(each.removeprefix("event-")) for each in wanted if each.startswith("event-")]
    parts: dict[str, list[str]] = {each: [each] for each in wanted if not each.startswith("event-")}
    for begins in (True, False):
        field = "start_sequence" if begins else "end_sequence"
        rows = Tenure.objects if begins else population.without_following(Tenure.objects.exclude(ended_at=None))
        found = named(rows.filter(**{f"{field}__in": sequences}), begins=begins).order_by("pk")
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


def _badness(cause: Cause) -> int:
    return _WORST.get(cause, len(_WORST))


_ALONE = (Tenure.Origin.IMPORTED, Tenure.End.IMPORTED, Tenure.End.RETIRED)


def alone(*, begins: bool) -> Q:
    """Of tenures, those whose start or end is a unit by itself."""
    if begins:
        return Q(origin=Tenure.Origin.IMPORTED) | Q(start_sequence=None)
    return Q(end__in=(Tenure.End.IMPORTED, Tenure.End.RETIRED)) | Q(end_sequence=None)


def named(found: QuerySet[Tenure], *, begins: bool) -> Any:
    """Annotates `at` and the id of the `unit`."""
    sequence, kind = ("start_sequence", "start-") if begins else ("end_sequence", "end-")
    by_itself = Concat(Value(kind), Cast("pk", CharField()), output_field=CharField())
    by_event = Concat(Value("event-"), Cast(sequence, CharField()), output_field=CharField())
    return found.annotate(
        at=F("started_at" if begins else "ended_at"),
        unit=Case(When(alone(begins=begins), then=by_itself), default=by_event, output_field=CharField()),
    )
