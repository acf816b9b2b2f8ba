"""Models that MLflow's search hides, or takes for prompts, while something depends on them: anyone who marks a model,
or one version of it, so hides it from MLflow's own pages. The mirror continues reading it by name and number, so its
places stay watched; that it was done is told by an incident."""

from collections.abc import Mapping

from django.db import transaction
from django.db.models import Q

from approvals import tenures
from approvals.models import Incident, PromotionRequest, Target, Tenure, WatchState
from approvals.watch import incidents
from approvals.watch.classification import Known
from approvals.watch.incidents import Found
from approvals.watch.places import Key, expected
from mirror.isolation import alone
from mirror.models import ModelVersion, RegisteredModel
from mirror.port import PROMPT_TAG

Kind, Resolution = Incident.Kind, Incident.Resolution


def look(state: WatchState, places: Mapping[str, Target]) -> int:
    """Returns how many incidents were opened."""
    hidden = RegisteredModel.objects.filter(deleted_at=None, hidden_at__isnull=False).order_by("name")
    found = 0
    for row in hidden:
        with alone("watch.model_not_judged", model=row.name):
            found += _judge(row, places, Known.of(state, row.name))
    return found


def over(incident: Incident) -> "tuple[Incident.Resolution, str] | None":
    """How it ended by itself."""
    row = RegisteredModel.objects.filter(name=incident.model_name).first()
    if row is None or row.deleted_at is not None:
        return Resolution.EXPLAINED, f"{incident.model_name} does not exist in MLflow any more."
    return None if row.hidden_at else (Resolution.UNDONE, "MLflow lists it, with its versions, again.")


@transaction.atomic
def _judge(row: RegisteredModel, places: Mapping[str, Target], known: Known) -> int:
    marked = _marked(row)
    kind = Kind.PROMPT if row.is_prompt or marked else Kind.HIDDEN
    # Told once for each time that it was hidden: resolved, a person has said why it may stay so.
    told = Q(resolved_at=None) | Q(resolution=Resolution.EXPLAINED, seen_at=row.hidden_at)
    if Incident.objects.filter(told, model_name=row.name, kind=kind).exists():
        return 0
    incidents.lock(row.name)
    at_stake = _at_stake(row, places)
    if at_stake is None or row.hidden_at is None:
        return 0
    key, held, number = at_stake
    incidents.open_incident(
        Found(
            kind=kind,
            model=row.name,
            target=places[key.place],
            place=key.place,
            before=held,
            after=held,
            approved=held,
            seen_at=row.hidden_at,
            not_before=min(known.aliases_at, row.hidden_at) if known.aliases_at else None,
            version=number,
            details={"is_model": row.is_prompt, "versions": marked},
        )
    )
    return 1


def _marked(row: RegisteredModel) -> list[int]:
    """Its versions that MLflow takes for versions of a prompt."""
    tagged = ModelVersion.objects.filter(model=row, deleted_at=None, tags__has_key=PROMPT_TAG).order_by("number")
    return [version.number for version in tagged if version.is_prompt]


def _at_stake(row: RegisteredModel, places: Mapping[str, Target]) -> tuple[Key, list[int], int] | None:
    """The place that matters most, what holds it and the version that the incident is about; None when nothing of the
    model holds a place and no one asks for one."""
    held: dict[Key, Mapping[int, Tenure]] = {
        key: running for key, running in expected([row.name]).items() if key.place in places
    }
    if held:
        first = max(held, key=lambda key: (places[key.place].position, not key.is_alias))
        return first, sorted(held[first]), max(held[first])
    for request in PromotionRequest.objects.open().filter(version__model=row).select_related("target", "version"):
        for place in tenures.places_of(request.target):
            if place in places:
                return Key(row.name, request.target_id, place), [], request.version.number
    return None
