"""Earlier history from a spreadsheet: a CSV file read row by row, each row accepted or refused with a reason. Reads
only; `administration.import_history` stores what is accepted here."""

import hashlib
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from approvals import tenures
from approvals.models import Target, Tenure
from approvals.tenures import history_file, model_names
from approvals.tenures.history_file import COLUMNS, LARGEST, MOST_ROWS, REQUIRED, BadFile
from mirror.models import ModelVersion

__all__ = ["COLUMNS", "LARGEST", "MOST_ROWS", "REQUIRED", "BadFile", "Checked", "Row", "check", "digest"]


LONGEST: Mapping[str, int] = {"model": 256, "requested_by": 400, "approved_by": 2000, "note": 2000}
HIGHEST_VERSION = 2_147_483_647


@dataclass(frozen=True, slots=True)
class Span:
    """One tenure that an accepted row becomes: the row's target may have two places, with one each."""

    place: str
    start: datetime
    end: datetime


@dataclass(slots=True)
class Row:
    line: int
    """In the file, as an editor counts."""

    cells: Mapping[str, str]
    target: Target | None = None
    version: int = 0
    spans: list[Span] = field(default_factory=list)
    reason: str = ""
    """Why it is refused; "" when it is accepted."""

    warnings: list[str] = field(default_factory=list)
    """What is odd about it beside what MLflow says; it is accepted all the same."""

    @property
    def is_accepted(self) -> bool:
        return not self.reason

    @property
    def model(self) -> str:
        return self.cells.get("model", "")

    @property
    def said(self) -> list[str]:
        """The cells in the order of COLUMNS."""
        return [self.cells.get(name, "") for name in COLUMNS]

    @property
    def people(self) -> str:
        """`asked for by Rita; approved by Remy`; "" where the row names no one."""
        named = (("asked for by", "requested_by"), ("approved by", "approved_by"))
        return "; ".join(f"{words} {who}" for words, column in named if (who := self.cells.get(column)))


@dataclass(frozen=True, slots=True)
class Checked:
    sha256: str
    rows: Sequence[Row]

    @property
    def accepted(self) -> list[Row]:
        return [row for row in self.rows if row.is_accepted]

    @property
    def refused(self) -> list[Row]:
        return [row for row in self.rows if not row.is_accepted]

    @property
    def odd(self) -> list[Row]:
        """Accepted, with warnings."""
        return [row for row in self.rows if row.is_accepted and row.warnings]


def digest(content: bytes) -> str:
    """SHA-256, 64 hexadecimal digits: by it the file that is stored is the one whose rows were shown."""
    return hashlib.sha256(content).hexdigest()


def check(content: bytes, *, now: datetime | None = None) -> Checked:
    """Every row with its verdict; nothing is stored. Rows are looked at from the top, so of two that do not go together
    the first is accepted. Raises BadFile. A handful of queries, whatever the number of rows."""
    now = now or timezone.now()
    targets = {target.name: target for target in Target.objects.all()}
    rows = [
        Row(line, cells | {"model": model_names.known(cells["model"])}) for line, cells in history_file.lines(content)
    ]
    known = _Known.of({row.model for row in rows})
    seen: dict[tuple[str, ...], int] = {}
    for row in rows:
        row.reason = _verdict(row, targets, known, now)
        if row.is_accepted:
            same = seen.setdefault(tuple(row.said), row.line)
            if same != row.line:
                row.reason = f"It says the same as line {same}."
        if row.is_accepted:
            row.reason = known.take(row)
    _warn(rows)
    return Checked(digest(content), rows)


# --- One row ----------------------------------------------------------------------------------------------------------


def _verdict(row: Row, targets: Mapping[str, Target], known: "_Known", now: datetime) -> str:  # noqa: PLR0912
    """What is wrong with the row by itself and beside the gate's own record, or ""; fills in target, version, spans."""
    cells = row.cells
    if not row.model:
        return "The model is missing."
    for name, most in LONGEST.items():
        if len(cells.get(name, "")) > most:
            return f"{name} is longer than {most:,} characters."
    if not (cells["version"].isascii() and cells["version"].isdecimal() and len(cells["version"]) <= 10):
        return "The version is not a number."
    row.version = int(cells["version"])
    if not 1 <= row.version <= HIGHEST_VERSION:
        return "There is no such version number."
    row.target = targets.get(cells["target"])
    if row.target is None:
        return f"There is no target {cells['target']!r}." if cells["target"] else "The target is missing."
    start, end = _moment(cells["from"]), _moment(cells.get("until", ""))
    if start is None:
        return "“from” is missing." if not cells["from"] else f"“from” is not a time: {cells['from']}."
    if end is None and cells.get("until"):
        return f"“until” is not a time: {cells['until']}."
    if start > now:
        return "“from” lies in the future."
    if end is not None and end > now:
        return "“until” lies in the future."
    if end is not None and end <= start:
        return "“until” is not after “from”."
    places = tenures.places_of(row.target)
    if end is None:
        # The found tenure continues; the imported one leads up to it and ends where it begins.
        joined = {place: known.found.get((row.model, row.target.pk, place, row.version)) for place in places}
        row.spans = [Span(place, start, at) for place, at in joined.items() if at is not None]
        if not row.spans:
            return (
                "“until” is empty, which only fits a version that Countersign found in this target on its first look."
            )
    else:
        row.spans = [Span(place, start, end) for place in places]
    for span in row.spans:
        own = known.gate.get((row.model, row.target.pk, span.place))
        if span.start == span.end or (own is not None and (span.start >= own or span.end > own)):
            when = own or span.end
            return f"Countersign's own record of {span.place} begins at {_words(when)}; a row may reach up to then."
    return ""


def _warn(rows: Sequence[Row]) -> None:
    """Fills in what is impossible or hidden beside what MLflow says, row by row."""
    names = sorted({row.model for row in rows})
    wanted = {(row.model, row.version) for row in rows}
    highest: dict[str, int] = {}
    registered: dict[tuple[str, int], datetime] = {}
    for at in range(0, len(names), 500):
        versions = ModelVersion.objects.filter(model__name__in=names[at : at + 500])
        for name, number, created_at in versions.values_list("model__name", "number", "created_at").iterator():
            highest[name] = max(number, highest.get(name, 0))
            if (name, number) in wanted:
                registered[name, number] = created_at
    for row in rows:
        hidden = {char for cell in row.cells.values() for char in cell if unicodedata.category(char) in _HIDDEN}
        if hidden:
            codes = ", ".join(f"U+{ord(char):04X}" for char in sorted(hidden))
            row.warnings.append(f"It has invisible characters: {codes}.")
        if not row.spans:
            continue
        most, since = highest.get(row.model), registered.get((row.model, row.version))
        if most is not None and row.version > most:
            row.warnings.append(f"MLflow's highest version of this model is {most}.")
        elif since is not None and row.spans[0].start < since:
            row.warnings.append(f"MLflow registered version {row.version} only at {_words(since)}.")


_HIDDEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
"""Unicode's categories of control, format (bidirectional marks among them) and private characters, and separators."""


def _moment(text: str) -> datetime | None:
    """A day, or a day with a time; without a zone it is UTC. None for anything else."""
    try:
        found = parse_datetime(text)
        day: date | None = parse_date(text) if found is None or len(text) <= 10 else None
        if day is not None:
            return datetime.combine(day, time(), UTC)
        if found is None:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _words(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


# --- Beside what is known ---------------------------------------------------------------------------------------------

Key = tuple[str, int, str, int]
"""Model, target, place, and the version where several may hold the place at once, else 0."""


@dataclass(slots=True)
class _Known:
    """What the tenures say about the models of the file, and the rows that were accepted so far."""

    gate: dict[tuple[str, int, str], datetime] = field(default_factory=dict)
    """When the gate's own record of a place begins."""

    found: dict[Key, datetime] = field(default_factory=dict)
    """When a version was found on the first look."""

    taken: defaultdict[Key, list[tuple[datetime, datetime, int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """(from, until, version, line in the file or 0) in order, without overlaps."""

    @classmethod
    def of(cls, names: set[str]) -> "_Known":
        made, ordered = cls(), sorted(names)
        for at in range(0, len(ordered), 500):
            rows = Tenure.objects.filter(model_name__in=ordered[at : at + 500]).select_related("target")
            for row in rows.order_by("started_at", "pk"):
                made._add(row)
        return made

    def _add(self, row: Tenure) -> None:
        place = (row.model_name, row.target_id, row.place)
        if row.origin != Tenure.Origin.IMPORTED:
            self.gate.setdefault(place, row.started_at)
            if row.origin == Tenure.Origin.FOUND:
                self.found.setdefault((*place, row.version_number), row.started_at)
        elif row.ended_at is not None:
            key = self._key(row.model_name, row.target, row.place, row.version_number)
            self.taken[key].append((row.started_at, row.ended_at, row.version_number, 0))

    def take(self, row: Row) -> str:
        """Marks the row's spans as taken; or says what they overlap with, and takes none."""
        spots = []
        if row.target is None:
            return "The target is missing."
        for span in row.spans:
            key = self._key(row.model, row.target, span.place, row.version)
            held = self.taken[key]
            spot = bisect_left(held, (span.start, span.end, 0, 0))
            for start, end, version, line in held[max(spot - 1, 0) : spot + 1]:
                if start < span.end and span.start < end:
                    return self._overlap(row, span, (start, end, version, line))
            spots.append((held, spot, (span.start, span.end, row.version, row.line)))
        for held, spot, entry in spots:
            held.insert(spot, entry)
        return ""

    @staticmethod
    def _overlap(row: Row, span: Span, other: tuple[datetime, datetime, int, int]) -> str:
        start, end, version, line = other
        if not line and (start, end, version) == (span.start, span.end, row.version):
            return "It is there already: imported before."
        whose = f"line {line}" if line else "a tenure that was imported before"
        until = f"{_words(start)} to {_words(end)}"
        if version == row.version:
            return f"{span.place} is held by this very version then, says {whose} ({until})."
        return f"{span.place} is held by version {version} then, says {whose} ({until})."

    @staticmethod
    def _key(name: str, target: Target, place: str, version: int) -> Key:
        return (name, target.pk, place, 0 if tenures.is_sole(target, place) else version)


def as_tenures(rows: Iterable[Row]) -> list[tenures.Earlier]:
    """What accepted rows become."""
    return [
        tenures.Earlier(
            model_name=row.model,
            number=row.version,
            target=row.target,
            place=span.place,
            start=span.start,
            end=span.end,
            requested_by=row.cells.get("requested_by", ""),
            approved_by=row.cells.get("approved_by", ""),
            note=row.cells.get("note", ""),
        )
        for row in rows
        if row.target is not None
        for span in row.spans
    ]


def as_data(row: Row) -> dict[str, Any]:
    """What the ledger keeps of an accepted row."""
    return {"line": row.line} | {name: text for name, text in row.cells.items() if text}
