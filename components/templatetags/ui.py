"""The small visual words that every page is written in: icons, people, badges, times, empty states, pages of lists.

Templates load them with `{% load ui %}`. Each tag's docstring shows how it is called.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django import template
from django.core.paginator import Page
from django.template.context import Context
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from components import times
from components.context_processors import Site, site

register = template.Library()

STATUSES: dict[str, tuple[str, str, str]] = {
    # status: icon, word, colour
    "checking": ("progress-check", "In checks", "blue"),
    "pending": ("clock", "Waiting for review", "amber"),
    "changes_requested": ("message-2", "Changes requested", "violet"),
    "approved": ("progress-check", "Approved", "blue"),
    "applied": ("circle-check", "Applied", "green"),
    "failed": ("alert-triangle", "Delivery failed", "red"),
    "rejected": ("circle-x", "Rejected", "red"),
    "withdrawn": ("arrow-back-up", "Withdrawn", "grey"),
    "expired": ("hourglass", "Expired", "grey"),
}
STAGES = {
    "Production": ("rocket", "green"),
    "Staging": ("flag", "blue"),
    "Archived": ("archive", "grey"),
    "None": ("circle-dashed", "grey"),
}
DRAWN = 1024
"""Different icons and chips that are kept drawn: a list has the same few on each of its rows."""

MESSAGES = {"success": "circle-check", "warning": "alert-triangle", "error": "alert-triangle"}


@register.simple_tag
@lru_cache(maxsize=DRAWN, typed=True)  # markup that is safe is another thing than the same text
def icon(name: str, label: str = "", css: str = "") -> SafeString:
    """`{% icon "inbox" %}`; `{% icon "lock" label="Locked" %}` when no word stands beside it."""
    spoken = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    classes = f"icon {css}".rstrip()
    return format_html('<svg class="{}" {}><use href="{}#{}"/></svg>', classes, spoken, static("icons.svg"), name)


@lru_cache(maxsize=DRAWN, typed=True)  # markup that is safe is another thing than the same text
def chip(name: str, words: str, colour: str, title: str = "") -> SafeString:
    tip = format_html(' title="{}"', title) if title else ""
    return format_html('<span class="chip chip-{}"{}>{}{}</span>', colour, tip, icon(name), words)


@register.simple_tag
def status_badge(status: str, title: str = "") -> SafeString:
    """`{% status_badge request.status %}`, with `title=request.status_reason` where the reason helps."""
    name, words, colour = STATUSES[status]
    return chip(name, words, colour, title)


@register.simple_tag
def badge(words: str, icon: str, colour: str = "grey", title: str = "") -> SafeString:
    """`{% badge "Deleted in MLflow" "trash" "red" %}`; colours: grey, green, amber, red, blue, violet."""
    return chip(icon, words, colour, title)


@register.simple_tag
def stage_chip(stage: str) -> SafeString:
    """`{% stage_chip version.stage %}`; nothing for a version without a stage."""
    if stage == "None":
        return SafeString("")
    name, colour = STAGES.get(stage, ("tag", "grey"))
    return chip(name, stage, colour)


@register.simple_tag
def alias_chip(name: str, governed: bool = False) -> SafeString:
    """`{% alias_chip alias.name governed=True %}`: a governed alias means a target, so it carries a lock."""
    if governed:
        return chip("lock", f"@{name}", "violet", "Changed only by an approved request.")
    return chip("tag", f"@{name}", "grey")


@register.simple_tag
def person(user: Any, email: bool = False) -> SafeString:
    """`{% person request.requester %}`: initials and name; `email=True` adds the address. The label is the tooltip."""
    address = format_html(' <span class="text-secondary">{}</span>', user.email) if email else ""
    return format_html(
        '<span class="person" title="{}"><span class="avatar-mark" aria-hidden="true">{}</span>'
        "<span>{}{}</span></span>",
        user.label,
        initials(user),
        user.name or user.email,
        address,
    )


@register.filter
def initials(user: Any) -> str:
    """`{{ user|initials }}`: at most two letters, for the round mark."""
    words = (user.name or user.email).split()
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


@register.filter
def at_most(count: int, most: int) -> str:
    """`{{ unread_count|at_most:99 }}`: `7`, or `99+` where there are more."""
    return f"{most}+" if count > most else str(count)


@register.simple_tag
def when(at: datetime | None, missing: str = "never", form: str = "both") -> SafeString:
    """`{% when request.created_at %}`: "3 hours ago 14:04", on the reader's clock. `form="relative"` has the exact time
    in the title alone, where room is scarce; `form="absolute"` shows it to the second and nothing else."""
    if at is None:
        return format_html('<span class="text-secondary">{}</span>', missing)
    zone = timezone.get_current_timezone()
    exact = times.exact(at, seconds=True, zone=zone)
    # Nothing of a moment needs to be escaped, and pages have a hundred of them.
    if form == "absolute":
        return SafeString(f'<time datetime="{at.isoformat()}" class="text-nowrap">{exact}</time>')
    beside = f' <span class="exact">{times.brief(at, zone=zone)}</span>' if form == "both" else ""
    # Where the date stands beside it, what is long ago stays relative: the same date twice says nothing.
    far = 'threshold="P99Y"' if form == "both" else 'year="numeric"'
    return SafeString(
        f'<relative-time datetime="{at.isoformat()}" title="{exact}" time-zone="{zone}" {far}>'
        f"{times.away(at, timezone.now())}</relative-time>{beside}"
    )


@register.filter
def on_clock(at: datetime | None) -> str:
    """`{{ freeze.until|on_clock }}`: `2026-11-23 14:04 CET`, in a sentence; "" for none."""
    return times.exact(at) if at else ""


@register.simple_tag
def span(start: datetime | None, end: datetime | None = None) -> str:
    """`{% span request.created_at request.decided_at %}`: "3 hours"; up to now without an end."""
    return timesince(start, end or datetime.now(UTC), depth=1).replace("\xa0", " ") if start else ""


@register.simple_tag
def copyable(text: str, label: str = "") -> SafeString:
    """`{% copyable "models:/churn_predictor/7" %}`: code with a copy button; `label` replaces a long text."""
    sprite = static("icons.svg")
    return format_html(
        '<span class="copyable"><code title="{0}">{1}</code><button type="button" class="btn js-only" data-copy="{0}" '
        'data-icon="{2}#copy" data-done-icon="{2}#check" aria-label="Copy {0}">{3}</button></span>',
        text,
        label or text,
        sprite,
        icon("copy"),
    )


@register.filter
def short_hash(value: str) -> str:
    """`{{ event.hash|short_hash }}`: the first eight characters."""
    return value.removeprefix("sha256:")[:8]


@register.simple_tag
def reason(text: str) -> SafeString:
    """`{% reason "You asked for this, so someone else decides." %}`: why something is not offered to this person."""
    return format_html('<p class="reason">{}<span>{}</span></p>', icon("info-circle"), text)


@register.inclusion_tag("components/_empty.html")
def empty(symbol: str, title: str, text: str = "", action: str = "", url: str = "") -> dict[str, str]:
    """`{% empty "inbox" "Nothing waits for you." "What you can decide appears here." "See recent decisions" url %}`"""
    return {"symbol": symbol, "title": title, "text": text, "action": action, "url": url}


@register.inclusion_tag("components/_crumbs.html")
def crumbs(*labels_and_urls: str) -> dict[str, Iterable[tuple[str, str]]]:
    """`{% crumbs "Models" models_url model.name model_url %}`: the way here, without the page itself."""
    return {"steps": zip(labels_and_urls[::2], labels_and_urls[1::2], strict=True)}


@register.inclusion_tag("components/_pagination.html", takes_context=True)
def pagination(context: Context, page: Page[Any], noun: str = "rows") -> dict[str, Any]:
    """`{% pagination page "events" %}`: "51 to 100 of 1,204 events", links keep the query string (`?page=`)."""
    return {"page": page, "noun": noun, "request": context["request"]}


@register.inclusion_tag("components/_facts.html")
def facts(rows: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """`{% facts rows %}` for a list of (term, value); write `<dl class="facts">` by hand where values need markup."""
    return {"rows": rows}


@register.filter
def attributes(attrs: Mapping[str, Any]) -> SafeString:
    """`{{ widget.attrs|attributes }}`: each after a space, without the class, which the widget's template writes."""
    shown = {name: value for name, value in attrs.items() if value is not False and name != "class"}
    return SafeString(
        "".join(
            format_html(" {}", name) if value is True else format_html(' {}="{}"', name, value)
            for name, value in shown.items()
        )
    )


@register.simple_tag
def message_icon(level: str) -> SafeString:
    """`{% message_icon message.level_tag %}`"""
    return icon(MESSAGES.get(level, "info-circle"))


@register.simple_tag(takes_context=True)
def installation(context: Context) -> Site:
    """`{% installation as site %}` in base.html: django-allauth puts an object of its own under the name `site`."""
    given = context.get("site")
    return given if isinstance(given, Site) else site(context["request"])["site"]


@register.filter
def sentence_case(text: str) -> str:
    """ "Change Password" → "Change password"; words with other capitals (TOTP, @, digits) stay as they are."""
    words = [word.lower() if word.istitle() else word for word in str(text).split()]
    return " ".join([word[:1].upper() + word[1:] for word in words[:1]] + words[1:])
