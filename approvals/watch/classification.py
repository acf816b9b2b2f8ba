"""One place that differs: looked at again with settlements held off, and written down when no delivery explains it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from django.db import transaction
from django.db.models import QuerySet

from approvals import tenures
from approvals.models import AuditEvent, Incident, Target, Tenure, WatchState
from approvals.watch import confirming, deliveries, incidents, retroactive_reviews
from approvals.watch.incidents import Found
from approvals.watch.places import Holder, Key, expected, is_other, is_same, names_of, observed
from mirror import clock
from mirror.models import ModelVersion, RegisteredModel


@dataclass(frozen=True, slots=True)
class Known:
    """When MLflow last said what the tenures say: of stages, and of aliases and deletions."""

    stages_at: datetime | None
    aliases_at: datetime | None

    @classmethod
    def of(cls, state: WatchState, model: str) -> Self:
        """Of a model that was passed over: before that."""
        if kept := state.behind.get(model):
            return cls(*(datetime.fromisoformat(at) if at else None for at in kept))
        return cls(state.stages_known_at, state.aliases_known_at)

    def as_plain(self) -> list[str | None]:
        """[stages, aliases] as ISO 8601, for `WatchState.behind`."""
        return [at.isoformat() if at else None for at in (self.stages_at, self.aliases_at)]


def is_at_work(model: str) -> bool:
    return bool(deliveries.half_done([model]))


@transaction.atomic
def judge(key: Key, target: Target, known: Known, asked_at: datetime) -> int:
    """Looks at one place once more and writes down what was changed; returns how many incidents were opened: none when
    the mirror has anything of the model that is newer than MLflow's answer of `asked_at`."""
    incidents.lock(key.model)
    places = {key.place: target}
    holders = observed(places, [key.model]).get(key, {})  # the mirror first, then whether a delivery is at it
    if is_at_work(key.model) or not confirming.is_current(key.model, asked_at):
        return 0
    held = expected([key.model]).get(key, {})
    if is_same(holders, {number: tenure.version_created_at for number, tenure in held.items()}):
        return 0
    return _Change(key, target, known, holders, held).write()


@dataclass(frozen=True, slots=True)
class _Change:
    key: Key
    target: Target
    known: Known
    holders: Mapping[int, Holder]
    held: Mapping[int, Tenure]

    def write(self) -> int:
        rows = {
            row.number: row for row in ModelVersion.objects.filter(model__name=self.key.model, number__in=self.left)
        }
        model = RegisteredModel.objects.filter(name=self.key.model).first()
        gone = [number for number in self.left if _is_gone(model, rows.get(number))]
        approved = approved_of(self.key, self.held)
        # Changed back is no change: the open incident ends, and none begins.
        if self._is_undone(approved):
            self._take_back(approved)
            return 0
        kind = self._kind(gone, rows)
        seen_at = max([self._seen_at(number, rows, model) for number in (*self.left, *self.came)], default=clock.now())
        # Only a sweep sees deletions and hidden models, so the time of its last answer bounds the change.
        by_sweep = bool(gone) or (model is not None and model.hidden_at is not None)
        not_before = self._not_before(by_sweep=by_sweep, seen_at=seen_at)
        details = self._details(not_before, seen_at)
        found = Found(
            kind=kind,
            model=self.key.model,
            target=self.target,
            place=self.key.place,
            before=list(self.held),
            after=list(self.holders),
            approved=approved,
            seen_at=seen_at,
            not_before=not_before,
            version=max(self.came or self.left or self.holders or self.held, default=None),
            details=details,
        )
        incident, event = incidents.open_incident(found)
        for number in self.left:
            how = Tenure.End.DELETED if number in gone else Tenure.End.OUTSIDE
            self._end(number, how, event, self._seen_at(number, rows, model), not_before)
        for number in self.came:
            self._begin(number, event, not_before)
        retroactive_reviews.ask(incident, self.target)
        incidents.seal(incident, since=event, models=[self.key.model])
        return 1

    @property
    def exchanged(self) -> list[int]:
        return [
            number
            for number, tenure in self.held.items()
            if number in self.holders and is_other(self.holders[number].created_at, tenure.version_created_at)
        ]

    @property
    def left(self) -> list[int]:
        return sorted({number for number in self.held if number not in self.holders} | set(self.exchanged))

    @property
    def came(self) -> list[int]:
        return sorted({number for number in self.holders if number not in self.held} | set(self.exchanged))

    def _kind(self, gone: Collection[int], rows: Mapping[int, ModelVersion]) -> Incident.Kind:
        for number in self.left:
            row = rows.get(number)
            if (
                row is not None
                and row.deleted_at is None
                and is_other(row.created_at, self.held[number].version_created_at)
            ):
                return Incident.Kind.EXCHANGED
        return Incident.Kind.DELETED if gone else Incident.Kind.MOVED

    def _seen_at(self, number: int, rows: Mapping[int, ModelVersion], model: RegisteredModel | None) -> datetime:
        """When MLflow said so of this version."""
        if number in self.holders:
            return self.holders[number].read_at
        row, now = rows.get(number), clock.now()
        if model is not None and model.deleted_at:
            return model.deleted_at
        if row is not None and row.deleted_at:
            return row.deleted_at
        if self.key.is_alias:
            return model.read_at if model else now
        return row.read_at if row else now

    def _not_before(self, *, by_sweep: bool, seen_at: datetime) -> datetime | None:
        """The last moment at which MLflow still said otherwise, as far as that was looked at. A pull sees no aliases,
        no deletions and nothing of a model that MLflow does not list."""
        known = self.known.aliases_at if self.key.is_alias or by_sweep else self.known.stages_at
        begun = [tenure.started_at for tenure in self.held.values() if tenure.started_at <= seen_at]
        latest = max([at for at in (known, *begun) if at is not None], default=None)
        return min(latest, seen_at) if latest else None

    def _details(self, not_before: datetime | None, seen_at: datetime) -> dict[str, Any]:
        details: dict[str, Any] = {}
        said = [self.holders[number].updated_at for number in self.came if self.holders[number].updated_at]
        within = [at for at in said if at and (not_before is None or not_before <= at) and at <= seen_at]
        if within:
            details["mlflow_updated_at"] = max(within).isoformat()
        if half_done := deliveries.left_half_done(self.key.model):
            details["half_done"] = half_done.pk
        return details

    # --- Changed back

    def _is_undone(self, approved: Collection[int]) -> bool:
        """What was approved holds the place again, and is what it was."""
        if not self._open().exists() or set(approved) != set(self.holders):
            return False
        last = {number: _last_approved(self.key, number) for number in approved}
        made = {number: tenure.version_created_at for number, tenure in last.items() if tenure is not None}
        return not any(is_other(self.holders[number].created_at, at) for number, at in made.items())

    def _take_back(self, approved: Sequence[int]) -> None:
        """The tenures of what was approved continue as new ones, under the request that they had; each of the place's
        open incidents ends."""
        event: AuditEvent | None = None
        for incident in self._open().select_related("target", "request").order_by("pk"):
            event = incidents.close(incident, Incident.Resolution.UNDONE) or event
        not_before = self._not_before(by_sweep=False, seen_at=clock.now())
        for number in self.left:
            self._end(number, Tenure.End.OUTSIDE, event, clock.now(), not_before)
        for number in self.came:
            self._begin(number, event, not_before, basis=_last_approved(self.key, number), sole=len(approved) == 1)
        if event is not None:
            incidents.seal(since=event, models=[self.key.model])

    def _open(self) -> "QuerySet[Incident]":
        found = Incident.objects.open().filter(model_name=self.key.model, target=self.target, place=self.key.place)
        return found.exclude(kind__in=Incident.BESIDE)

    # --- Tenures

    def _end(
        self, number: int, how: Tenure.End, event: AuditEvent | None, at: datetime, after: datetime | None
    ) -> None:
        tenure = self.held[number]
        at = max(at, tenure.started_at)
        after = max(after, tenure.started_at) if after else None
        sequence = event.sequence if event else None
        tenures.finish(Tenure.objects.filter(pk=tenure.pk), at=at, how=how, sequence=sequence, after=after)

    def _begin(
        self,
        number: int,
        event: AuditEvent | None,
        after: datetime | None,
        *,
        basis: Tenure | None = None,
        sole: bool = True,
    ) -> None:
        """A found tenure that comes back is found still: no one approved it, and no one has to."""
        was_found = basis is not None and basis.request_id is None
        started = tenures.begin(
            model_name=self.key.model,
            number=number,
            target=self.target,
            place=self.key.place,
            at=self.holders[number].read_at,
            after=after,
            origin=Tenure.Origin(basis.origin) if basis and was_found else Tenure.Origin.OUTSIDE,
            request=basis.request if basis else None,
            sequence=event.sequence if event else None,
            version=ModelVersion.objects.filter(model__name=self.key.model, number=number).first(),
            sole=self.key.is_alias or (basis is not None and sole and tenures.is_sole(self.target, self.key.place)),
        )
        if basis is not None and basis.files_digest and not started.files_digest:
            Tenure.objects.filter(pk=started.pk).update(files_digest=basis.files_digest)


def _is_gone(model: RegisteredModel | None, row: ModelVersion | None) -> bool:
    return model is None or model.deleted_at is not None or row is None or row.deleted_at is not None


def _last_approved(key: Key, number: int) -> Tenure | None:
    return last_approved(key.model, key.target_id, key.place, number)


def last_approved(model: str, target_id: int, place: str, number: int) -> Tenure | None:
    """The newest tenure of this version in the place that a person answers for. Earlier records say what was, and give
    no one the right to hold it now."""
    found: Iterable[Tenure] = (
        Tenure.objects.filter(model_name__in=names_of(model), target_id=target_id, place=place, version_number=number)
        .exclude(origin=Tenure.Origin.IMPORTED)
        .select_related("request")
        .order_by("-started_at", "-pk")
    )
    return next((tenure for tenure in found if tenures.is_approved(tenure)), None)


def approved_of(key: Key, held: Mapping[int, Tenure]) -> list[int]:
    """Numbers of the versions that held the place last with a person's approval: those that hold it by the tenures, or,
    when these are themselves from outside, what the incident before them says."""
    if held and all(tenures.is_approved(tenure) for tenure in held.values()):
        return sorted(held)
    before = (
        Incident.objects.filter(model_name__in=names_of(key.model), target_id=key.target_id, place=key.place)
        .exclude(kind__in=Incident.BESIDE)
        .order_by("-opened_sequence")
        .first()
    )
    if before is None or before.resolution not in ("", Incident.Resolution.EXPLAINED):
        return sorted(number for number, tenure in held.items() if tenures.is_approved(tenure))
    promoted_since = Tenure.objects.filter(
        model_name=key.model, target_id=key.target_id, place=key.place, start_sequence__gt=before.opened_sequence
    ).exclude(origin=Tenure.Origin.OUTSIDE)
    return sorted(held) if promoted_since.exists() and not held else before.approved
