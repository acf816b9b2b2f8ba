"""Models that go by another name now: the versions are the same ones, and what was approved stays approved."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final

from django.db import transaction

from approvals import tenures
from approvals.models import Incident, Target, Tenure
from approvals.watch import deliveries, incidents
from approvals.watch.classification import Known
from approvals.watch.incidents import Found
from approvals.watch.places import Key, expected, observed
from mirror import clock, sync
from mirror.models import MirrorState, ModelVersion, RegisteredModel
from mirror.port import NotFound, Registry, RegistryError


class Wait(Enum):
    WAIT = auto()


WAIT: Final = Wait.WAIT
"""It cannot be told yet whether the model was renamed: MLflow has to be asked first."""


def pair(name: str, *, asked: MirrorState, registry: Registry | None) -> tuple[str, str] | Wait | None:
    """(old name, new name) when `name` is one of two names of the same model; None when it is not, WAIT when that
    cannot be told yet. MLflow keeps number, run, source and the time of making of each version, to the millisecond."""
    row = RegisteredModel.objects.filter(name=name).first()
    if row is None:
        return None
    if row.deleted_at is not None:
        if asked.stages_asked_at is None or asked.stages_asked_at < row.deleted_at:
            return WAIT  # the next pull brings what was renamed under its new name
        twin = next((each for each in _born_with(row).filter(deleted_at=None) if _has_all(name, each)), None)
        return (name, twin.name) if twin else None
    if Tenure.objects.open().filter(model_name=name).exists():
        return None
    held = Tenure.objects.open().filter(model_name__in=_born_with(row).values("name")).order_by("model_name")
    for old in held.values_list("model_name", flat=True).distinct():
        if _has_all(old, row):
            return _confirmed(old, name, registry)
    return None


def _born_with(row: RegisteredModel) -> Any:
    return RegisteredModel.objects.filter(created_at=row.created_at).exclude(pk=row.pk)


def _has_all(old: str, new: RegisteredModel) -> bool:
    """Whether every version that holds something under the old name is there under the new one."""
    held = set(Tenure.objects.open().filter(model_name=old).values_list("version_number", flat=True))
    marks = ("number", "created_at", "run_id", "source")
    before = set(ModelVersion.objects.filter(model__name=old, number__in=held).values_list(*marks))
    after = set(ModelVersion.objects.filter(model=new, number__in=held, deleted_at=None).values_list(*marks))
    return bool(held) and before == after and len(before) == len(held)


def _confirmed(old: str, new: str, registry: Registry | None) -> tuple[str, str] | Wait | None:
    if RegisteredModel.objects.filter(name=old, deleted_at=None).exists():
        if registry is None:
            return WAIT
        try:
            sync.refresh_model(registry, old)
        except NotFound:  # and so it is marked deleted
            return old, new
        except RegistryError:
            return WAIT
        return None  # both are there
    return old, new


@transaction.atomic
def settle(old: str, new: str, *, places: Mapping[str, Target], known: Known) -> int:
    """One incident that names both; the tenures continue under the new name."""
    incidents.lock(old, new)
    holders = observed(places, [new])
    # After the mirror was read, never before: see `deliveries`.
    if deliveries.half_done([old, new]):
        return 0
    held = {key: running for key, running in expected([old]).items() if key.place in places}
    if not held or expected([new]):
        return 0
    first = max(held, key=lambda key: (places[key.place].position, not key.is_alias))
    row, gone = RegisteredModel.objects.get(name=new), RegisteredModel.objects.get(name=old)
    seen_at = min(row.read_at, gone.deleted_at or row.read_at)
    begun = max(tenure.started_at for running in held.values() for tenure in running.values())
    not_before = max([at for at in (known.aliases_at, begun if begun <= seen_at else None) if at], default=None)
    # MLflow stamps a model's change, which need not be this one: it is told only where it lies in the interval.
    within = not_before is None or not_before <= row.last_updated_at
    incident, event = incidents.open_incident(
        Found(
            kind=Incident.Kind.RENAMED,
            model=new,
            target=places[first.place],
            place=first.place,
            before=list(held[first]),
            after=list(holders.get(Key(new, first.target_id, first.place), {})),
            approved=list(held[first]),
            seen_at=seen_at,
            not_before=min(not_before, seen_at) if not_before else None,
            version=max(held[first]),
            details={
                "old_name": old,
                "new_name": new,
                "places": sorted({key.place for key in held}),
                **({"mlflow_updated_at": row.last_updated_at.isoformat()} if within else {}),
            },
        )
    )
    now = clock.now()
    for running in held.values():
        for tenure in running.values():
            at = max(min(seen_at, now), tenure.started_at)
            tenures.finish(
                Tenure.objects.filter(pk=tenure.pk), at=at, how=Tenure.End.RENAMED, sequence=event.sequence,
                after=max(incident.not_before, tenure.started_at) if incident.not_before else None,
            )  # fmt: skip
            tenures.carry_on(tenure, name=new, at=at, sequence=event.sequence)
    # They continue under the name that people find.
    renamed = list(Incident.objects.open().filter(model_name=old))
    for open_one in renamed:
        open_one.model_name, open_one.details = new, {**open_one.details, "found_under": old}
        open_one.save(update_fields=["model_name", "details"])
    incidents.seal(incident, *renamed, since=event, models=[old, new])
    return 1
