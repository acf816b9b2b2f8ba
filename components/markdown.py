"""Descriptions are Markdown written by anybody who may write to MLflow: rendered without raw HTML, then sanitised."""

import re
from collections.abc import Mapping
from typing import Any

import nh3
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

LONGEST = 20_000
"""Characters; longer text is shown as it is. MLflow itself keeps 5,000 on PostgreSQL."""

TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}


def _renderer() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.core.ruler.push("lower_headings", _lower_headings)
    markdown.add_render_rule("image", _link_to_image)
    return markdown


def _lower_headings(state: Any) -> None:
    """A description stands under a page's h1 and h2, so its own highest heading becomes h3."""
    headings = [token for token in state.tokens if token.type in ("heading_open", "heading_close")]
    highest = min((int(token.tag[1]) for token in headings), default=3)
    for token in headings:
        token.tag = f"h{min(int(token.tag[1]) - highest + 3, 6)}"


def _link_to_image(renderer: Any, tokens: Any, index: int, _options: Any, _env: Any) -> str:
    """Images of other hosts would tell them who reads: a link instead."""
    token = tokens[index]
    return format_html('<a href="{}">{}</a>', token.attrGet("src") or "", token.content or "image")


_MARKDOWN = _renderer()


MENTION = re.compile(r"(?<![\w@./-])@([\w-]+(?:\.[\w-]+)*)")
"""Words joined by dots after an @ that is no part of an address."""

_AS_IT_IS = ("code", "pre", "a")
"""In these an @ is no mention."""


def with_mentions(html: SafeString, names: Mapping[str, str]) -> SafeString:
    """Rendered text in which `@handle` is the person's name. A number behind a handle belongs to it."""
    if not names:
        return html

    def written(match: re.Match[str]) -> str:
        handle = match[1].casefold()
        name = names.get(handle) or names.get(re.sub(r"\.\d+$", "", handle))
        return format_html('<span class="mention">@{}</span>', name) if name else match[0]

    parts, inside = [], 0
    for part in re.split(r"(<[^>]*>)", html):
        if part.startswith("<"):
            tag = part.strip("</>").partition(" ")[0]
            inside += (tag in _AS_IT_IS) * (-1 if part.startswith("</") else 1)
        elif not inside:
            part = MENTION.sub(written, part)  # noqa: PLW2901
        parts.append(part)
    return mark_safe("".join(parts))  # noqa: S308  sanitised before, and names are escaped


def render(text: str) -> SafeString:
    """Safe HTML: no scripts, styles, images, forms or ids; links open with no referrer and vouch for nothing."""
    if len(text) > LONGEST:
        return format_html("<pre>{}</pre>", text)
    html = nh3.clean(
        _MARKDOWN.render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(html)  # noqa: S308  sanitised by the line above
