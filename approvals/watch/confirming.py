"""Before anybody is accused: MLflow is asked about the model and its versions themselves. A listing may come from a
replica that is behind, and the mirror may be in the middle of a sweep, with one place new and another one old."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from approvals import evidence
from approvals.evidence import approval_note
from approvals.models import Incident, Target, Tenure
from approvals.watch.places import expected, observed
from mirror import clock, sync
from mirror.models import ModelVersion, RegisteredModel
from mirror.port import NotFound, Registry, RegistryError

LAG = timedelta(seconds=60)
"""So long after a delivery, an answer that does not know of it yet is taken for a replica's."""


def confirm(model: str, places: Mapping[str, Target], registry: Registry) -> datetime | None:
    """Mirrors all places of the model anew, each version that holds one by MLflow, mirror or tenures asked for by name;
    returns when MLflow was asked, and None when the model can't be judged now: MLflow does not answer, or answers what
    was before a delivery that has just ended."""
    asked_at = clock.now()
    if RegisteredModel.objects.filter(name=model).exclude(deleted_at=None).exists():
        return asked_at  # MLflow was asked by name before that was marked
    running = {number for held in expected([model]).values() for number in held}
    numbers = running | {number for held in observed(places, [model]).values() for number in held}
    try:
        listed = [each for page in registry.versions(model=model) for each in page]
        numbers |= {each.number for each in listed if each.stage in places}
        asked_at = sync.refresh_places(registry, model, numbers)
    except NotFound:
        return None  # marked deleted by now; the next look asks whether it goes by another name
    except RegistryError:
        return None
    return None if _is_behind(model, clock.now() - LAG) else asked_at


def is_current(model: str, asked_at: datetime) -> bool:
    """Whether the mirror still has what MLflow then said: no pull or sweep has written from a listing that it asked for
    afterwards."""
    later = {"read_at__gt": asked_at}
    return not (
        RegisteredModel.objects.filter(name=model, **later).exists()
        or ModelVersion.objects.filter(model__name=model, **later).exists()
    )


def _is_behind(model: str, since: datetime) -> bool:
    """Whether MLflow has just answered without what Countersign wrote since then: the note and the tag of a delivery,
    or the change of a put-back."""
    delivered = Tenure.objects.open().filter(
        model_name=model, origin=Tenure.Origin.DELIVERY, request__isnull=False, started_at__gt=since
    )
    told = dict(delivered.values_list("version_number", "request_id"))
    put_back = Incident.objects.filter(
        model_name=model, resolution=Incident.Resolution.PUT_BACK, resolved_at__gt=since, details__has_key="written"
    )
    moved = {number: at for incident in put_back for number, at in _written(incident)}
    rows = _rows(model, told.keys() | moved.keys())
    return any(_lacks_note(rows[number], request) for number, request in told.items() if number in rows) or any(
        rows[number].last_updated_at < at for number, at in moved.items() if number in rows
    )


def _rows(model: str, numbers: Collection[int]) -> dict[int, ModelVersion]:
    return {
        row.number: row
        for row in ModelVersion.objects.filter(model__name=model, number__in=numbers, deleted_at=None)
    }  # fmt: skip


def _written(incident: Incident) -> list[tuple[int, datetime]]:
    return [(int(number), datetime.fromisoformat(at)) for number, at in incident.details["written"].items()]


def _lacks_note(row: ModelVersion, request: int | None) -> bool:
    is_tagged = row.tags.get(f"{evidence.OWN_TAG}request") == str(request)
    return not is_tagged and not approval_note.has_note(row.description, request or 0)
