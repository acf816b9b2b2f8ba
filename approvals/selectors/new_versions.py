"""The newest versions that no one has asked for yet: what an engineer comes for, one click from the form."""

from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, When

from approvals.models import PromotionRequest, Target, Tenure
from approvals.models.requests import OPEN
from mirror import composed
from mirror.models import ModelVersion, RegisteredModel

LOOKED_AT = 50
"""So many of the versions that MLflow changed last are looked at, however many there are."""

SHOWN = 3


NO_STAGE = "-"
"""What MLflow calls none of its own."""


def newest(*, model: int | None = None, most: int = SHOWN, last: Target | None = None) -> list[ModelVersion]:
    """At most one of each model, or of this one, the newest first: its newest version, where that is ready, has no open
    request, and was never asked into the last target nor held it; with number, created_at and the model's name. One
    query, and that of the `last` target, where it is not known."""
    last = last or Target.objects.current().last()
    if last is None:
        return []
    facts = (last.pk, last.stage or NO_STAGE)
    looked_at = composed.objects(_latest, *facts) if model is None else composed.objects(_latest_of, *facts, model)
    newest_of: dict[int, tuple[Any, ...]] = {}
    for found in looked_at:
        newest_of[found[1]] = max(newest_of.get(found[1], found), found, key=_number)
    offered = sorted((found for found in newest_of.values() if found[-1]), key=_created_at, reverse=True)
    return [
        ModelVersion(pk=pk, model=RegisteredModel(pk=of_model, name=name), number=number, created_at=created_at)
        for pk, of_model, number, created_at, name, _ in offered[:most]
    ]


def _number(found: tuple[Any, ...]) -> Any:
    return found[2]


def _created_at(found: tuple[Any, ...]) -> Any:
    return found[3]


def _latest(last: int, stage: str) -> QuerySet[Any, Any]:
    return _told(_known().order_by("-last_updated_at")[:LOOKED_AT], last, stage)


def _latest_of(last: int, stage: str, model: int) -> QuerySet[Any, Any]:
    return _told(_known().filter(model=model).order_by("-number")[:1], last, stage)


def _known() -> QuerySet[ModelVersion]:
    return ModelVersion.objects.filter(deleted_at=None, model__deleted_at=None, model__hidden_at=None)


def _told(looked_at: QuerySet[ModelVersion], last: int, stage: str) -> QuerySet[Any, Any]:
    asked = PromotionRequest.objects.filter(Q(target=last) | Q(status__in=OPEN), version=OuterRef("pk"))
    held = Tenure.objects.filter(target=last, model_name=OuterRef("model__name"), version_number=OuterRef("number"))
    offered = Q(status="READY") & ~Q(stage=stage) & ~Exists(asked) & ~Exists(held)
    # What is asked of each stands outside: beside the limit, PostgreSQL would first read all that was ever asked.
    found = ModelVersion.objects.filter(pk__in=looked_at.values("pk")).order_by()
    told = found.values_list("pk", "model_id", "number", "created_at", "model__name")
    return told.annotate(is_offered=Case(When(offered, then=1), default=0))
