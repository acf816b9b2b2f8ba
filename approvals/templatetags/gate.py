"""How the gate's pages write a comparison, the time of day, and lists of people. Numbers come from `values`."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from approvals.evidence import comparison
from approvals.evidence.comparison import Judgement, MetricRow, ValueRow, overview
from approvals.evidence.comparison.texts import Piece
from approvals.ledger import machines, sentences
from approvals.models import AuditEvent, CheckResult, Incident, Verification
from approvals.policy import DIRECTIONS, MetricRule, Reviewer, Rule
from approvals.selectors.policy_dry_run import Outcome
from approvals.selectors.request_state import RequestState
from approvals.watch import wording
from components import times
from components.templatetags.ui import chip, copyable, icon, short_hash
from components.templatetags.values import percent, signed

register = template.Library()

MOST_NAMES = 6
LONGEST_SHOWN = 20_000
LONGEST_ORIGIN = 200
BAR_WIDTH, BAR_HEIGHT = 96, 10
"""Pixels of the difference bar; its middle is the champion."""


@register.simple_tag
def direction(metric: str) -> SafeString:
    """`{% direction curve.metric %}`: "higher is better" beside a heading; nothing where it cannot be said."""
    words = comparison.direction(metric)
    return format_html('<span class="text-secondary fw-normal">{}</span>', words) if words else SafeString("")


@register.filter
def rule_note(rule: MetricRule) -> str:
    """`{{ rule|rule_note }}`: "higher is better · tolerance 0.5 %"."""
    told = [DIRECTIONS.get(rule.better, ""), f"tolerance {rule.tolerance}" if rule.tolerance else ""]
    return " · ".join(filter(None, told)) or "direction by name"


@register.simple_tag
def metric_note(row: MetricRow) -> SafeString:
    """`{% metric_note row %}`: "higher is better · ±0.5 %" under a metric's name, as far as there is something to
    say."""
    told = [row.direction, f"±{row.tolerance}".replace(" ", "\N{NO-BREAK SPACE}") if row.tolerance else ""]
    words = " · ".join(filter(None, told))
    return format_html('<span class="row-note">{}</span>', words) if words else SafeString("")


@register.simple_tag
def metric_name(row: MetricRow) -> SafeString:
    """`{% metric_name row %}`: the metric's name; strong, and said so, where it is of record."""
    if row.place is None:
        return format_html('<bdi dir="ltr">{}</bdi>', row.name)
    told = '<strong title="Metric of record"><bdi dir="ltr">{}</bdi></strong><span class="visually-hidden">, {}</span>'
    return format_html(told, row.name, "metric of record")


@register.simple_tag
def remarks(row: MetricRow | ValueRow) -> SafeString:
    """`{% remarks row %}`: what MLflow says of a metric or value besides, a note each."""
    return format_html_join("", '<span class="row-note missing">{}</span>', ((words,) for words in row.remarks))


@register.filter
def marked(pieces: Iterable[Piece]) -> SafeString:
    """`{{ line.pieces|marked }}`: one line of a diff, the changed words marked, without a space of our own."""
    return SafeString(
        "".join(format_html("<mark>{}</mark>" if each.is_changed else "{}", each.text) for each in pieces)
    )


@register.filter
def sentence(event: AuditEvent) -> str:
    """`{{ event|sentence }}`: what happened, after the actor's name."""
    return sentences.sentence(event)


@register.filter
def machine(event: AuditEvent) -> machines.Machine | None:
    """`{{ event|machine }}`: the program that acted through a token, if one did."""
    return machines.of(event)


@register.filter
def incident_title(incident: Incident) -> str:
    """`{{ incident|incident_title }}`: what was changed, in a few words."""
    return wording.title(incident)


@register.simple_tag
def request_links(numbers: Iterable[int]) -> SafeString:
    """`{% request_links meaning.first_requests %}`: "#12, #15", each a link."""
    return format_html_join(
        ", ", '<a href="{}">#{}</a>', ((reverse("approvals:request", args=[n]), n) for n in numbers)
    )


@register.filter
def named_policy(rule: Rule) -> str:
    """`{{ rule|named_policy }}`: "version 3 of the policy for churn*", or "no policy"."""
    return (
        f"version {rule.policy_version} of the policy for {rule.model_pattern}" if rule.policy_version else "no policy"
    )


_REHEARSED = {
    # outcome: words, icon, colour
    Outcome.IMPOSSIBLE: ("Impossible", "ban", "red"),
    Outcome.BLOCKED: ("Blocked", "circle-x", "red"),
    Outcome.DELAYED: ("Delayed", "hourglass", "amber"),
    Outcome.SAME: ("As it went", "circle-check", "green"),
}


@register.simple_tag
def rehearsed_chip(outcome: Outcome) -> SafeString:
    """`{% rehearsed_chip outcome %}`: what would have become of requests, beside their number."""
    words, name, colour = _REHEARSED[outcome]
    return chip(name, words, colour)


@register.simple_tag
def rehearsed_icon(outcome: Outcome) -> SafeString:
    """`{% rehearsed_icon replay.outcome %}`: the same for one request, whose line names the outcome."""
    words, name, _ = _REHEARSED[outcome]
    return icon(name, label=words)


@register.simple_tag
def delta(row: MetricRow) -> SafeString:
    """`{% delta row %}`: "+0.0123 (+1.4 %) better", with an arrow for the number and a word and colour for its
    meaning; what is within tolerance has no colour."""
    if row.difference is None:
        return format_html('<span class="{}">{}</span>', "delta-worse" if row.is_lost else "text-secondary", row.remark)
    judgement = row.judgement
    if judgement == Judgement.SAME:
        return format_html('<span class="text-secondary">{}</span>', judgement.words)
    share = percent(row.relative)
    return format_html(
        '<span class="delta{}">{}<span>{}{}</span>{}</span>',
        f" delta-{judgement}" if judgement else "",
        icon("arrow-up" if row.difference > 0 else "arrow-down"),
        signed(row.difference),
        format_html(" <small>({})</small>", share) if share else "",
        _judged(row, judgement),
    )


def _judged(row: MetricRow, judgement: Judgement) -> SafeString:
    if judgement == Judgement.WITHIN:
        return format_html(' <span title="Tolerance: {}">{}</span>', row.tolerance, judgement.words)
    return format_html(" <strong>{}</strong>", judgement.words) if judgement else SafeString("")


@register.simple_tag
def origin_value(value: str, is_hash: bool) -> SafeString:
    """`{% origin_value origin.challenger origin.is_hash %}`: one answer to where a version comes from. Of a hash the
    first characters, with a button that copies all of it."""
    if not value:
        return SafeString('<span class="missing">not known</span>')
    if is_hash:
        return copyable(value, short_hash(value))
    return format_html(
        '<span class="value">{}</span>', value if len(value) <= LONGEST_ORIGIN else f"{value[:LONGEST_ORIGIN]}…"
    )


@register.simple_tag
def signed_record(standing: RequestState, person_id: int) -> SafeString:
    """`{% signed_record standing person.id %}`: when they signed (UTC), what it means, and how they proved who they
    are."""
    live = (review for review in standing.reviews if review.voided_at is None and review.reviewer_id == person_id)
    review = next(live, None)
    if review is None:
        return SafeString("")
    parts = [f"{review.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"]
    parts += [f"meaning {review.get_meaning_display().lower()}"] if review.meaning else []
    if count := len(review.findings.all()):
        parts.append(f"with {count} finding{'' if count == 1 else 's'}")
    parts += [f"proved by {review.signed_with}"] if review.signed_with else []
    return format_html('<span class="row-note">{}</span>', " · ".join(parts))


_OUTCOMES = {
    # outcome: icon, colour
    "pass": ("circle-check", "green"),
    "warn": ("alert-triangle", "amber"),
    "fail": ("circle-x", "red"),
    "waiting": ("hourglass", "blue"),
}


@register.simple_tag
def check_chip(check: CheckResult) -> SafeString:
    """`{% check_chip check %}`: "Passed", "Warning", "Failed", "Overridden", "Not answered", each with its own icon."""
    if check.overridden_at:
        return chip("alert-triangle", "Overridden", "amber")
    if check.is_unanswered:
        return chip("hourglass", "Not answered", "grey")
    name, colour = _OUTCOMES[check.outcome]
    return chip(name, str(check.get_outcome_display()).partition(" ")[0], colour)  # "Waiting" fits its column


@register.filter
def label_names(labels: Sequence[str]) -> str:
    """`{{ event.data.voided|label_names }}`: "Remy Ortiz and Rosa Lind" of labels."""
    found = [label.partition(" <")[0] for label in labels]
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


@register.simple_tag
def difference_bar(row: MetricRow, widest: float) -> SafeString:
    """`{% difference_bar row summary.widest %}`: better grows to the right, worse to the left; `widest` fills its half.
    Decoration of what is in words beside it, so it is hidden from screen readers."""
    judgement = row.judgement
    if judgement not in (Judgement.BETTER, Judgement.WORSE) or row.relative is None:
        return SafeString("")
    middle = BAR_WIDTH / 2
    length = max(1.5, min(abs(row.relative) / widest, 1) * (middle - 2))
    x = middle if judgement == Judgement.BETTER else middle - length
    return format_html(
        '<svg class="bar" width="{0}" height="{1}" viewBox="0 0 {0} {1}" aria-hidden="true">'
        '<rect class="bar-track" x="0" y="4" width="{0}" height="2" rx="1"/>'
        '<rect class="bar-{2}" x="{3}" y="1" width="{4}" height="8" rx="2"/>'
        '<rect class="bar-middle" x="{5}" y="0" width="1" height="{1}"/></svg>',
        BAR_WIDTH,
        BAR_HEIGHT,
        judgement,
        f"{x:.1f}",
        f"{length:.1f}",
        f"{middle - 0.5:.1f}",
    )


@register.simple_tag
def clock(at: datetime | None) -> SafeString:
    """`{% clock entry.available_at %}`: "14:07", with the date before it unless that is today; exact in the title."""
    if at is None:
        return SafeString("")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), times.exact(at, seconds=True), times.brief(at)
    )


@register.filter
def in_the_past(why: str) -> str:
    """Why a rule was chosen when the request was made: `rule.why` as of then."""
    for now, then in (
        (" applies to ", " applied to "),
        (" that fits.", " that fitted."),
        (" that fit.", " that fitted."),
        (" that matches.", " that matched."),
        (" that match.", " that matched."),
        ("No policy fits this", "No policy fitted this"),
        ("No policy matches this", "No policy matched this"),
        (" default applies:", " default applied:"),
    ):
        why = why.replace(now, then)
    return why


@register.filter
def names(people: Sequence[Reviewer]) -> str:
    """`{{ state.candidates|names }}`: "Remy Ortiz, Rosa Lind and 3 more", without the addresses."""
    shown = [person.label.partition(" <")[0] for person in people[:MOST_NAMES]]
    more = len(people) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


@register.filter
def labels(people: Sequence[Reviewer]) -> str:
    """All of them with their addresses, for a title."""
    return ", ".join(person.label for person in people)


@register.filter(name="bytes")
def size_of(count: int | None) -> str:
    """`{{ row.size|bytes }}`: "24.3 MB"."""
    return overview.size(count)


@register.filter
def shortened(text: str) -> str:
    """The first 20,000 characters of a text, with a sentence that says so where there are more."""
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"{text[:LONGEST_SHOWN]}…\n\nThe first {LONGEST_SHOWN:,} of {len(text):,} characters."


@register.simple_tag
def last_verification() -> Verification | None:
    """`{% last_verification as verified %}`: how the ledger's last verification ended; None before the first."""
    return Verification.objects.done().first()
