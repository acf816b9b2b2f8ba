"""How what holds a target got there, as one of four states: of one tenure, of a cell of the overview, and in SQL for
counting and sorting. Where tenures of one cell differ (a stage and an alias, two versions in one stage), the worst
one speaks for it."""

from enum import IntEnum
from typing import Any

from django.db.models import Case, IntegerField, Max, QuerySet, Value, When

from approvals.models import PromotionRequest, RequestKind, Tenure
from approvals.models.requests import AfterVerdict
from approvals.tenures import labels


class Standing(IntEnum):
    """From the best to the worst."""

    APPROVED = 0
    BEFORE = 1
    EMERGENCY = 2
    OUTSIDE = 3

    @property
    def words(self) -> str:
        return _WORDS[self]

    @property
    def icon(self) -> str:
        return labels.ICONS[_LOOKS[self]]

    @property
    def colour(self) -> str:
        return labels.COLOURS[_LOOKS[self]]


_WORDS = {
    Standing.APPROVED: "Approved",
    Standing.BEFORE: "Before Countersign",
    Standing.EMERGENCY: "Emergency",
    Standing.OUTSIDE: "Outside Countersign",
}
_LOOKS = {
    Standing.APPROVED: labels.GATE,
    Standing.BEFORE: labels.BEFORE,
    Standing.EMERGENCY: labels.GLASS,
    Standing.OUTSIDE: labels.OUTSIDE,
}

_DOUBTFUL = PromotionRequest.objects.filter(kind=RequestKind.BREAK_GLASS).exclude(
    afterwards_verdict=AfterVerdict.JUSTIFIED
)
RANK = Case(
    # Not by a join: few requests are emergencies, and a join would read the long row of each request.
    When(request__in=_DOUBTFUL.values("pk"), then=Value(Standing.EMERGENCY.value)),
    When(request=None, origin=Tenure.Origin.OUTSIDE, then=Value(Standing.OUTSIDE.value)),
    When(
        request=None,
        origin__in=(Tenure.Origin.FOUND, Tenure.Origin.IMPORTED),
        then=Value(Standing.BEFORE.value),
    ),
    default=Value(Standing.APPROVED.value),
    output_field=IntegerField(),
)
"""Of one tenure. What was approved afterwards, or found justified, counts as approved."""


def cells(held: QuerySet[Tenure]) -> QuerySet[Tenure, Any]:
    """Of these tenures: model_name, target and the worst `rank` of each cell."""
    return held.order_by().values("model_name", "target").annotate(rank=Max(RANK))


def names(held: QuerySet[Tenure], *wanted: Standing) -> QuerySet[Tenure, Any]:
    """Of these tenures: names of the models that have a cell of one of these standings, for `name__in`."""
    ranked = held.order_by().values("model_name", "target").annotate(rank=Max(RANK))
    return ranked.filter(rank__in=wanted).values("model_name")
