"""Tables that a run logged, read into a few rows of short texts. Pure; never raises, whatever the bytes are."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_ROWS, MOST_COLUMNS = 50, 20
LONGEST_CELL = 200


@dataclass(frozen=True, slots=True)
class Table:
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    total_rows: int = 0
    total_columns: int = 0
    problem: str = ""
    """Why nothing is shown, as a sentence."""

    @property
    def more_rows(self) -> int:
        return self.total_rows - len(self.rows)

    @property
    def more_columns(self) -> int:
        return self.total_columns - len(self.columns)


def read(content: bytes, media_type: str) -> Table:
    """At most 50 rows and 20 columns of a CSV file with a heading, or of a table that MLflow's `log_table` wrote."""
    text = content.decode("utf-8-sig", "replace")
    return _from_json(text) if media_type == "application/json" else _from_csv(text)


def _from_csv(text: str) -> Table:
    try:
        delimiter = _delimiter(text)
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if line]
    except csv.Error:
        return Table(problem="This is not a table that can be read.")
    return _table(lines[0], lines[1:]) if lines else Table(problem="The table is empty.")


def _delimiter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _from_json(text: str) -> Table:
    """`{"columns": [...], "data": [[...], ...]}`, as `log_table` writes it, or a list of records."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return Table(problem="This is not JSON that can be read.")
    if isinstance(found, dict) and isinstance(found.get("columns"), list) and isinstance(found.get("data"), list):
        return _table(found["columns"], [row for row in found["data"] if isinstance(row, list)])
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        columns = list(dict.fromkeys(key for row in found for key in row))
        shown = columns[:MOST_COLUMNS]
        rows = [[row.get(key, "") for key in shown] for row in found[:MOST_ROWS]]
        return _bounded(columns, rows, len(found), len(columns))
    return Table(problem="This JSON file is not a table.")


def _table(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> Table:
    width = max([len(columns), *(len(row) for row in rows)])
    return _bounded(columns, rows[:MOST_ROWS], len(rows), width)


def _bounded(columns: Sequence[Any], rows: Sequence[Sequence[Any]], total_rows: int, total_columns: int) -> Table:
    width = min(total_columns, MOST_COLUMNS)
    if not width:
        return Table(problem="The table is empty.")
    return Table(_cells(columns, width), [_cells(row, width) for row in rows], total_rows, total_columns)


def _cells(row: Sequence[Any], width: int) -> list[str]:
    cells = [_cell(value) for value in row[:width]]
    return cells + [""] * (width - len(cells))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "…"
    text = text.replace("\x00", "\ufffd")
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
