"""Whether the population is complete: the changes seen in MLflow against the deliveries and the listed exceptions, the
same events counted in the ledger, what the mirror shows now, and what cannot be known."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Sum
from django.utils import timezone

from approvals import tenures
from approvals.audit import proof, tally
from approvals.audit.population import DELIVERED, OUTSIDE_OF_IT, Cause, Scope
from approvals.audit.tally import Tally
from approvals.models import Action, AuditEvent, Incident, Target, Tenure, WatchedPlace, WatchState
from components import times
from mirror.models import Alias, MirrorState, ModelVersion, Outage

MOST_GAPS = 50
MOST_INCIDENTS = 200


@dataclass(frozen=True, slots=True)
class Gap:
    """A span in which MLflow was not seen. `ended_at` None: it lasts."""

    started_at: datetime
    ended_at: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the watch can answer for."""

    places: Sequence[tuple[str, str, datetime | None]]
    """(target, place, since when it has been looked at; None: never)."""

    looked_at: datetime | None
    gaps: Sequence[Gap]
    """The first MOST_GAPS of them."""

    gap_count: int
    gap_time: timedelta


@dataclass(frozen=True, slots=True)
class Statement:
    scope: Scope
    counts: dict[Cause, int]
    """Every cause, those with nothing too."""

    ledger: dict[str, int]
    """By action: the events of the period that record changes."""

    unmatched_deliveries: int
    """Events of a promotion in the period with which no tenure began: the version held its places already."""

    incidents: Sequence[Incident]
    """Seen in the period, the first MOST_INCIDENTS; those of other things than a change of a place too."""

    incident_count: int
    incidents_by_state: dict[str, int]
    """"open", and each resolution in words."""

    lost_incidents: int
    """Incidents that the ledger records and the list has not, or the other way round."""

    refused: int
    """Events of the period that tell of changes that MLflow refused; nothing changed by them."""

    strangers: int
    """Holders of governed places that the mirror shows now and no open tenure knows."""

    missing: int
    """Open tenures of which the mirror shows nothing now."""

    coverage: Coverage
    proof: "proof.Proof"

    @property
    def seen(self) -> int:
        """Deliveries, put-backs and incidents of the period, each counted once whatever it changed."""
        return sum(self.counts.values()) - self.beside

    @property
    def beside(self) -> int:
        """Units of the population that are no change of the period: found, imported, no longer watched."""
        return sum(self.counts[cause] for cause in OUTSIDE_OF_IT)

    @property
    def delivered(self) -> int:
        return sum(self.counts[cause] for cause in DELIVERED)

    @property
    def exceptions(self) -> int:
        return self.counts[Cause.INCIDENT]

    @property
    def unexplained(self) -> int:
        return self.counts[Cause.UNEXPLAINED]

    @property
    def adds_up(self) -> bool:
        """Each change seen has its delivery or its incident, and the ledger has as many incidents as the list."""
        return self.seen == self.delivered + self.exceptions and not self.unexplained and not self.lost_incidents

    @property
    def limits(self) -> list[str]:
        """Sentences on what the statement cannot cover; [] when it covers the whole period."""
        period, found = self.scope.period, []
        never = [_place(place) for _, place, since in self.coverage.places if since is None]
        late = [
            f"{_place(place)} from {since:%Y-%m-%d %H:%M} UTC on"
            for _, place, since in self.coverage.places
            if since is not None and since > period.since
        ]
        if never:
            unseen = _listed(never)
            found.append(f"The watch has never looked at {unseen}: changes outside Countersign are not seen there.")
        if late:
            found.append(f"Not the whole period was watched: {_listed(late)}. What changed before is not seen.")
        looked_at = self.coverage.looked_at
        if looked_at is not None and looked_at < min(period.until, timezone.now() - timedelta(minutes=15)):
            found.append(f"The watch last looked at {looked_at:%Y-%m-%d %H:%M} UTC.")
        if self.coverage.gap_count:
            many, time = self.coverage.gap_count, times.length(self.coverage.gap_time)
            found.append(
                f"MLflow was not seen in {many} {'span' if many == 1 else 'spans'}, {time} in all. "
                "What was changed and changed back within one is not known; what stayed was seen when it ended."
            )
        verified = self.proof.verification
        if verified is not None and verified.ended_at is not None and verified.problem:
            found.append(
                f"The verification of the ledger that ended {verified.ended_at:%Y-%m-%d %H:%M} UTC found a fault: "
                f"{verified.problem}"
            )
        if period.until > timezone.now():
            found.append("The period has not ended.")
        return found

    def as_plain(self) -> dict[str, Any]:
        """For machines: numbers, text, lists."""
        return {
            "filters": self.scope.filters,
            "unit": "one delivery, put-back or incident with everything that it changed",
            "units_seen": self.seen,
            "delivered": {str(cause): self.counts[cause] for cause in DELIVERED},
            "changed_outside_the_gate": self.exceptions,
            "unexplained": self.unexplained,
            "adds_up": self.adds_up,
            "outside_of_it": {str(cause): self.counts[cause] for cause in OUTSIDE_OF_IT},
            "ledger": self.ledger,
            "deliveries_that_changed_nothing": self.unmatched_deliveries,
            "incidents": {"seen": self.incident_count, **self.incidents_by_state},
            "refused_in_mlflow": self.refused,
            "mirror_now": {"holders_without_tenure": self.strangers, "tenures_without_holder": self.missing},
            "watch": {
                "looked_at": _iso(self.coverage.looked_at),
                "places": [
                    {"target": target, "place": place, "since": _iso(since)}
                    for target, place, since in self.coverage.places
                ],
            },
            "gaps": {
                "count": self.coverage.gap_count,
                "seconds": round(self.coverage.gap_time.total_seconds()),
                "listed": [
                    {"from": _iso(gap.started_at), "to": _iso(gap.ended_at), "error": gap.error}
                    for gap in self.coverage.gaps
                ],
            },
            "limits": self.limits,
            "chain": self.proof.as_plain(),
        }


def state(scope: Scope, *, shown: Sequence[AuditEvent] = (), counted: Tally | None = None) -> Statement:
    """The statement for what is looked at; `shown` are the events on the page, whose hashes are held against the chain,
    `counted` what `tally` has found already. A bounded number of queries."""
    counted = counted or tally.of(scope)
    incidents = scope.of_incidents(Incident.objects.all())
    by_state = Counter[str]()
    for resolution, many in incidents.values_list("resolution").annotate(n=Count("pk")).order_by("resolution"):
        by_state[str(Incident.Resolution(resolution).label) if resolution else "Open"] += many
    strangers, missing = _against_the_mirror(scope)
    told = _in_the_ledger(scope)
    return Statement(
        scope=scope,
        counts=counted.counts,
        ledger=told,
        unmatched_deliveries=max(0, told[Action.VERSION_PROMOTED] - counted.deliveries),
        incidents=list(
            incidents.select_related("target", "resolved_by", "request").order_by("seen_at", "pk")[:MOST_INCIDENTS]
        ),
        incident_count=sum(by_state.values()),
        incidents_by_state=dict(by_state),
        lost_incidents=_lost(scope),
        refused=_events(scope, Action.REFUSED_IN_MLFLOW).count(),
        strangers=strangers,
        missing=missing,
        coverage=_coverage(scope),
        proof=proof.of(scope.period.until, shown),
    )


def _lost(scope: Scope) -> int:
    """One by one and not by their numbers: an incident is seen a moment before its event is written, and follows a
    model that is renamed, so either may lie outside of what is looked at."""
    listed = Incident.objects.filter(opened_sequence=OuterRef("sequence"))
    told = AuditEvent.objects.filter(action=Action.INCIDENT_OPENED, sequence=OuterRef("opened_sequence"))
    only_told = _events(scope, Action.INCIDENT_OPENED).filter(~Exists(listed))
    only_listed = scope.of_incidents(Incident.objects.all()).filter(~Exists(told))
    return only_told.count() + only_listed.count()


TELLING = (
    Action.VERSION_PROMOTED,
    Action.VERSION_RESTORED,
    Action.TENURE_FOUND,
    Action.INCIDENT_OPENED,
    Action.GLASS_BROKEN,
)


def _events(scope: Scope, *actions: Action) -> QuerySet[AuditEvent]:
    inside = AuditEvent.objects.filter(action__in=actions, at__gte=scope.period.since, at__lt=scope.period.until)
    return scope.of_events(inside)


def _in_the_ledger(scope: Scope) -> dict[str, int]:
    grouped = _events(scope, *TELLING).order_by().values_list("action").annotate(n=Count("sequence"))
    return {str(action): 0 for action in TELLING} | dict(grouped)


def _against_the_mirror(scope: Scope) -> tuple[int, int]:
    """Who holds governed places by the mirror, and by the tenures: how many only the one knows, how many only the
    other. Two counts for each place of each target."""
    strangers = missing = 0
    targets = [scope.target] if scope.target else list(Target.objects.current())
    for target in targets:
        for place in tenures.places_of(target):
            held = Tenure.objects.open().filter(target=target, place=place)
            shown: QuerySet[Any]
            if place.startswith("@"):
                shown = Alias.objects.filter(name=target.alias, model__deleted_at=None)
            else:
                shown = ModelVersion.objects.filter(stage=target.stage, deleted_at=None)
            if scope.model_name:
                held, shown = held.filter(model_name=scope.model_name), shown.filter(model__name=scope.model_name)
            known = held.filter(model_name=OuterRef("model__name"), version_number=OuterRef("number"))
            there = shown.filter(model__name=OuterRef("model_name"), number=OuterRef("version_number"))
            strangers += shown.filter(~Exists(known)).count()
            missing += held.filter(~Exists(there)).count()
    return strangers, missing


def _coverage(scope: Scope) -> Coverage:
    period, watch, mirror = scope.period, WatchState.objects.filter(pk=1).first(), MirrorState.objects.current()
    since = {(row.target_id, row.place): row.first_seen_at for row in WatchedPlace.objects.all()}
    targets = [scope.target] if scope.target else list(Target.objects.current())
    gaps = Outage.objects.within(period.since, period.until)
    total = gaps.aggregate(n=Count("pk"), time=Sum(F("ended_at") - F("started_at")))
    listed = [Gap(each.started_at, each.ended_at, each.error) for each in gaps[:MOST_GAPS]]
    many, time = int(total["n"]), total["time"] or timedelta()
    now = timezone.now()
    if mirror.is_failing and mirror.failing_since < period.until and now > period.since:
        listed.append(Gap(mirror.failing_since, None, mirror.error))
        many, time = many + 1, time + (now - mirror.failing_since)
    return Coverage(
        places=[
            (target.name, place, since.get((target.pk, place)))
            for target in targets
            for place in tenures.places_of(target)
        ],
        looked_at=watch.looked_at if watch else None,
        gaps=listed,
        gap_count=many,
        gap_time=time,
    )


def _place(place: str) -> str:
    return f"the alias {place}" if place.startswith("@") else f"the stage {place}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else words[0]


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
