"""Which mirrored versions hold a target, and which of them a request is compared with."""

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from approvals.models import PromotionRequest, Target
from approvals.models.requests import RequestKind
from mirror import composed
from mirror.models import Alias, ModelVersion, RegisteredModel


def holders(model: RegisteredModel, target: Target) -> list[ModelVersion]:
    """The mirrored versions that hold the target now: the champion first.

    Stage before alias (serving code loads `models:/<name>/<stage>`, which is the highest version in the stage).
    """
    found: list[ModelVersion] = []
    if target.stage:
        found += composed.objects(_in_stage, model.pk, target.stage)
    if target.alias:
        for (number,) in composed.objects(_under_alias, model.pk, target.alias):
            if all(version.number != number for version in found):
                found += ModelVersion.objects.filter(model=model, number=number, deleted_at=None)
    for version in found:
        version.model = model
    return found


def _in_stage(model: int, stage: str) -> QuerySet[ModelVersion]:
    return ModelVersion.objects.filter(model=model, stage=stage, deleted_at=None).order_by("-number")


def _under_alias(model: int, alias: str) -> QuerySet[Alias, tuple[int]]:
    """The number, of one at most."""
    return Alias.objects.filter(model=model, name=alias).values_list("number")


def champion_of(model: RegisteredModel, target: Target) -> ModelVersion | None:
    """The first of `holders`: what serving code loads."""
    return next(iter(holders(model, target)), None)


def pk_now() -> Coalesce:
    """For a query of requests: the number of the row that `champion_of` gives for each, None where nothing holds."""
    there = ModelVersion.objects.filter(model=OuterRef("version__model"), deleted_at=None)
    in_stage = there.filter(stage=OuterRef("target__stage")).exclude(stage="").order_by("-number")
    aliases = there.filter(model__aliases__name=OuterRef("target__alias"), model__aliases__number=F("number"))
    return Coalesce(Subquery(in_stage.values("pk")[:1]), Subquery(aliases.values("pk")[:1]))


def champion_for(request: PromotionRequest) -> ModelVersion | None:
    """What the request is compared with. A review afterwards is of a version that holds the target already: it is
    compared with the last approved holder, unless yet another one holds the target by now."""
    holder = champion_of(request.version.model, request.target)
    if request.kind == RequestKind.RETROACTIVE and (holder is None or holder.pk == request.version_id):
        return request.champion
    return holder
