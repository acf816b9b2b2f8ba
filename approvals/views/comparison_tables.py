"""The tables of a comparison: one column a version, the baseline first; only what differs unless all is asked for.
Pure.

Each is made of pairs, every version against the baseline, as `approvals.evidence.comparison` judges them."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from django.core.paginator import Page, Paginator

from approvals.evidence import comparison
from approvals.evidence.comparison import Judgement, MetricRow, ValueRow
from approvals.evidence.comparison.files import FileRow
from approvals.evidence.comparison.values import differing
from approvals.views.evidence_tables import PER_PAGE, Shown
from components import curves

P = TypeVar("P", MetricRow, ValueRow, FileRow)

SHOWN = 40
"""Rows of a table on a page that shows all of them; one table alone has pages."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a comparison is shown, from the query string."""

    shown: Shown = field(default_factory=Shown)
    text: str = ""
    is_all: bool = False
    plot: str = ""
    """The metric of the large chart; "" leaves the choice to the page."""

    over: str = ""
    """`versions` or `steps`, as far as there are both."""

    def finds(self, *texts: Any) -> bool:
        """Whether one of these has the text that is filtered by."""
        return not self.text or any(self.text.casefold() in str(each).casefold() for each in texts if each is not None)


@dataclass(frozen=True, slots=True)
class Cell:
    value: Any
    """A number, NaN and the infinities as text; a text; bytes of a file; None where the version has none."""

    change: str = ""
    """Against the baseline: `added`, `removed`, `changed`, or "" where it is the same, and for the baseline itself."""

    metric: MetricRow | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    cells: Sequence[Cell]
    is_changed: bool
    remarks: Sequence[str] = ()
    direction: str = ""
    tolerance: str = ""
    place: int | None = None
    """Among the metrics of record, from 0."""

    spark: curves.Spark | None = None

    @property
    def change(self) -> str:
        """`added`, `removed`, `changed`; `differs` where that is not the same for all versions; "" for no change."""
        words = {cell.change for cell in self.cells if cell.change}
        return next(iter(words)) if len(words) == 1 else "differs" if words else ""

    @property
    def pair(self) -> MetricRow | None:
        """Of two versions, for the picture of the difference."""
        return self.cells[1].metric if len(self.cells) == 2 else None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows whose names begin alike; without a title those that stand alone."""

    title: str
    rows: Sequence[Row]
    """Those that are shown."""

    total: int


@dataclass(frozen=True, slots=True)
class Table:
    kind: str
    title: str
    groups: Sequence[Group]
    """What is shown now."""

    total: int
    changed: int
    found: Sequence[Row]
    """All rows that are wanted, in their order."""

    is_compared: bool
    page: "Page[Any] | None" = None

    @property
    def rows(self) -> list[Row]:
        return [row for group in self.groups for row in group.rows]

    @property
    def is_cut(self) -> bool:
        return self.page is None and len(self.rows) < len(self.found)

    @property
    def tally(self) -> str:
        """`3 of 14 differ`, or how many there are."""
        return differing(self.changed, self.total) if self.is_compared else f"{self.total:,}"

    @property
    def told(self) -> str:
        """`3 differ`, for the contents of the page; "" where none does."""
        return f"{self.changed:,} differ{'s' if self.changed == 1 else ''}" if self.changed else ""

    @property
    def unchanged(self) -> int:
        return self.total - self.changed


# --- Making them ------------------------------------------------------------------------------------------------------


def table(kind: str, title: str, rows: Sequence[Row], wanted: Wanted, *, is_compared: bool) -> Table:
    """The rows that are wanted, by group, the metrics of record first, also where they are the same."""
    every = wanted.is_all or not is_compared
    fitting = [row for row in rows if wanted.finds(row.name, *(cell.value for cell in row.cells))]
    found = [row for row in fitting if every or row.is_changed or row.place is not None]
    groups = grouped(found)
    ordered = [row for group in groups for row in group.rows]
    page = Paginator(ordered, PER_PAGE).get_page(wanted.shown.number) if wanted.shown.kind == kind else None
    kept = set(map(id, page.object_list if page else ordered[:SHOWN]))
    groups = [replace(group, rows=left) for group in groups if (left := [row for row in group.rows if id(row) in kept])]
    changed = sum(row.is_changed for row in rows) if is_compared else 0
    return Table(kind, title, groups, len(rows), changed, ordered, is_compared, page)


def grouped(rows: Sequence[Row]) -> list[Group]:
    """Metrics of record, then what stands alone, then each prefix that two or more share; all in their order."""
    ranked = sorted((row.place, at) for at, row in enumerate(rows) if row.place is not None)
    rest = [row for row in rows if row.place is None]
    shared: dict[str, list[Row]] = {}
    for row in rest:
        shared.setdefault(prefix(row.name), []).append(row)
    shared = {title: found for title, found in shared.items() if title and len(found) > 1}
    found = [
        _group("Metrics of record", [rows[at] for _, at in ranked]),
        _group("Other" if ranked else "", [row for row in rest if prefix(row.name) not in shared]),
        *(_group(*each) for each in sorted(shared.items())),
    ]
    return [group for group in found if group.rows]


def _group(title: str, rows: Sequence[Row]) -> Group:
    return Group(title, rows, len(rows))


_SPLIT = re.compile(r"^(train|training|val|valid|validation|test|eval|evaluation|holdout|dev|cv)[_-]", re.IGNORECASE)
_SEPARATED = re.compile(r"^([^./:@]+?)(__|[./:])")


def prefix(name: str) -> str:
    """`val_` of `val_loss`, `loss/` of `loss/total`, `clf__` of `clf__depth`, `@ validation` of a metric of a data set;
    "" where a name has none. `auc_roc` is one word."""
    metric, at, dataset = name.partition(" @ ")
    if at and metric:
        return f"@ {dataset}"
    if fits := _SPLIT.match(name) or _SEPARATED.match(name):
        return fits[0]
    return ""


Pairs: TypeAlias = Sequence[Sequence[P] | None]
"""Of each version its rows beside the baseline's; None where the facts of one of the two are not known."""


def _made(
    pairs: "Pairs[P]", base: Callable[[P], Cell] | None, other: Callable[[P], Cell]
) -> Iterator[tuple[str, list[Cell], list[P]]]:
    """Name, cells and pairs of each row. A name that a pair lacks is one that neither of the two has."""
    found = [{row.name: row for row in rows or ()} for rows in pairs]
    for name in dict.fromkeys(name for rows in found for name in rows):
        own = [rows[name] for rows in found if name in rows]
        cells = [other(rows[name]) if name in rows else Cell(None) for rows in found]
        if base:
            cells.insert(0, base(own[0]))
        yield name, cells, own


def metrics(pairs: "Pairs[MetricRow]", *, is_compared: bool) -> list[Row]:
    """The metrics of each version beside the baseline's; without one, of one version alone. What was lost or got worse
    anywhere comes first."""
    base = (lambda row: Cell(row.champion)) if is_compared else None
    made = {
        name: Row(
            name,
            cells,
            any(row.judgement != Judgement.SAME and row.challenger != row.champion for row in own),
            _remarks(own),
            own[0].direction,
            own[0].tolerance,
            own[0].place,
        )
        for name, cells, own in _made(pairs, base, lambda row: Cell(row.challenger, metric=row))
    }
    weighed = comparison.by_weight([row for rows in pairs for row in rows or ()])
    return [made[name] for name in dict.fromkeys(row.name for row in weighed)]


def values(pairs: "Pairs[ValueRow]", *, is_compared: bool, has_base: bool) -> list[Row]:
    """Named values of each version beside the baseline's: what differs anywhere first. There may be a baseline of which
    nothing is known to compare with."""
    base = (lambda row: Cell(row.champion)) if has_base else None
    made = [
        Row(name, cells, any(cell.change for cell in cells), _remarks(own))
        for name, cells, own in _made(pairs, base, lambda row: Cell(row.challenger, row.change if is_compared else ""))
    ]
    return sorted(made, key=lambda row: not row.is_changed)


def files(pairs: "Pairs[FileRow]", *, has_base: bool) -> list[Row]:
    """Sizes and digests of each version's files beside the baseline's: what differs anywhere first."""
    base = (lambda row: Cell(row.champion_size, sha256=row.champion_sha256)) if has_base else None
    made = [
        Row(name, cells, any(cell.change for cell in cells))
        for name, cells, _ in _made(pairs, base, lambda row: Cell(row.size, row.change, sha256=row.sha256))
    ]
    return sorted(made, key=lambda row: not row.is_changed)


def _remarks(rows: Iterable[MetricRow | ValueRow]) -> list[str]:
    return list(dict.fromkeys(words for row in rows for words in row.remarks))
