"""Up to four versions side by side, whole: what the comparison pages show. A request's facts are the frozen ones;
curves, figures and the champion's files are what was last read.

Reads only, in a number of queries that does not grow with the rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict

from approvals import policy
from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow, ValueRow, files, overview, packing
from approvals.models import PromotionRequest
from approvals.selectors import frozen_metrics, metrics_of_record
from approvals.views import comparison_plots, comparison_sides, comparison_tables, comparison_texts, exhibits
from approvals.views.comparison_plots import Chosen
from approvals.views.comparison_sides import Side
from approvals.views.comparison_tables import Table, Wanted
from approvals.views.comparison_texts import Text
from approvals.views.evidence_tables import Shown
from approvals.views.exhibits import Plate
from components import curves
from mirror.models import HEAVY, ModelVersion

VERSIONS_DRAWN = 60
CURVES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Section:
    key: str
    """Its anchor."""

    title: str
    changed: str
    """`3 differ`; "" where nothing does, or nothing is counted."""

    empty: str
    """Why it is left out, such as `3, the same`; "" where it is shown."""


@dataclass(frozen=True, slots=True)
class Sheet:
    sides: Sequence[Side]
    """The baseline first, where there is one."""

    base: Side | None
    wanted: Wanted
    metrics: Table
    widest: float
    chart: Chosen | None
    """The large one; None where no metric can be drawn."""

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
        """How many files each version has and how large they are; the digest is beside."""
        told = [(side, overview.lines(side.facts, None)) for side in self.sides]
        sentences = [(side, next(line.sentence for line in lines if line.key == "files")) for side, lines in told]
        return [(side, sentence.partition(" digest ")[0]) for side, sentence in sentences]

    @property
    def sections(self) -> list[Section]:
        """All of them, in their order."""
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
        return [
            Section(key, title, changed.get(key, "") if self.base else "", self._empty(key)) for key, title in SECTIONS
        ]

    @property
    def shown(self) -> frozenset[str]:
        """The keys of the sections that have something to show."""
        return frozenset(section.key for section in self.sections if not section.empty)

    @property
    def left_out(self) -> list[Section]:
        return [section for section in self.sections if section.empty]

    def _empty(self, key: str) -> str:
        """Why a section has nothing to show where only differences are wanted; "" where it has, and where something was
        not read: that is no agreement."""
        if self.wanted.is_all or not self.base:
            return ""
        tables = {"params": self.params, "tags": self.tags, "data": self.data, "files": self.files}
        same = 0
        match key:
            case "metrics":
                is_shown = True
            case "chart":
                is_shown = bool(self.chart and self.chart.plot)
            case "curves":
                is_shown = bool(self.curves)
            case "texts":
                is_shown, same = bool(self.texts), self.same_texts
            case "exhibits":
                is_shown, same = bool(self.plates), self.same_plates
            case "packaging":
                is_read = self.packaging and not self.packaging_gap
                is_shown = not is_read or any(table.groups for table in self.packaging)
                same = sum(table.total for table in self.packaging)
            case _:
                is_read = key != "files" or all(side.facts.get("files") for side in self.sides)
                is_shown, same = not is_read or bool(tables[key].groups), tables[key].total
        if is_shown:
            return ""
        return "no match" if self.wanted.text else f"{same:,}, the same" if same else "none"


SECTIONS = (
    ("metrics", "Metrics"),
    ("chart", "Chart"),
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
    """`?q=auc&all=1&plot=loss&over=steps&show=params&page=2`"""
    shown = Shown(query.get("show", ""), query.get("page"))
    text, is_all = query.get("q", "").strip(), query.get("all") == "1"
    return Wanted(shown, text, is_all, query.get("plot", ""), query.get("over", ""))


# --- Of what ----------------------------------------------------------------------------------------------------------


def of_request(request: PromotionRequest, wanted: Wanted) -> Sheet:
    """Challenger against champion as the request froze them."""
    frozen = json.loads(request.evidence)
    kept = {request.version.pk: frozen["version"].get("exhibits") or {}}
    sides = comparison_sides.frozen(request, frozen)
    return _sheet(sides, wanted, kept=kept, rules=policy.Rule.from_json(frozen["rule"]).metrics)


def of_versions(versions: Sequence[ModelVersion], wanted: Wanted) -> Sheet:
    """Versions of one model, the baseline first, as the mirror has them now."""
    rules = metrics_of_record.of_model(versions[0].model)
    return _sheet(comparison_sides.current(versions), wanted, kept={}, rules=rules)


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
    every_text = comparison_texts.texts_of(base, others, wanted)
    long_texts = [text for text in every_text if wanted.is_all or text.diff is None or text.is_changed]
    plates = [
        plate for plate in exhibits.plates([side.version for side in sides], kept=kept) if wanted.finds(plate.path)
    ]
    shown_plates = [plate for plate in plates if wanted.is_all or not plate.is_same]
    with_steps = _curve_names(sides)
    drawn = [name for name in with_steps if wanted.finds(name)]
    metrics = comparison_tables.metrics(pairs, is_compared=bool(base))
    return Sheet(
        sides=sides,
        base=base,
        wanted=wanted,
        metrics=_with_sparks(
            comparison_tables.table(
                "metrics",
                "Metrics",
                metrics,
                wanted,
                is_compared=bool(base),
            ),
            series,
            sides,
        ),
        widest=comparison.widest([row for rows in pairs for row in rows]),
        chart=comparison_plots.choose(
            sides,
            series,
            pairs,
            list(dict.fromkeys([*(row.name for row in metrics), *with_steps])),
            metric=wanted.plot,
            over=wanted.over,
        ),
        curves=[
            found
            for name in drawn[: None if wanted.shown.kind == "curves" else CURVES_SHOWN]
            if (found := comparison_plots.curve_of(name, sides))
        ],
        total_curves=len(drawn),
        params=_values("params", "Parameters", base, others, wanted),
        tags=_values("tags", "Tags", base, others, wanted),
        texts=long_texts[: comparison_texts.SHOWN],
        more_texts=max(0, len(long_texts) - comparison_texts.SHOWN),
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


def _curve_names(sides: Sequence[Side]) -> list[str]:
    """Curves whose metric says which way is better come first."""
    return sorted(
        {name for side in sides for name in side.curves},
        key=lambda name: (comparison.higher_is_better(name) is None, name),
    )
