"""The bars of the picture of tenures, which come by the hundred. A template takes ten times as long for each."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from approvals.tenures.chart import BAR, HATCHED, Bar, Lane

register = template.Library()


@register.simple_tag
def tenure_bars(lane: Lane, name: str) -> SafeString:
    """`{% tenure_bars lane "held" %}`: those of a lane; `name` is that of the picture, whose patterns they use."""
    return SafeString("".join(_bar(bar, name) for bar in lane.bars))


def _bar(bar: Bar, name: str) -> str:
    unsure = hatch = text = ""
    if bar.unsure_width:
        unsure = (
            f'<svg class="tenure-unsure" x="{bar.unsure_x}%" y="{bar.y}" width="{bar.unsure_width}%" height="{BAR}" '
            'aria-hidden="true"><line x1="0" x2="100%" y1="50%" y2="50%"/></svg>'
        )
    if bar.look in HATCHED:
        hatch = format_html('<rect width="100%" height="100%" rx="4" fill="url(#{}-{})"/>', name, bar.look)
    if bar.text:
        place = 'class="anchor-middle" x="50%"' if bar.is_centred else 'x="8"'
        text = format_html('<text {} y="14">{}</text>', SafeString(place), bar.text)
    drawn = format_html(
        '<svg class="tenure tone-{} look-{}{}" x="{}%" y="{}" width="{}%" height="{}"><title>{}</title>'
        '<rect class="tenure-ground" width="100%" height="100%" rx="4"/>{}'
        '<rect class="tenure-edge" x="0.75" y="0.75" height="{}" rx="3.5"/>{}</svg>',
        bar.tone,
        bar.look,
        " is-open" if bar.is_open else "",
        bar.x,
        bar.y,
        bar.width,
        BAR,
        bar.title,
        hatch,
        BAR - 2,
        text,
    )
    if bar.url:
        drawn = format_html('<a href="{}" tabindex="-1" aria-label="{}">{}</a>', bar.url, bar.title, drawn)
    return f"{unsure}{drawn}"
