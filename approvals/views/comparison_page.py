"""Two versions side by side, whole: what the comparison pages show. A request's facts are the frozen ones; curves,
figures and the champion's files are what was last read.

Reads only, in a number of queries that does not grow with the rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals import evidence, policy
from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow, ValueRow, files, overview, packing, texts
from approvals.evidence.comparison.edits import Budget
from approvals.evidence.comparison.overview import Line
from approvals.models import PromotionRequest
from approvals.selectors import metrics_of_record
from approvals.views import evidence_tables, exhibits
from approvals.views.evidence_tables import Shown, Table
from approvals.views.exhibits import Plate
from components import charts, curves
from mirror.models import HEAVY, Inspection, ModelVersion

VERSIONS_DRAWN = 60
CHARTS_SHOWN = 6
CURVES_SHOWN = 12
TEXTS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its facts as `evidence.freeze` has them, and what was read of its run."""

    role: str
    """`Champion`, `Asked for`, or "" where two versions are just compared."""

    version: ModelVersion
    facts: Mapping[str, Any]
    curves: Mapping[str, Any]

    @property
    def number(self) -> int:
        return self.version.number

    @property
    def label(self) -> str:
        return f"{self.role}, version {self.number}" if self.role else f"Version {self.number}"


@dataclass(frozen=True, slots=True)
class Metric:
    row: MetricRow
    spark: curves.Spark | None


@dataclass(frozen=True, slots=True)
class Text:
    title: str
    mine: str
    other: str
    diff: texts.TextDiff | None
    """None where there is nothing to compare with."""

    @property
    def is_changed(self) -> bool:
        return self.diff is not None and not self.diff.is_same


@dataclass(frozen=True, slots=True)
class Sheet:
    mine: Side
    other: Side | None
    lines: Mapping[str, Line]
    metrics: Table
    metric_rows: Sequence[Metric]
    tally: comparison.Tally
    """Of the metrics; empty where there is nothing to compare with."""

    widest: float
    charts: Sequence[charts.MetricChart]
    curves: Sequence[curves.Curve]
    total_curves: int
    params: Table
    tags: Table
    texts: Sequence[Text]
    more_texts: int
    packaging: Sequence[packing.Group]
    data: Sequence[ValueRow]
    files: Table
    plates: Sequence[Plate]

    @property
    def title(self) -> str:
        """`version 3 against version 2`."""
        against = f" against version {self.other.number}" if self.other else ""
        return f"version {self.mine.number}{against}"

    @property
    def packaging_gap(self) -> str:
        """A sentence where the MLmodel file of one of the two has not been read; "" where both are compared."""
        unread = [side.number for side in (self.other, self.mine) if side and not side.facts.get("packaging")]
        return (
            f"The MLmodel file of version {unread[0]} has not been read, so nothing is compared here." if unread else ""
        )

    @property
    def sections(self) -> list[tuple[str, str, str]]:
        """(anchor, title, what differs) of the table of contents."""
        told = {key: "differs" if line.is_changed else "" for key, line in self.lines.items()}
        tables = [table for table in (self.params, self.tags, self.files) if table.changed]
        counts = {table.kind: f"{table.changed:,} differ{'s' if table.changed == 1 else ''}" for table in tables}
        counts["metrics"] = str(self.tally)
        if not self.other:
            counts = {}
        return [(key, title, counts.get(key, told.get(key, ""))) for key, title in SECTIONS]


SECTIONS = (
    ("metrics", "Metrics"),
    ("history", "Metric history"),
    ("curves", "Curves"),
    ("params", "Parameters"),
    ("tags", "Tags"),
    ("texts", "Descriptions and texts"),
    ("packaging", "Signature and packaging"),
    ("data", "Training data"),
    ("files", "Files"),
    ("exhibits", "Figures and tables"),
)


# --- Of what ----------------------------------------------------------------------------------------------------------


def of_request(request: PromotionRequest, shown: Shown) -> Sheet:
    """Challenger against champion as the request froze them."""
    frozen = json.loads(request.evidence)
    champion = request.champion if request.champion_id != request.version_id else None
    found = _inspections([request.version, champion])
    mine = Side("Asked for", request.version, frozen["version"], _curves(found, request.version))
    other = None
    if champion and frozen["champion"]:
        champion.model = request.version.model
        read = found.get(champion.pk)
        facts = {**frozen["champion"], "files": read.files if read else None}
        other = Side("Champion", champion, facts, _curves(found, champion))
    return _sheet(
        mine,
        other,
        shown,
        kept=frozen["version"].get("exhibits") or {},
        rules=policy.Rule.from_json(frozen["rule"]).metrics,
    )


def of_versions(mine: ModelVersion, other: ModelVersion, shown: Shown) -> Sheet:
    """Two versions of one model as the mirror has them now."""
    found = _inspections([mine, other])
    first, second = (Side("", each, _facts_now(each), _curves(found, each)) for each in (mine, other))
    return _sheet(first, second, shown, kept=None, rules=metrics_of_record.of_model(mine.model))


def _facts_now(version: ModelVersion) -> dict[str, Any]:
    """As a request would freeze them, but with the run's whole description: nothing is kept here."""
    note = str((version.run.get("tags") or {}).get("mlflow.note.content") or "")
    return {**evidence.version_facts(version, policy.FALLBACK), "run_description": note}


def _inspections(versions: Sequence[ModelVersion | None]) -> dict[int, Inspection]:
    wanted = [version for version in versions if version]
    found = {row.version_id: row for row in Inspection.objects.filter(version__in=wanted)}
    for version in wanted:  # so that nobody asks the database once more
        if row := found.get(version.pk):
            version.inspection = row
    return found


def _curves(found: Mapping[int, Inspection], version: ModelVersion) -> Mapping[str, Any]:
    return found[version.pk].curves if version.pk in found else {}


# --- Side by side -----------------------------------------------------------------------------------------------------


def _sheet(
    mine: Side, other: Side | None, shown: Shown, *, kept: Mapping[str, str] | None, rules: Sequence[policy.MetricRule]
) -> Sheet:
    """`kept` are the digests of the frozen exhibits; None where nothing is frozen. `rules` are the metrics of
    record."""
    before: Mapping[str, Any] = other.facts if other else {}
    values = evidence_tables.numbers(mine.facts["metrics"])
    held = evidence_tables.numbers(before["metrics"]) if other else None
    rows = comparison.metric_rows(
        values,
        held,
        sources=evidence_tables.sources(mine.facts, mine.version),
        champion_sources=evidence_tables.sources(other.facts, other.version) if other else None,
        rules=rules,
    )
    table = evidence_tables.metric_table(rows, shown)
    series = _versions(mine, other)
    manifest = files.rows(mine.facts.get("files"), before.get("files"))
    drawn = sorted({*mine.curves, *(other.curves if other else ())}, key=lambda name: _rank(name, rows))
    long_texts = _texts(mine, other)
    return Sheet(
        mine=mine,
        other=other,
        lines={line.key: line for line in overview.lines(mine.facts, other.facts if other else None)},
        metrics=table,
        metric_rows=[Metric(row, _spark(row.name, series, mine, other)) for row in table.rows],
        tally=comparison.tally(rows if other else ()),
        widest=comparison.widest(rows),
        charts=_charts(comparison.by_weight(rows), series, mine, other),
        curves=[
            found
            for name in drawn[: None if shown.kind == "curves" else CURVES_SHOWN]
            if (found := _curve(name, mine, other))
        ],
        total_curves=len(drawn),
        params=_values("params", mine, other, shown),
        tags=_values("tags", mine, other, shown),
        texts=long_texts[:TEXTS_SHOWN],
        more_texts=max(0, len(long_texts) - TEXTS_SHOWN),
        packaging=packing.compare(mine.facts.get("packaging"), before.get("packaging")),
        data=[
            *overview.provenance_rows(mine.facts, before),
            *packing.datasets(mine.facts.get("datasets") or (), before.get("datasets") or ()),
        ],
        files=evidence_tables.value_table(
            "files", manifest, shown, is_compared=any(row.is_compared for row in manifest) and other is not None
        ),
        plates=exhibits.plates(mine.version, other.version if other else None, kept=kept),
    )


def _values(kind: str, mine: Side, other: Side | None, shown: Shown) -> Table:
    theirs = other.facts.get(kind) if other else None
    sources, before = (side.version.fact_sources.get(kind) if side else None for side in (mine, other))
    rows = comparison.value_rows(mine.facts.get(kind) or {}, theirs, sources=sources, champion_sources=before)
    return evidence_tables.value_table(kind, rows, shown, is_compared=theirs is not None)


# --- Over the versions, and over the steps ----------------------------------------------------------------------------

Series = Sequence[tuple[int, Mapping[str, Any]]]


def _versions(mine: Side, other: Side | None) -> Series:
    """(number, metrics) of the newest versions and of these two, by number; these two with the metrics shown here."""
    newest = ModelVersion.objects.filter(model=mine.version.model, deleted_at=None).defer(*HEAVY).order_by("-number")
    found: dict[int, Mapping[str, Any]] = dict(newest.values_list("number", "metrics")[:VERSIONS_DRAWN])
    for side in (mine, other):
        if side:
            found[side.number] = evidence_tables.numbers(side.facts["metrics"])
    return sorted(found.items(), key=lambda pair: pair[0])


def _spark(name: str, series: Series, mine: Side, other: Side | None) -> curves.Spark | None:
    values = [(number, metrics.get(name)) for number, metrics in series]
    return curves.spark(values, challenger=mine.number, champion=other.number if other else None)


def _charts(rows: Sequence[MetricRow], series: Series, mine: Side, other: Side | None) -> list[charts.MetricChart]:
    """Of the metrics that matter most."""
    marked = {side.number: [side.role.lower() or "compared"] for side in (mine, other) if side}
    found: list[charts.MetricChart] = []
    for row in rows:
        if len(found) == CHARTS_SHOWN or not row.direction:
            break
        values = [(number, metrics.get(row.name)) for number, metrics in series]
        if chart := charts.metric_chart(row.name, values, marked, verb="is"):
            found.append(chart)
    return found


def _rank(name: str, rows: Sequence[MetricRow]) -> tuple[bool, str]:
    """Curves whose metric says which way is better come first."""
    return comparison.higher_is_better(name) is None, name


def _curve(name: str, mine: Side, other: Side | None) -> curves.Curve | None:
    theirs = other.curves.get(name) or () if other else ()
    names = (f"version {mine.number}", f"version {other.number}" if other else "")
    return curves.curve(name, mine.curves.get(name) or (), theirs, names=names)


# --- Texts ------------------------------------------------------------------------------------------------------------


def _texts(mine: Side, other: Side | None) -> list[Text]:
    """Descriptions, and parameters that are read as texts and are not the same."""
    budget = Budget()
    found = []
    for key, title in (("description", "Description"), ("run_description", "Description of the run")):
        new = str(mine.facts.get(key) or "")
        old = str((other.facts.get(key) or "") if other else "")
        if new.strip() or old.strip():
            found.append(Text(title, new, old, texts.compare(old, new, budget) if other else None))
    params = mine.facts.get("params") or {}
    before = (other.facts.get("params") or {}) if other else {}
    for name in sorted({*params, *before}) if other else ():
        new, old = str(params.get(name, "")), str(before.get(name, ""))
        if new != old and (texts.is_long(new) or texts.is_long(old)):
            # Only what is shown is compared; the others are counted.
            diff = texts.compare(old, new, budget) if len(found) < TEXTS_SHOWN else None
            found.append(Text(f"Parameter {name}", new, old, diff))
    return found
