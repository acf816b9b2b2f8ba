"""What holds the watched places: as the mirror has it, and as the tenures have it. Reads alone."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias

from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet, Subquery

from approvals import tenures
from approvals.models import Incident, Target, Tenure
from mirror.models import Alias, ModelVersion


class Key(NamedTuple):
    """One place of one model."""

    model: str
    target_id: int
    place: str

    @property
    def is_alias(self) -> bool:
        return self.place.startswith("@")


@dataclass(frozen=True, slots=True)
class Holder:
    """A version in a place, as MLflow said when it was asked at `read_at`."""

    number: int
    created_at: datetime | None
    """None: not known, so that any version of this number is the same."""

    read_at: datetime
    updated_at: datetime | None = None


Observed: TypeAlias = Mapping[Key, Mapping[int, Holder]]
Expected: TypeAlias = Mapping[Key, Mapping[int, Tenure]]


def watched() -> dict[str, Target]:
    """The current target of each place that one has: {"Production": …, "@champion": …}."""
    return {place: target for target in Target.objects.current() for place in tenures.places_of(target)}


def observed(places: Mapping[str, Target], models: Collection[str] | None = None) -> Observed:
    """Who holds which place, in two queries: of all models, or of these. Places that no one holds are absent."""
    found: dict[Key, dict[int, Holder]] = defaultdict(dict)
    versions = ModelVersion.objects.filter(deleted_at=None, model__deleted_at=None)
    in_stage = versions.filter(stage__in=[place for place in places if not place.startswith("@")])
    aliases = Alias.objects.filter(model__deleted_at=None, name__in=[place[1:] for place in places if place[0] == "@"])
    if models is not None:
        in_stage, aliases = in_stage.filter(model__name__in=models), aliases.filter(model__name__in=models)
    columns = ("model__name", "stage", "number", "created_at", "read_at", "last_updated_at")
    for name, stage, number, created_at, read_at, updated_at in in_stage.values_list(*columns):
        key = Key(name, places[stage].pk, stage)
        found[key][number] = Holder(number, created_at, read_at, updated_at)
    own = ModelVersion.objects.filter(model=OuterRef("model"), number=OuterRef("number"))
    marked = aliases.annotate(
        made_at=Subquery(own.values("created_at")[:1]), gone_at=Subquery(own.values("deleted_at")[:1])
    )
    listed = marked.values_list("model__name", "name", "number", "model__read_at", "made_at", "gone_at")
    for name, alias, number, read_at, made_at, gone_at in listed:
        if gone_at is None:  # the alias of a deleted version is gone too, as soon as the model is read again
            place = tenures.alias_place(alias)
            found[Key(name, places[place].pk, place)][number] = Holder(number, made_at, read_at)
    return found


def expected(models: Collection[str] | None = None) -> Expected:
    """The tenures that run, of all models or of these."""
    found: dict[Key, dict[int, Tenure]] = defaultdict(dict)
    running = Tenure.objects.open() if models is None else Tenure.objects.open().filter(model_name__in=models)
    for tenure in running:
        found[Key(tenure.model_name, tenure.target_id, tenure.place)][tenure.version_number] = tenure
    return found


def names_of(model: str) -> list[str]:
    """The model's name and those that it had before, as far as renames were seen."""
    found = [model]
    while True:
        earlier = (
            Incident.objects.filter(kind=Incident.Kind.RENAMED, details__new_name=found[-1]).order_by("-pk").first()
        )
        old = str(earlier.details.get("old_name", "")) if earlier else ""
        if not old or old in found:
            return found
        found.append(old)


def is_same(holders: Mapping[int, Holder], held: Mapping[int, datetime | None]) -> bool:
    """Whether these versions, and not others under their numbers, hold the place."""
    return holders.keys() == held.keys() and not any(
        is_other(holders[number].created_at, made_at) for number, made_at in held.items()
    )


def is_other(made_at: datetime | None, known: datetime | None) -> bool:
    """Whether two versions of one number are known to be two."""
    return made_at is not None and known is not None and made_at != known


def different(places: Mapping[str, Target]) -> list[Key]:
    """The places in which something else is than the tenures say: at a glance, without a lock. The database compares,
    two queries a place, so that nothing is read of what does not differ."""
    found: set[Key] = set()
    for place, target in places.items():
        held = Tenure.objects.open().filter(target=target, place=place)
        there = _aliases(place) if place.startswith("@") else _in_stage(place)
        same = Q(version_created_at=None) | Q(made_at=None) | Q(version_created_at=F("made_at"))
        explained = held.filter(model_name=OuterRef("model__name"), version_number=OuterRef("number"))
        explained = explained.annotate(made_at=ExpressionWrapper(OuterRef("made_at"), DateTimeField())).filter(same)
        shown = there.filter(model__name=OuterRef("model_name"), number=OuterRef("version_number"))
        names = [
            *there.filter(~Exists(explained)).values_list("model__name", flat=True),
            *held.filter(~Exists(shown)).values_list("model_name", flat=True),
        ]
        found |= {Key(name, target.pk, place) for name in names}
    return sorted(found)


def _in_stage(stage: str) -> "QuerySet[ModelVersion]":
    versions = ModelVersion.objects.filter(stage=stage, deleted_at=None, model__deleted_at=None)
    return versions.annotate(made_at=F("created_at"))


def _aliases(place: str) -> "QuerySet[Alias]":
    own = ModelVersion.objects.filter(model=OuterRef("model"), number=OuterRef("number"))
    aliases = Alias.objects.filter(name=place[1:], model__deleted_at=None)
    return aliases.annotate(made_at=Subquery(own.values("created_at")[:1])).filter(
        ~Exists(own.filter(deleted_at__isnull=False))
    )
