"""Up to four versions side by side, whole: what the comparison pages show. A request's facts are the frozen ones;
curves, figures and the champion's files are what was last read.

Reads only, in a number of queries that does not grow with the rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict

from approvals import evidence, policy
from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow, ValueRow, files, overview, packing, texts
from approvals.evidence.comparison.edits import Budget
from approvals.models import PromotionRequest
from approvals.selectors import frozen_metrics, metrics_of_record
from approvals.views import comparison_tables, exhibits
from approvals.views.comparison_tables import Table, Wanted
from approvals.views.evidence_tables import Shown
from approvals.views.exhibits import Plate
from components import curves
from mirror.models import HEAVY, Inspection, ModelVersion

MOST_VERSIONS = 4
VERSIONS_DRAWN = 60
CURVES_SHOWN = 12
TEXTS_SHOWN = 8


NOTHING = comparison.Tally()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the versions: its facts as `evidence.freeze` has them, and what was read of its run."""

    role: str
    """`Champion`, `Asked for`, `Baseline`, or ""."""

    version: ModelVersion
    facts: Mapping[str, Any]
    curves: Mapping[str, Any]
    place: int = 1
    """Its column: 0 is the baseline. A version alone is held against none, and has 1."""

    tally: comparison.Tally = NOTHING
    """Of the metrics against the baseline; empty where there is nothing to compare with."""

    @property
    def number(self) -> int:
        return self.version.number

    @property
    def label(self) -> str:
        return f"{self.role}, version {self.number}" if self.role else f"Version {self.number}"


@dataclass(frozen=True, slots=True)
class Text:
    title: str
    side: Side
    mine: str
    other: str
    diff: texts.TextDiff | None
    """None where there is nothing to compare with."""

    @property
    def is_changed(self) -> bool:
        return self.diff is not None and not self.diff.is_same


@dataclass(frozen=True, slots=True)
class Sheet:
    sides: Sequence[Side]
    """The baseline first, where there is one."""

    base: Side | None
    wanted: Wanted
    metrics: Table
    widest: float
    curves: Sequence[curves.Curve]
    total_curves: int
    params: Table
    tags: Table
    texts: Sequence[Text]
    more_texts: int
    same_texts: int
    """Texts that are not shown, because they are the same."""

    packaging: Sequence[Table]
    data: Table
    files: Table
    plates: Sequence[Plate]
    same_plates: int
    """Figures and tables that are not shown, because they are the same."""

    @property
    def others(self) -> Sequence[Side]:
        return self.sides[1:] if self.base else self.sides

    @property
    def title(self) -> str:
        """`version 3 against version 2`; `versions 5, 4 and 3 against version 2`."""
        numbers = [str(side.number) for side in self.others]
        mine = f"versions {', '.join(numbers[:-1])} and {numbers[-1]}" if len(numbers) > 1 else f"version {numbers[0]}"
        return f"{mine} against version {self.base.number}" if self.base else mine

    @property
    def is_pair(self) -> bool:
        return len(self.sides) == 2

    @property
    def packaging_gap(self) -> str:
        """A sentence where the MLmodel file of some has not been read; "" where all are compared."""
        unread = [str(side.number) for side in self.sides if not side.facts.get("packaging")]
        if not self.base or not unread:
            return ""
        return f"The MLmodel file of version {' and '.join(unread)} has not been read, so it is not compared here."

    @property
    def files_told(self) -> list[tuple[Side, str]]:
        """How many files each version has and how large they are; the digest stands beside."""
        told = [(side, overview.lines(side.facts, None)) for side in self.sides]
        sentences = [(side, next(line.sentence for line in lines if line.key == "files")) for side, lines in told]
        return [(side, sentence.partition(" digest ")[0]) for side, sentence in sentences]

    @property
    def sections(self) -> list[tuple[str, str, str]]:
        """(anchor, title, what differs) of the table of contents."""
        changed = {
            "metrics": str(self.others[0].tally) if self.is_pair else self.metrics.told,
            "params": self.params.told,
            "tags": self.tags.told,
            "texts": _count(sum(text.is_changed for text in self.texts) + self.more_texts),
            "packaging": _count(sum(table.changed for table in self.packaging)),
            "data": self.data.told,
            "files": self.files.told,
            "exhibits": _count(sum(not plate.is_same for plate in self.plates)),
        }
        return [(key, title, changed.get(key, "") if self.base else "") for key, title in SECTIONS]


SECTIONS = (
    ("metrics", "Metrics"),
    ("curves", "Curves"),
    ("params", "Parameters"),
    ("tags", "Tags"),
    ("texts", "Descriptions and texts"),
    ("packaging", "Signature and packaging"),
    ("data", "Training data"),
    ("files", "Files"),
    ("exhibits", "Figures and tables"),
)


def _count(changed: int) -> str:
    return f"{changed:,} differ{'s' if changed == 1 else ''}" if changed else ""


def wanted(query: QueryDict) -> Wanted:
    """`?q=auc&all=1&show=params&page=2`"""
    shown = Shown(query.get("show", ""), query.get("page"))
    return Wanted(shown, query.get("q", "").strip(), query.get("all") == "1")


# --- Of what ----------------------------------------------------------------------------------------------------------


def of_request(request: PromotionRequest, wanted: Wanted) -> Sheet:
    """Challenger against champion as the request froze them."""
    frozen = json.loads(request.evidence)
    champion = request.champion if request.champion_id != request.version_id else None
    found = _inspections([request.version, champion])
    mine = Side("Asked for", request.version, frozen["version"], _curves(found, request.version))
    sides = [mine]
    if champion and frozen["champion"]:
        champion.model = request.version.model
        read = found.get(champion.pk)
        facts = {**frozen["champion"], "files": read.files if read else None}
        sides = [Side("Champion", champion, facts, _curves(found, champion)), mine]
    kept = {request.version.pk: frozen["version"].get("exhibits") or {}}
    return _sheet(sides, wanted, kept=kept, rules=policy.Rule.from_json(frozen["rule"]).metrics)


def of_versions(versions: Sequence[ModelVersion], wanted: Wanted) -> Sheet:
    """Versions of one model, the baseline first, as the mirror has them now. One may stand there twice."""
    found = _inspections(versions)
    roles = ["Baseline" if len(versions) > 2 else "", *[""] * MOST_VERSIONS]
    sides = [
        Side(role, each, _facts_now(each), _curves(found, each)) for role, each in zip(roles, versions, strict=False)
    ]
    return _sheet(sides, wanted, kept={}, rules=metrics_of_record.of_model(versions[0].model))


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
    given: Sequence[Side],
    wanted: Wanted,
    *,
    kept: Mapping[int, Mapping[str, str]],
    rules: Sequence[policy.MetricRule],
) -> Sheet:
    """The baseline first, where there is more than one. `kept` are the digests of the frozen exhibits by version,
    `rules` the metrics of record."""
    base = given[0] if len(given) > 1 else None
    others = given[1:] if base else given
    pairs = [_metric_rows(side, base, rules) for side in others]
    tallies = [comparison.tally(rows if base else ()) for rows in pairs]
    others = [
        replace(side, place=place, tally=tally)
        for place, (side, tally) in enumerate(zip(others, tallies, strict=True), 1)
    ]
    base = replace(base, place=0) if base else None
    sides = [base, *others] if base else others
    series = _versions(sides)
    every_text = _texts(base, others, wanted)
    long_texts = [text for text in every_text if wanted.is_all or text.diff is None or text.is_changed]
    plates = [
        plate for plate in exhibits.plates([side.version for side in sides], kept=kept) if wanted.finds(plate.path)
    ]
    shown_plates = [plate for plate in plates if wanted.is_all or not plate.is_same]
    drawn = [name for name in _curve_names(sides, pairs) if wanted.finds(name)]
    return Sheet(
        sides=sides,
        base=base,
        wanted=wanted,
        metrics=_with_sparks(
            comparison_tables.table(
                "metrics",
                "Metrics",
                comparison_tables.metrics(pairs, is_compared=bool(base)),
                wanted,
                is_compared=bool(base),
            ),
            series,
            sides,
        ),
        widest=comparison.widest([row for rows in pairs for row in rows]),
        curves=[
            found
            for name in drawn[: None if wanted.shown.kind == "curves" else CURVES_SHOWN]
            if (found := _curve(name, sides))
        ],
        total_curves=len(drawn),
        params=_values("params", "Parameters", base, others, wanted),
        tags=_values("tags", "Tags", base, others, wanted),
        texts=long_texts[:TEXTS_SHOWN],
        more_texts=max(0, len(long_texts) - TEXTS_SHOWN),
        same_texts=len(every_text) - len(long_texts),
        packaging=_packaging(base, others, wanted),
        data=_data(base, others, wanted),
        files=_files(base, others, wanted),
        plates=shown_plates,
        same_plates=len(plates) - len(shown_plates),
    )


def _metric_rows(side: Side, base: Side | None, rules: Sequence[policy.MetricRule]) -> list[MetricRow]:
    return comparison.metric_rows(
        frozen_metrics.numbers(side.facts["metrics"]),
        frozen_metrics.numbers(base.facts["metrics"]) if base else None,
        sources=frozen_metrics.sources(side.facts, side.version),
        champion_sources=frozen_metrics.sources(base.facts, base.version) if base else None,
        rules=rules,
    )


def _values(kind: str, title: str, base: Side | None, others: Sequence[Side], wanted: Wanted) -> Table:
    """Params or tags."""
    theirs = base.facts.get(kind) if base else None
    held = base.version.fact_sources.get(kind) if base else None
    pairs = [
        comparison.value_rows(
            side.facts.get(kind) or {},
            theirs,
            sources=side.version.fact_sources.get(kind),
            champion_sources=held,
        )
        for side in others
    ]
    is_compared = theirs is not None
    rows = comparison_tables.values(pairs, is_compared=is_compared, has_base=bool(base))
    return comparison_tables.table(kind, title, rows, wanted, is_compared=is_compared)


def _packaging(base: Side | None, others: Sequence[Side], wanted: Wanted) -> list[Table]:
    """A table for each kind of rows; the MLmodel file of a version that has not been read leaves its column empty."""
    theirs = base.facts.get("packaging") if base else None
    found = [
        {group.key: group for group in packing.compare(mine, theirs)}
        if (mine := side.facts.get("packaging")) or theirs
        else {}
        for side in others
    ]
    titles = {group.key: group.title for groups in found for group in groups.values()}
    is_compared = any(group.is_compared for groups in found for group in groups.values())
    made = []
    for key, title in titles.items():
        pairs = [
            groups[key].rows if key in groups and (groups[key].is_compared or not is_compared) else None
            for groups in found
        ]
        rows = comparison_tables.values(pairs, is_compared=is_compared, has_base=bool(base))
        made.append(comparison_tables.table(key, title, rows, wanted, is_compared=is_compared))
    return made


def _data(base: Side | None, others: Sequence[Side], wanted: Wanted) -> Table:
    before: Mapping[str, Any] = base.facts if base else {}
    pairs: list[list[ValueRow] | None] = [
        [
            *overview.provenance_rows(side.facts, before),
            *packing.datasets(side.facts.get("datasets") or (), before.get("datasets") or ()),
        ]
        for side in others
    ]
    rows = comparison_tables.values(pairs, is_compared=bool(base), has_base=bool(base))
    return comparison_tables.table("data", "Training data", rows, wanted, is_compared=bool(base))


def _files(base: Side | None, others: Sequence[Side], wanted: Wanted) -> Table:
    found = [files.rows(side.facts.get("files"), base.facts.get("files") if base else None) for side in others]
    is_compared = any(row.is_compared for rows in found for row in rows) and base is not None
    pairs = [rows if not is_compared or (rows and rows[0].is_compared) else None for rows in found]
    rows = comparison_tables.files(pairs, has_base=bool(base))
    return comparison_tables.table("files", "Files", rows, wanted, is_compared=is_compared)


# --- Over the versions, and over the steps ----------------------------------------------------------------------------

Series = Sequence[tuple[int, Mapping[str, Any]]]


def _versions(sides: Sequence[Side]) -> Series:
    """(number, metrics) of the newest versions and of these, by number; these with the metrics shown here."""
    newest = ModelVersion.objects.filter(model=sides[0].version.model, deleted_at=None).defer(*HEAVY)
    found: dict[int, Mapping[str, Any]] = dict(
        newest.order_by("-number").values_list("number", "metrics")[:VERSIONS_DRAWN]
    )
    for side in sides:
        found[side.number] = frozen_metrics.numbers(side.facts["metrics"])
    return sorted(found.items(), key=lambda pair: pair[0])


def _with_sparks(table: Table, series: Series, sides: Sequence[Side]) -> Table:
    """Of the rows that are shown."""
    marked = [(side.place, side.number) for side in sides]

    def drawn(row: comparison_tables.Row) -> comparison_tables.Row:
        values = [(number, metrics.get(row.name)) for number, metrics in series]
        return replace(row, spark=curves.spark(values, marked=marked))

    return replace(table, groups=[replace(group, rows=[drawn(row) for row in group.rows]) for group in table.groups])


def _curve_names(sides: Sequence[Side], pairs: Sequence[Sequence[MetricRow]]) -> list[str]:
    """Curves whose metric says which way is better come first."""
    return sorted(
        {name for side in sides for name in side.curves},
        key=lambda name: (comparison.higher_is_better(name) is None, name),
    )


def _curve(name: str, sides: Sequence[Side]) -> curves.Curve | None:
    given = [(f"version {side.number}", side.curves.get(name) or ()) for side in sides]
    return curves.curve(name, given, start=sides[0].place)


# --- Texts ------------------------------------------------------------------------------------------------------------


def _texts(base: Side | None, others: Sequence[Side], wanted: Wanted) -> list[Text]:
    """Descriptions, and parameters that are read as texts and are not the same."""
    budget = Budget()
    found: list[Text] = []
    for key, title in (("description", "Description"), ("run_description", "Description of the run")):
        for side in others:
            new = str(side.facts.get(key) or "")
            old = str((base.facts.get(key) or "") if base else "")
            if (new.strip() or old.strip()) and wanted.finds(title, new, old):
                found.append(Text(title, side, new, old, texts.compare(old, new, budget) if base else None))
    before = (base.facts.get("params") or {}) if base else {}
    for side in others if base else ():
        params = side.facts.get("params") or {}
        for name in sorted({*params, *before}):
            new, old = str(params.get(name, "")), str(before.get(name, ""))
            if new != old and (texts.is_long(new) or texts.is_long(old)) and wanted.finds(name, new, old):
                # Only what is shown is compared; the others are counted.
                diff = texts.compare(old, new, budget) if len(found) < TEXTS_SHOWN else None
                found.append(Text(f"Parameter {name}", side, new, old, diff))
    return found
