"""Whether Countersign itself is in the middle of changing a model in MLflow. Reads alone.

In a transaction that holds settlements off (`tenures.hold_settlements`), this is asked after the mirror was read and
never before: the plan is committed before delivery's first write, so that anyone who sees what was written finds the
plan, and settling takes the plan away in the transaction that changes tenures and mirror.
"""

from collections.abc import Collection

from django.db.models import OuterRef, Subquery

from approvals.models import Incident, OutboxEntry, PromotionRequest
from approvals.models.requests import OPEN


def half_done(models: Collection[str]) -> set[str]:
    """Those of the models in which an open request has been moved, or may have been, and is not settled: its last
    outbox entry has a plan. What is partly delivered and at rest is settled as far as it is there. Also those to which
    something is being put back right now."""
    last = OutboxEntry.objects.filter(request=OuterRef("pk")).order_by("-pk")
    moving = PromotionRequest.objects.filter(status__in=OPEN, version__model__name__in=models).annotate(
        plan=Subquery(last.values("plan")[:1]), is_at_rest=Subquery(last.values("is_at_rest")[:1])
    )
    found = set(moving.filter(plan__isnull=False, is_at_rest=False).values_list("version__model__name", flat=True))
    restoring = Incident.objects.filter(is_owed=True, model_name__in=models, details__has_key="began_at")
    return found | set(restoring.values_list("model_name", flat=True))


def left_half_done(model: str) -> PromotionRequest | None:
    """The last request of the model that ended, unapplied, after its delivery had begun to move."""
    last = OutboxEntry.objects.filter(request=OuterRef("pk")).order_by("-pk")
    ended = PromotionRequest.objects.filter(version__model__name=model).exclude(status__in=[*OPEN, "applied"])
    marked = ended.annotate(plan=Subquery(last.values("plan")[:1])).filter(plan__isnull=False)
    return marked.order_by("-closed_at").first()
