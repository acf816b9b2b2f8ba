"""Shapes of charts that come by the hundred. A template takes ten times as long for each of them."""

from collections.abc import Iterable

from django import template
from django.utils.formats import localize
from django.utils.html import escape
from django.utils.safestring import SafeString

from components.charts import Line, Point

register = template.Library()


@register.filter
def drawn_lines(lines: Iterable[Line]) -> SafeString:
    """`{{ chart.lines|drawn_lines }}`: from point to point."""
    return SafeString(
        "".join(
            f'<line class="chart-line" x1="{each.x1}%" y1="{each.y1}%" x2="{each.x2}%" y2="{each.y2}%"/>'
            for each in lines
        )
    )


@register.filter
def drawn_points(points: Iterable[Point]) -> SafeString:
    """`{{ chart.points|drawn_points }}`: each with its version and value as a tooltip, some with the version below."""
    return SafeString("".join(map(_point, points)))


def _point(point: Point) -> str:
    below = f'<text class="chart-label" x="{point.x}%" y="95%">{point.number}</text>' if point.is_labelled else ""
    return (
        f'<circle class="chart-dot" cx="{point.x}%" cy="{point.y}%" r="3.5">'
        f"<title>Version {point.number}: {escape(localize(point.value))}</title></circle>{below}"
    )
