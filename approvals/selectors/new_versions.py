"""The newest versions that no one has asked for yet: what an engineer comes for, one click from the form."""

from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, When

from approvals.models import PromotionRequest, Target, Tenure
from approvals.models.requests import OPEN
from approvals.selectors import composed
from mirror.models import ModelVersion

LOOKED_AT = 50
"""So many of the versions that MLflow changed last are looked at, however many there are."""

SHOWN = 3


def newest(*, model: int | None = None, most: int = SHOWN, last: Target | None = None) -> list[ModelVersion]:
    """At most one of each model, or of this one, the newest first: its newest version, where that is ready, has no open
    request, and was never asked into the last target nor held it. One query where there is none, else two; and that of
    the `last` target, where it is not known."""
    last = last or Target.objects.current().last()
    if last is None:
        return []
    latest: dict[int, tuple[int, int]] = {}
    offered = set()
    for pk, of_model, number, is_offered in composed.rows(_looked_at, last.pk, last.stage, model):
        latest[of_model] = max(latest.get(of_model, (0, 0)), (number, pk))
        if is_offered:
            offered.add(pk)
    chosen = [pk for _, pk in latest.values() if pk in offered]
    if not chosen:
        return []
    found = ModelVersion.objects.filter(pk__in=chosen).select_related("model").order_by("-created_at")
    return list(found.only("number", "created_at", "model__name")[:most])


def _looked_at(last: int, stage: str, model: int | None) -> QuerySet[Any, Any]:
    asked = PromotionRequest.objects.filter(Q(target=last) | Q(status__in=OPEN), version=OuterRef("pk"))
    held = Tenure.objects.filter(target=last, model_name=OuterRef("model__name"), version_number=OuterRef("number"))
    holds_now = Q(stage=stage) if stage else Q(pk=None)
    found = ModelVersion.objects.filter(deleted_at=None, model__deleted_at=None, model__hidden_at=None)
    if model is not None:
        found = found.filter(model=model)
    offered = Q(status="READY") & ~holds_now & ~Exists(asked) & ~Exists(held)
    ordered = found.order_by("-last_updated_at").values_list("pk", "model_id", "number")
    return ordered.annotate(is_offered=Case(When(offered, then=1), default=0))[:LOOKED_AT]
