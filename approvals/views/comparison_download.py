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
    """One row a metric, value or file, one column a version; with `of=chart` one row a version or step of the chart.
    Cells that a spreadsheet would run are guarded."""
    of_chart = request.GET.get("of") == "chart" and sheet.chart is not None and sheet.chart.plot is not None
    columns = _chart_columns(sheet) if of_chart else ["section", "name", *_columns(sheet)]
    rows = _chart_rows(sheet, columns) if of_chart else _rows(sheet, columns)
    filename = f"{slugify(name) or 'model'}-{'-'.join(str(side.number) for side in sheet.sides)}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return StreamingHttpResponse(csv_lines(columns, rows), content_type="text/csv; charset=utf-8", headers=headers)


def _columns(sheet: Sheet) -> list[str]:
    return [f"version {side.number}{' (baseline)' if side.place == 0 else ''}" for side in sheet.sides]


def _rows(sheet: Sheet, columns: list[str]) -> Iterator[dict[str, Any]]:
    for table in (sheet.metrics, sheet.params, sheet.tags, *sheet.packaging, sheet.data, sheet.files):
        for row in table.found:
            values = [cell.sha256 or cell.value for cell in row.cells]
            # A version of which nothing is known to compare with has no cell.
            cells = ["" if value is None else value for value in values]
            yield dict(zip(columns, [table.title, row.name, *cells], strict=True))


def _chart_columns(sheet: Sheet) -> list[str]:
    plot = sheet.chart.plot if sheet.chart else None
    if plot and plot.curve:
        return ["step", *(f"{each.name}: {plot.metric}" for each in plot.curve.series)]
    return ["version", f"metric: {plot.metric if plot else ''}"]


def _chart_rows(sheet: Sheet, columns: list[str]) -> Iterator[dict[str, Any]]:
    plot = sheet.chart.plot if sheet.chart else None
    for row in plot.rows() if plot else ():
        yield dict(zip(columns, ["" if value is None else value for value in row], strict=True))
