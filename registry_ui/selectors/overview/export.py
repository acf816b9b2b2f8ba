"""What the matrix shows as rows for files: one for each target of each model that is held or asked for."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from registry_ui.selectors.overview import requests
from registry_ui.selectors.overview.question import Question, models
from registry_ui.selectors.overview.rows import Cell, Row, rows

CHUNK = 500
COLUMNS = (
    "model",
    "target",
    "version",
    "since",
    "state",
    "probation_until",
    "also_held_by",
    "metric",
    "value",
    "difference",
    "judgement",
    "request",
    "requested_version",
    "request_state",
)


def every(question: Question) -> Iterator[dict[str, Any]]:
    """In the order of the page, all of its pages; a fixed number of queries for 500 models each. Times are ISO 8601, in
    UTC; what is not so is None."""
    found = list(models(question))
    for start in range(0, len(found), CHUNK):
        chunk = found[start : start + CHUNK]
        known = requests.of(question, chunk)
        for row in rows(question, chunk, known):
            for cell in row.cells:
                if not cell.is_vacant:
                    yield _plain(row, cell)


def _plain(row: Row, cell: Cell) -> dict[str, Any]:
    held, metric = cell.held, cell.held.metric if cell.held else None
    asked = cell.asked[0] if cell.asked else None
    return {
        "model": row.model.name,
        "target": cell.target.name,
        "version": held.number if held else None,
        "since": _utc(held.since) if held else None,
        "state": held.standing.name.lower() if held else None,
        "probation_until": _utc(held.probation_until) if held and held.probation_until else None,
        "also_held_by": " ".join(map(str, held.beside)) if held else "",
        "metric": metric.name if metric else None,
        "value": metric.challenger if metric else None,
        "difference": metric.difference if metric else None,
        "judgement": str(metric.judgement) if metric else None,
        "request": asked.request.pk if asked else None,
        "requested_version": asked.number if asked else None,
        "request_state": asked.words if asked else None,
    }


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
