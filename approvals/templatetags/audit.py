"""How the pages of an audit write spans of time and draw bars. The figures stand in words beside each bar."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from approvals.audit.reviews import Pair, Wait

register = template.Library()


@register.filter
def lasting(seconds: float | None) -> str:
    """`{{ wait.first_median|lasting }}`: "3 h 20 min"; a dash for nothing to measure."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, hours = divmod(round(minutes / 60), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


@register.simple_tag
def wait_bar(wait: Wait, longest: float) -> SafeString:
    """`{% wait_bar wait longest %}`: the median, dark, within nine of ten, light; `longest` fills the width."""
    if not longest or wait.decided_p90 is None:
        return SafeString("")
    return format_html(
        '<svg class="audit-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="audit-bar-track" width="100" height="10"/>'
        '<rect class="audit-bar-most" width="{}" height="10"/>'
        '<rect class="audit-bar-half" width="{}" height="10"/></svg>',
        _width(wait.decided_p90 / longest),
        _width((wait.decided_median or 0) / longest),
    )


@register.simple_tag
def share_bar(pair: Pair) -> SafeString:
    """`{% share_bar pair %}`: the share of the whole width."""
    return format_html(
        '<svg class="audit-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="audit-bar-track" width="100" height="10"/><rect class="{}" width="{}" height="10"/></svg>',
        "audit-bar-called" if pair.is_called_out else "audit-bar-share",
        _width(pair.share),
    )


def _width(share: float) -> str:
    return f"{max(1.0, min(1.0, share) * 100):.1f}"
