"""The newest versions that no one has asked for yet: what an engineer comes for, one click from the form."""

from django.db.models import Exists, OuterRef, Q

from approvals.models import PromotionRequest, Target, Tenure
from approvals.models.requests import OPEN
from mirror.models import ModelVersion

LOOKED_AT = 50
"""So many of the versions that MLflow changed last are looked at, however many there are."""

SHOWN = 3


def newest(*, model: int | None = None, most: int = SHOWN) -> list[ModelVersion]:
    """At most one of each model, or of this one, the newest first: its newest version, where that is ready, has no open
    request, and was never asked into the last target nor held it. Two queries."""
    last = Target.objects.current().last()
    if last is None:
        return []
    asked = PromotionRequest.objects.filter(Q(target=last) | Q(status__in=OPEN), version=OuterRef("pk"))
    held = Tenure.objects.filter(target=last, model_name=OuterRef("model__name"), version_number=OuterRef("number"))
    holds_now = Q(stage=last.stage) if last.stage else Q(pk=None)
    found = ModelVersion.objects.filter(deleted_at=None, model__deleted_at=None, model__hidden_at=None)
    if model is not None:
        found = found.filter(model=model)
    looked_at = (
        found.select_related("model")
        .only("number", "created_at", "model__name")
        .order_by("-last_updated_at")
        .annotate(is_offered=Q(status="READY") & ~holds_now & ~Exists(asked) & ~Exists(held))
    )
    latest: dict[int, ModelVersion] = {}
    offered = set()
    for each in looked_at[:LOOKED_AT]:
        if each.model_id not in latest or latest[each.model_id].number < each.number:
            latest[each.model_id] = each
        if each.is_offered:
            offered.add(each.pk)
    chosen = [each for each in latest.values() if each.pk in offered]
    return sorted(chosen, key=lambda each: each.created_at, reverse=True)[:most]
