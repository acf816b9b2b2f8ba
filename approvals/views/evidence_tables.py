"""The metrics of a request, which may be thousands: the first ones, or all by the page; and how evidence has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator

from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow, remarks
from mirror.models import ModelVersion

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


def sources(facts: Mapping[str, Any] | None, version: ModelVersion | None) -> dict[str, Mapping[str, Any]]:
    """Of the metrics of an evidence: their data sets as frozen, and what the mirror knows of them besides."""
    if not facts or version is None:
        return {}
    return remarks.sources(facts["metrics"], facts.get("measured_on"), version.fact_sources.get("metrics", {}))


def numbers(metrics: Mapping[str, str]) -> dict[str, float | str]:
    """Metrics as `evidence.numbers` wrote them: text, of which NaN and the infinities stay text."""
    return {
        name: value if value in ("NaN", "Infinity", "-Infinity") else float(value) for name, value in metrics.items()
    }
