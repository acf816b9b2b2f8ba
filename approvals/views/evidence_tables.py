"""The metrics of a request, which may be thousands: the first ones, or all by the page; and how evidence has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator

from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow

METRICS_SHOWN = 25
PER_PAGE = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """Which table of a page is shown whole, and which page of it, from the query string."""

    kind: str = ""
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one table that are shown now: the first ones, or one page of the whole."""

    kind: str
    rows: Sequence[MetricRow]
    total: int
    page: "Page[Any] | None" = None

    @property
    def is_cut(self) -> bool:
        return self.page is None and len(self.rows) < self.total


def metric_table(rows: Sequence[MetricRow], shown: Shown) -> Table:
    """What was lost or got worse first."""
    ordered = comparison.by_weight(rows)
    if shown.kind == "metrics":
        page = Paginator(ordered, PER_PAGE).get_page(shown.number)
        return Table("metrics", list(page.object_list), len(rows), page)
    return Table("metrics", ordered[:METRICS_SHOWN], len(rows))
