"""The first look at a place: what is there was held before Countersign. Before it, what earlier promotions put there is
read back from the ledger. And the end: places that no target means any more are not watched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from django.db import transaction

from approvals import ledger, tenures
from approvals.models import Action, AuditEvent, Incident, OutboxEntry, Target, Tenure, WatchedPlace
from approvals.watch import incidents
from approvals.watch.places import Holder, Key, Observed, expected, observed, watched
from mirror import clock
from mirror.models import MirrorState, ModelVersion

CHUNK = 25
"""Models in one transaction: no one else can write to the ledger meanwhile."""


def take() -> bool:
    """Makes the watched places those of the current targets; returns whether there is anything to watch. Does nothing
    before the mirror has seen all of MLflow once. Safe to end anywhere and to run again."""
    if MirrorState.objects.current().swept_at is None:
        return False
    places = watched()
    known = set(WatchedPlace.objects.values_list("target_id", "place"))
    wanted = {(target.pk, place) for place, target in places.items()}
    for target_id, place in known - wanted:
        _leave(Target.objects.get(pk=target_id), place)
    new = {place: target for place, target in places.items() if (target.pk, place) not in known}
    for target in {target.pk: target for target in new.values()}.values():
        _replay(target, new)
    if new:
        names = sorted({key.model for key in observed(new)} | _half_moved())
        for start in range(0, len(names), CHUNK):
            _find(new, names[start : start + CHUNK])
    for place, target in new.items():
        WatchedPlace.objects.get_or_create(
            target=target, place=place, defaults={"first_seen_at": clock.now()}
        )  # last: from now on, what is not explained is a change outside Countersign
    return bool(places)


@transaction.atomic
def _leave(target: Target, place: str) -> None:
    tenures.hold_settlements()
    now = clock.now()
    held = Tenure.objects.open().filter(target=target, place=place)
    left = list(held)
    held.filter(started_at__gt=now).update(started_at=now)  # MLflow's clock is not ours
    tenures.finish(held, at=now, how=Tenure.End.RETIRED)
    _seal(left)
    for incident in Incident.objects.open().filter(target=target, place=place):
        reason = f"{target.name} does not mean {place} any more: it is not watched."
        incidents.close(incident, Incident.Resolution.EXPLAINED, reason=reason)
    WatchedPlace.objects.filter(target=target, place=place).delete()


def _replay(target: Target, new: Mapping[str, Target]) -> None:
    """Tenures of promotions from before there were tenures, model by model, as far as the target meant then what it
    means now."""
    if not all(place in new for place in tenures.places_of(target)):
        return
    promotions = AuditEvent.objects.filter(action=Action.VERSION_PROMOTED, request__target=target)
    begun = Tenure.objects.filter(target=target).values("model_name")
    for name in promotions.exclude(model_name__in=begun).values_list("model_name", flat=True).distinct().order_by():
        _replay_model(name, target)


@transaction.atomic
def _replay_model(name: str, target: Target) -> None:
    tenures.hold_settlements()
    if Tenure.objects.filter(model_name=name, target=target).exists():
        return
    told = AuditEvent.objects.filter(
        action=Action.VERSION_PROMOTED, model_name=name, request__target=target
    ).select_related("request__version__model", "request__target")
    for event in told.order_by("sequence"):
        meant = (event.data.get("stage") or "", event.data.get("alias") or "")
        if event.request is not None and meant == (target.stage, target.alias):
            tenures.promoted(event.request, event)
    _seal(Tenure.objects.filter(model_name=name))


@transaction.atomic
def _find(new: Mapping[str, Target], names: Iterable[str]) -> None:
    """What the mirror shows and no tenure explains was held before Countersign; a tenure that was read back and is not
    to be seen ended outside it, no one knows when."""
    names = list(names)
    tenures.hold_settlements()
    since = ledger.head().sequence
    seen, held = dict(observed(new, names)), expected(names)
    # Where a delivery is at work, what it found first was there before Countersign; what it wrote, it settles itself.
    seen.update(_before_deliveries(new, names))
    changes = []
    for key in sorted(seen.keys() | held.keys()):
        if new.get(key.place) is None or new[key.place].pk != key.target_id:
            continue
        holders, running = seen.get(key, {}), held.get(key, {})
        came = {number: holder for number, holder in holders.items() if number not in running}
        gone = [tenure for number, tenure in running.items() if number not in holders]
        if came or gone:
            changes.append(Change(new[key.place], key, came, gone, len(holders) == 1))
    told = _tell(changes)
    # First all ends, since the database allows one sole holder; then all beginnings at once: people who sign wait for
    # the end of this transaction.
    tenures.found([start for change in changes for start in _taken(change, told)])
    _seal(tenures.touched(since + 1, *names))


def _seal(rows: Iterable[Tenure]) -> None:
    if rows := list(rows):
        ledger.record(Action.ROWS_SEALED, actor=None, rows=rows)


@dataclass(frozen=True, slots=True)
class Change:
    """What a place holds now and did not by its tenures, and the other way round."""

    target: Target
    key: Key
    came: Mapping[int, Holder]
    gone: Sequence[Tenure]
    is_alone: bool


Events: TypeAlias = Mapping[tuple[Key, int], AuditEvent]
"""By place and number of the version."""


def _tell(changes: Iterable[Change]) -> Events:
    """An event for each version that came; for a place that is empty by now, one for the last that held it."""
    entries = {}
    for change in changes:
        numbers = change.came or [change.gone[-1].version_number]
        data = {"place": change.key.place} | ({} if change.came else {"is_gone": True})
        for number in numbers:
            entries[change.key, number] = ledger.Entry(
                Action.TENURE_FOUND, change.key.model, number, change.target.name, data
            )
    return dict(zip(entries, ledger.record_many(list(entries.values())), strict=True))


def _taken(change: Change, told: Events) -> Iterator[tenures.Found]:
    """What is there was found; what was promoted there and is not, ended before that, and an event records it."""
    target, key, gone = change.target, change.key, change.gone
    latest = max((tenure.started_at for tenure in gone), default=None)
    # No tenure begins after the event that records it, although the clocks of hosts differ.
    seen = {number: min(holder.read_at, told[key, number].at) for number, holder in change.came.items()}
    if latest is not None:
        seen = {number: max(at, latest) for number, at in seen.items()}
        event = told[key, min(seen, key=lambda number: seen[number]) if seen else gone[-1].version_number]
        tenures.finish(
            Tenure.objects.filter(pk__in=[tenure.pk for tenure in gone]),
            at=min(seen.values(), default=max(latest, event.at)),
            how=Tenure.End.OUTSIDE,
            sequence=event.sequence,
            after=latest,
        )
    for number, at in seen.items():
        yield tenures.Found(
            model_name=key.model,
            number=number,
            target=target,
            place=key.place,
            at=at,
            sequence=told[key, number].sequence,
            version_created_at=change.came[number].created_at,
            sole=change.is_alone and tenures.is_sole(target, key.place),
        )


def _half_moved() -> set[str]:
    return set(OutboxEntry.objects.open().filter(plan__isnull=False).values_list("model_name", flat=True))


def _before_deliveries(new: Mapping[str, Target], names: list[str]) -> Observed:
    """Of models at which a delivery is: what its first look found in its target. Settling continues from there."""
    found: dict[Key, dict[int, Holder]] = {}
    entries = OutboxEntry.objects.open().filter(plan__isnull=False, model_name__in=names).select_related("target")
    for entry in entries:
        plan, now = entry.plan or {}, clock.now()
        made = dict(ModelVersion.objects.filter(model__name=entry.model_name).values_list("number", "created_at"))
        if entry.target.stage and entry.target.stage in new:
            key = Key(entry.model_name, entry.target_id, entry.target.stage)
            found[key] = {number: Holder(number, made.get(number), now) for number in plan.get("in_stage", ())}
        place = tenures.alias_place(entry.target.alias)
        if entry.target.alias and place in new:
            number = plan.get("alias_holder")
            key = Key(entry.model_name, entry.target_id, place)
            found[key] = {number: Holder(number, made.get(number), now)} if number is not None else {}
    return found
