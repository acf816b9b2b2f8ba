"""The five figures above the matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, IntegerField, Min, QuerySet, Value, When

from approvals.models import Tenure
from approvals.models.requests import UNDECIDED
from approvals.tenures.recording import places_of
from mirror import composed
from registry_ui.selectors.overview import standings
from registry_ui.selectors.overview.question import WEEK, Question
from registry_ui.selectors.overview.standings import Standing

WEEKS = 12
WAITS = -1
"""In place of a week: the requests that wait."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Three count cells of the matrix, two requests."""

    approved: int
    outside: int
    """Emergency promotions that no one found justified, too."""

    before: int
    waiting: int
    oldest: datetime | None
    """When the one that waits longest was made."""

    weeks: Sequence[int]
    """Deliveries in each of the last twelve spans of seven days, the oldest first."""

    @property
    def delivered(self) -> int:
        return self.weeks[-1]


def of(question: Question) -> Figures:
    """Of everything that name, tag and target leave, whatever the state. Two queries."""
    cells = composed.tally(_cells, question.in_any_state)
    waits = question.asked.filter(status__in=UNDECIDED).order_by().annotate(week=Value(WAITS)).values("week")
    told = waits.annotate(count=Count("pk"), first=Min("created_at")).union(_deliveries(question), all=True)
    counted = {week: (count, first) for week, count, first in told.values_list("week", "count", "first")}
    waiting, oldest = counted.get(WAITS, (0, None))
    weeks = [counted.get(week, (0, None))[0] for week in range(WEEKS)]
    outside = cells[Standing.EMERGENCY] + cells[Standing.OUTSIDE]
    return Figures(cells[Standing.APPROVED], outside, cells[Standing.BEFORE], waiting, oldest, weeks)


def _cells(question: Question) -> QuerySet[Any, Any]:
    return standings.cells(question.held)


def _deliveries(question: Question) -> QuerySet[Tenure, Any]:
    """Deliveries by the span of seven days in which what they promoted began to hold, 0 for the earliest. By tenures,
    whose rows are short."""
    starts = [question.now - number * WEEK for number in range(WEEKS, 0, -1)]
    week = Case(
        *[When(started_at__gt=start, then=Value(number)) for number, start in reversed(list(enumerate(starts)))],
        output_field=IntegerField(),
    )
    # A target with a stage and an alias has a tenure in each.
    places = [places_of(target)[0] for target in question.targets]
    begun = question.begun.filter(origin=Tenure.Origin.DELIVERY, started_at__gt=starts[0], place__in=places)
    of_week = begun.order_by().annotate(week=week).values("week")
    # Not of a column: an index has all that is counted by, and the rows need not be read.
    return of_week.annotate(count=Count("*"), first=Min("started_at"))
