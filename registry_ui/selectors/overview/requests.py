"""The requests that the overview shows: what is asked for in the matrix, what comes next, and what was delivered
last."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import F, FilteredRelation, Q, QuerySet
from django.db.models.functions import Now

from approvals.models import Probation, PromotionRequest, Status, Tenure, Verdict
from approvals.models.requests import UNDECIDED
from mirror import composed
from mirror.models import RegisteredModel
from registry_ui.selectors.overview.question import Question

SOON = timedelta(hours=48)
NEXT = 8
RECENT = 10
DELIVERING = (Status.APPROVED, Status.FAILED)
MOST_PLACES = 2
"""A delivery begins a tenure for the stage of its target and one for the alias."""


@dataclass(frozen=True, slots=True)
class Known:
    request: PromotionRequest
    """With version, model, target and `probation`."""

    approvers: list[str] = field(default_factory=list)
    """Names of those whose approval stands, in their order."""


def of(question: Question, found: Sequence[RegisteredModel]) -> list[Known]:
    """Open ones for the columns of these models, those of which something is due soon, and the last ones that were
    delivered; by their number. Two queries, the second with a row for each approval."""
    # 0 is no one's number: of nothing at all, no query could be composed.
    targets, models = ((*(each.pk for each in some), 0) for some in (question.targets, found))
    numbers = composed.objects(_numbers, targets, models)
    approvals = FilteredRelation("reviews", condition=Q(reviews__verdict=Verdict.APPROVE, reviews__voided_at=None))
    rows = (
        PromotionRequest.objects.filter(pk__in=numbers)
        .annotate(approval=approvals, name=F("approval__reviewer__name"), address=F("approval__reviewer__email"))
        .select_related("version__model", "target", "probation")
        .only(
            "kind",
            "status",
            "rule",
            "expires_at",
            "closed_at",
            "afterwards_at",
            "afterwards_due_at",
            "target__name",
            "version__number",
            "version__model__name",
            "probation__ends_at",
            "probation__closed_at",
        )
        .order_by("pk", "approval__created_at", "approval")
    )
    known: dict[int, Known] = {}
    for row in rows:
        its = known.setdefault(row.pk, Known(row))
        its.approvers.extend(filter(None, [getattr(row, "name", "") or getattr(row, "address", "")]))
    return list(known.values())


def _numbers(targets: tuple[int, ...], models: tuple[int, ...]) -> QuerySet[Any, Any]:
    """Those of the matrix, the first to expire or to be reviewed afterwards within 48 hours, the first probations to
    end, and the last deliveries: one search each, along an index of its own. With OR, PostgreSQL would walk through
    every request."""
    shown = PromotionRequest.objects.open().filter(target__in=targets, version__model__in=models).order_by()
    known, soon = PromotionRequest.objects.all(), Now() + SOON
    expiring = known.filter(status__in=UNDECIDED, expires_at__lte=soon).order_by("expires_at", "pk")
    owing = known.owing_review().exclude(status__in=DELIVERING).filter(afterwards_due_at__lte=soon)
    ending = Probation.objects.running().exclude(request__status__in=DELIVERING).order_by("ends_at", "pk")
    others = (expiring.values("pk"), owing.order_by("afterwards_due_at", "pk").values("pk"), ending.values("request"))
    every = shown.values("pk").union(*(_numbered(each[:NEXT]) for each in others), _numbered(_delivered()))
    return every.values_list("pk", flat=True)


def _numbered(found: QuerySet[Any, Any]) -> QuerySet[PromotionRequest, Any]:
    """SQLite takes no part of a union that is cut off, unless another query is around it."""
    return PromotionRequest.objects.filter(pk__in=found).order_by().values("pk")


def _delivered() -> QuerySet[Tenure, Any]:
    """By what they made hold a target: those rows are short."""
    begun = Tenure.objects.filter(origin=Tenure.Origin.DELIVERY).order_by("-started_at", "-pk")
    return begun.values("request")[: RECENT * MOST_PLACES]
