"""The five figures above the matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q

from approvals.models import Status
from approvals.models.requests import UNDECIDED
from registry_ui.selectors.overview import standings
from registry_ui.selectors.overview.question import WEEK, Question
from registry_ui.selectors.overview.standings import Standing

WEEKS = 12


@dataclass(frozen=True, slots=True)
class Figures:
    """Three count cells of the matrix, two requests."""

    approved: int
    outside: int
    """Emergency promotions that nobody found justified, too."""

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
    cells = standings.cells(question.held).aggregate(
        approved=Count("rank", filter=Q(rank=Standing.APPROVED)),
        before=Count("rank", filter=Q(rank=Standing.BEFORE)),
        outside=Count("rank", filter=Q(rank__gte=Standing.EMERGENCY)),
    )
    waits = Q(status__in=UNDECIDED)
    starts = [question.now - number * WEEK for number in range(WEEKS, 0, -1)]
    weeks = {
        f"week_{number}": Count("pk", filter=Q(closed_at__gt=start, closed_at__lte=start + WEEK))
        for number, start in enumerate(starts)
    }
    asked = question.requests.filter(waits | Q(status=Status.APPLIED, closed_at__gt=starts[0])).aggregate(
        waiting=Count("pk", filter=waits), oldest=Min("created_at", filter=waits), **weeks
    )
    return Figures(
        approved=cells["approved"],
        outside=cells["outside"],
        before=cells["before"],
        waiting=asked["waiting"],
        oldest=asked["oldest"],
        weeks=[asked[name] for name in weeks],
    )
