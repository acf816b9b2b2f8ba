"""Which mirrored versions hold a target, and which of them a request is compared with."""

from approvals.models import PromotionRequest, Target
from approvals.models.requests import RequestKind
from mirror.models import Alias, ModelVersion, RegisteredModel


def holders(model: RegisteredModel, target: Target) -> list[ModelVersion]:
    """The mirrored versions that hold the target now: the champion first.

    Stage before alias (serving code loads `models:/<name>/<stage>`, which is the highest version in the stage).
    """
    found: list[ModelVersion] = []
    if target.stage:
        found += ModelVersion.objects.filter(model=model, stage=target.stage, deleted_at=None).order_by("-number")
    if target.alias:
        alias = Alias.objects.filter(model=model, name=target.alias).first()
        if alias and all(version.number != alias.number for version in found):
            found += ModelVersion.objects.filter(model=model, number=alias.number, deleted_at=None)
    for version in found:
        version.model = model
    return found


def champion_of(model: RegisteredModel, target: Target) -> ModelVersion | None:
    """The first of `holders`: what serving code loads."""
    return next(iter(holders(model, target)), None)


def champion_for(request: PromotionRequest) -> ModelVersion | None:
    """What the request is compared with. A review afterwards is of a version that holds the target already: it is
    compared with the last approved holder, unless yet another one holds the target by now."""
    holder = champion_of(request.version.model, request.target)
    if request.kind == RequestKind.RETROACTIVE and (holder is None or holder.pk == request.version_id):
        return request.champion
    return holder
