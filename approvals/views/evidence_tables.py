"""Tables that may have thousands of rows (metrics, values, files): the first ones, the rest folded or by the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator

from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow, remarks
from approvals.evidence.comparison.values import differing
from mirror.models import ModelVersion

METRICS_SHOWN = 25
CHANGED_SHOWN = 25
UNCHANGED_SHOWN = 60
ALONE_SHOWN = 12
"""So many rows where there is nothing to compare with."""

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
    rows: Sequence[Any]
    folded: Sequence[Any]
    """Unchanged rows, behind a click."""

    total: int
    changed: int
    page: "Page[Any] | None" = None
    is_compared: bool = True

    @property
    def is_cut(self) -> bool:
        return self.page is None and len(self.rows) + len(self.folded) < self.total

    @property
    def tally(self) -> str:
        """`3 of 14 differ`, or how many there are."""
        return differing(self.changed, self.total) if self.is_compared else f"{self.total:,}"

    @property
    def unchanged(self) -> int:
        return self.total - self.changed


def metric_table(rows: Sequence[MetricRow], shown: Shown) -> Table:
    """What was lost or got worse first."""
    ordered = comparison.by_weight(rows)
    changed = sum(row.judgement != comparison.Judgement.SAME for row in rows)
    if shown.kind == "metrics":
        page = Paginator(ordered, PER_PAGE).get_page(shown.number)
        return Table("metrics", list(page.object_list), (), len(rows), changed, page)
    return Table("metrics", ordered[:METRICS_SHOWN], (), len(rows), changed)


def value_table(kind: str, rows: Sequence[Any], shown: Shown, *, is_compared: bool) -> Table:
    """Rows with `is_changed`, the changed ones first. Without a champion nothing is changed: the first rows are shown,
    the others folded."""
    changed = sum(row.is_changed for row in rows) if is_compared else 0
    if shown.kind == kind:
        page = Paginator(rows, PER_PAGE).get_page(shown.number)
        return Table(kind, list(page.object_list), (), len(rows), changed, page, is_compared)
    first = min(changed, CHANGED_SHOWN) if is_compared else min(len(rows), ALONE_SHOWN)
    rest = rows[changed:] if is_compared else rows[first:]
    return Table(kind, rows[:first], rest[:UNCHANGED_SHOWN], len(rows), changed, None, is_compared)


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
