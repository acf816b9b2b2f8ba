"""The first look at a place: what is there was held before Countersign. Before it, what earlier promotions put there is
read back from the ledger. And the end: places that no target means any more are not watched."""

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.utils import timezone

from approvals import ledger, tenures
from approvals.models import Action, AuditEvent, Incident, OutboxEntry, Target, Tenure, WatchedPlace
from approvals.watch import incidents
from approvals.watch.places import Holder, Key, Observed, expected, observed, watched
from mirror.models import MirrorState, ModelVersion

CHUNK = 50
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
            target=target, place=place, defaults={"first_seen_at": timezone.now()}
        )  # last: from now on, what is not explained is a change outside Countersign
    return bool(places)


@transaction.atomic
def _leave(target: Target, place: str) -> None:
    tenures.hold_settlements()
    now = timezone.now()
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
    for key in sorted(seen.keys() | held.keys()):
        if new.get(key.place) is None or new[key.place].pk != key.target_id:
            continue
        holders, running = seen.get(key, {}), held.get(key, {})
        came = {number: holder for number, holder in holders.items() if number not in running}
        gone = [number for number in running if number not in holders]
        _take_place(new[key.place], key, came, [running[number] for number in gone], is_alone=len(holders) == 1)
    _seal(tenures.touched(since + 1, *names))


def _seal(rows: Iterable[Tenure]) -> None:
    if rows := list(rows):
        ledger.record(Action.ROWS_SEALED, actor=None, rows=rows)


def _take_place(target: Target, key: Key, came: Mapping[int, Holder], gone: list[Tenure], *, is_alone: bool) -> None:
    """What is there was found; what was promoted there and is not, ended before that, and an event records it."""
    if not came and not gone:
        return
    told = {number: _tell(target, key, number) for number in came} or {
        gone[-1].version_number: _tell(target, key, gone[-1].version_number, is_gone=True)
    }
    latest = max((tenure.started_at for tenure in gone), default=None)
    # No tenure begins after the event that records it, although the clocks of hosts differ.
    seen = {number: min(holder.read_at, told[number].at) for number, holder in came.items()}
    if latest is not None:
        seen = {number: max(at, latest) for number, at in seen.items()}
        event = told[min(seen, key=lambda number: seen[number])] if seen else next(iter(told.values()))
        tenures.finish(
            Tenure.objects.filter(pk__in=[tenure.pk for tenure in gone]),
            at=min(seen.values(), default=max(latest, event.at)),
            how=Tenure.End.OUTSIDE,
            sequence=event.sequence,
            after=latest,
        )
    for number, at in seen.items():
        tenures.begin(
            model_name=key.model,
            number=number,
            target=target,
            place=key.place,
            at=at,
            origin=Tenure.Origin.FOUND,
            sequence=told[number].sequence,
            version=ModelVersion.objects.filter(model__name=key.model, number=number).first(),
            sole=is_alone and tenures.is_sole(target, key.place),
        )


def _tell(target: Target, key: Key, number: int, *, is_gone: bool = False) -> AuditEvent:
    return ledger.record(
        Action.TENURE_FOUND,
        actor=None,
        model_name=key.model,
        version_number=number,
        target_name=target.name,
        data={"place": key.place} | ({"is_gone": True} if is_gone else {}),
    )


def _half_moved() -> set[str]:
    return set(OutboxEntry.objects.open().filter(plan__isnull=False).values_list("model_name", flat=True))


def _before_deliveries(new: Mapping[str, Target], names: list[str]) -> Observed:
    """Of models at which a delivery is: what its first look found in its target. Settling continues from there."""
    found: dict[Key, dict[int, Holder]] = {}
    entries = OutboxEntry.objects.open().filter(plan__isnull=False, model_name__in=names).select_related("target")
    for entry in entries:
        plan, now = entry.plan or {}, timezone.now()
        if entry.target.stage and entry.target.stage in new:
            key = Key(entry.model_name, entry.target_id, entry.target.stage)
            found[key] = {number: Holder(number, None, now) for number in plan.get("in_stage", ())}
        place = tenures.alias_place(entry.target.alias)
        if entry.target.alias and place in new:
            number = plan.get("alias_holder")
            key = Key(entry.model_name, entry.target_id, place)
            found[key] = {number: Holder(number, None, now)} if number is not None else {}
    return found
