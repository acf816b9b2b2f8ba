"""What a request's page shows as evidence: the frozen facts that the fingerprint covers, challenger beside champion."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from django.core.paginator import Page, Paginator

from approvals import comparison, evidence, provenance
from approvals.comparison import MetricRow, ValueRow
from approvals.models import PromotionRequest
from registry_ui import lineage
from registry_ui.mirror.models import ModelVersion

METRICS_SHOWN = 25
CHANGED_SHOWN = 25
UNCHANGED_SHOWN = 60
PER_PAGE = 200
KINDS = ("metrics", "params", "tags")


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

    @property
    def is_cut(self) -> bool:
        return self.page is None and len(self.rows) + len(self.folded) < self.total

    @property
    def unchanged(self) -> int:
        return self.total - self.changed


@dataclass(frozen=True, slots=True)
class Origin:
    """One line of the provenance: where the challenger comes from, and the champion."""

    question: str
    challenger: str
    champion: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Dossier:
    metrics: Table
    tally: str
    widest: float
    params: Table
    tags: Table
    origins: Sequence[Origin]
    description: str
    champion_description: str


def of(request: PromotionRequest, *, show: str = "", number: str | None = None) -> Dossier:
    """No queries: the request comes with its version and champion. `show` names the table that is shown whole."""
    frozen = json.loads(request.evidence)
    facts, other = frozen["version"], frozen["champion"]
    champion = request.champion
    metrics = comparison.metric_rows(_numbers(facts["metrics"]), _numbers(other["metrics"]) if other else None)
    params = comparison.value_rows(facts["params"], other["params"] if other else None)
    tags = comparison.value_rows(facts["tags"], _told_tags(champion) if champion else None)
    return Dossier(
        metrics=_metric_table(metrics, number if show == "metrics" else None, is_whole=show == "metrics"),
        tally=comparison.tally(metrics) if champion else "",
        widest=comparison.widest(metrics),
        params=_value_table("params", params, number, is_whole=show == "params", is_compared=champion is not None),
        tags=_value_table("tags", tags, number, is_whole=show == "tags", is_compared=champion is not None),
        origins=_origins(request.version, facts, champion),
        description=facts["description"],
        champion_description=provenance.without_notes(champion.description) if champion else "",
    )


def _numbers(metrics: Mapping[str, str]) -> dict[str, float | str]:
    """As `evidence.numbers` wrote them: text, of which NaN and the infinities stay text."""
    return {
        name: value if value in ("NaN", "Infinity", "-Infinity") else float(value) for name, value in metrics.items()
    }


def _told_tags(version: ModelVersion) -> dict[str, str]:
    return {key: value for key, value in version.tags.items() if not key.startswith((evidence.OWN_TAG, "mlflow."))}


def _metric_table(rows: Sequence[MetricRow], number: str | None, *, is_whole: bool) -> Table:
    ordered = comparison.by_weight(rows)
    changed = sum(row.judgement != "same" for row in rows)
    page = Paginator(ordered, PER_PAGE).get_page(number) if is_whole else None
    shown = list(page.object_list) if page else ordered[:METRICS_SHOWN]
    return Table("metrics", shown, (), len(rows), changed, page)


def _value_table(
    kind: str, rows: Sequence[ValueRow], number: str | None, *, is_whole: bool, is_compared: bool
) -> Table:
    """Without a champion nothing is changed: the first rows are shown, the others folded."""
    changed = sum(row.is_changed for row in rows) if is_compared else 0
    if is_whole:
        page = Paginator(rows, PER_PAGE).get_page(number)
        return Table(kind, list(page.object_list), (), len(rows), changed, page)
    first = min(changed, CHANGED_SHOWN) if is_compared else min(len(rows), 12)
    rest = rows[changed:] if is_compared else rows[first:]
    return Table(kind, rows[:first], rest[:UNCHANGED_SHOWN], len(rows), changed)


def _origins(version: ModelVersion, facts: Mapping[str, Any], champion: ModelVersion | None) -> list[Origin]:
    asked: Any = SimpleNamespace(tags=facts["tags"], params=facts["params"], run=version.run, run_id=facts["run_id"])
    before = lineage.checklist(champion) if champion else []
    found = []
    for place, fact in enumerate(lineage.checklist(asked)):
        held = before[place].value if before else ""
        found.append(Origin(fact.question, fact.value, held, bool(before) and fact.value != held))
    return found
