"""The CSV of what a comparison shows: all rows that fit the filter, not only the first ones."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.text import slugify

from approvals.audit.population import csv_lines
from approvals.views.comparison_page import Sheet


def is_asked(request: HttpRequest) -> bool:
    return request.GET.get("format") == "csv"


def answer(request: HttpRequest, sheet: Sheet, name: str) -> StreamingHttpResponse:
    """One row a metric, value or file, one column a version. Cells that a spreadsheet would run are guarded."""
    columns = ["section", "name", *_columns(sheet)]
    filename = f"{slugify(name) or 'model'}-{'-'.join(str(side.number) for side in sheet.sides)}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return StreamingHttpResponse(
        csv_lines(columns, _rows(sheet, columns)), content_type="text/csv; charset=utf-8", headers=headers
    )


def _columns(sheet: Sheet) -> list[str]:
    return [f"version {side.number}{' (baseline)' if side.place == 0 else ''}" for side in sheet.sides]


def _rows(sheet: Sheet, columns: list[str]) -> Iterator[dict[str, Any]]:
    for table in (sheet.metrics, sheet.params, sheet.tags, *sheet.packaging, sheet.data, sheet.files):
        for row in table.found:
            values = [cell.sha256 or cell.value for cell in row.cells]
            # A version of which nothing is known to compare with has no cell.
            cells = ["" if value is None else value for value in values]
            yield dict(zip(columns, [table.title, row.name, *cells], strict=True))
