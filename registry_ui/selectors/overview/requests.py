"""The requests that the overview shows: what is asked for in the matrix, what comes next, and what was delivered
last."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Case, F, FilteredRelation, Q, QuerySet, When
from django.db.models.functions import Now

from approvals.models import PromotionRequest, Status, Tenure, Verdict
from approvals.models.requests import UNDECIDED
from approvals.selectors import composed, inbox
from mirror.models import RegisteredModel
from registry_ui.selectors.overview.question import Question

SOON = timedelta(hours=48)
NEXT = 8
RECENT = 10
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
    shown = question.asked.filter(version__model__in=found).values("pk")
    others = [number for (number,) in composed.rows(_others)]
    approvals = FilteredRelation("reviews", condition=Q(reviews__verdict=Verdict.APPROVE, reviews__voided_at=None))
    rows = (
        PromotionRequest.objects.filter(Q(pk__in=shown) | Q(pk__in=others))
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


def _others() -> QuerySet[Any, Any]:
    return _numbered(_due()).union(_numbered(_delivered()))


def _numbered(found: QuerySet[Any, Any]) -> QuerySet[PromotionRequest, Any]:
    """SQLite takes no part of a union that is cut off, unless another query is around it."""
    return PromotionRequest.objects.filter(pk__in=found).order_by().values("pk")


def _due() -> QuerySet[PromotionRequest, Any]:
    """The first to expire or to be reviewed afterwards within 48 hours, and the first probations to end."""
    at = Case(
        When(status__in=UNDECIDED, then=F("expires_at")),
        When(inbox.OWES_REVIEW, then=F("afterwards_due_at")),
        default=F("probation__ends_at"),
    )
    near = Q(status__in=UNDECIDED) | inbox.OWES_REVIEW
    found = inbox.unfinished().exclude(status__in=(Status.APPROVED, Status.FAILED)).alias(due=at)
    soon = (near & Q(due__lte=Now() + SOON)) | (~near & Q(due__isnull=False))
    return found.filter(soon).order_by("due", "pk").values("pk")[:NEXT]


def _delivered() -> QuerySet[Tenure, Any]:
    """By what they made hold a target: those rows are short."""
    begun = Tenure.objects.filter(origin=Tenure.Origin.DELIVERY).order_by("-started_at", "-pk")
    return begun.values("request")[: RECENT * MOST_PLACES]
