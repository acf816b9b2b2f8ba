"""The history: what is in the ledger, filtered and page by page; one event; and the export of what is shown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_safe

from approvals import administration, ledger
from approvals.evidence import canonical
from approvals.forms.history_filters import HistoryFilter
from approvals.ledger import machines
from approvals.models import Action, AuditEvent, ChainHead
from approvals.models.defaults import GENESIS
from approvals.selectors import history as queries
from approvals.selectors import request_timeline
from approvals.views.guard import needs
from approvals.views.shared import SignedInRequest
from components.times import in_utc

CURSORS = ("before", "after")


@dataclass(frozen=True, slots=True)
class Row(request_timeline.Entry):
    """One event as the pages show it."""

    details: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Link:
    """How an event holds on to the one before or after it."""

    is_good: bool
    words: str


@require_safe
@needs(administration.HISTORY)
@in_utc
def history(request: SignedInRequest) -> HttpResponse:
    found = HistoryFilter(request.GET, AuditEvent.objects.all())
    chain, active = queries.head(), found.active()
    page = queries.page_of(
        found.qs,
        before=_cursor(request, "before"),
        after=_cursor(request, "after"),
        everything=None if found.errors or active else chain.sequence,
    )
    if page.events and page.first > chain.sequence:
        chain = queries.head()  # asked again: what was written meanwhile is no event beyond the end
    context = {
        "form": found.form,
        "active": [(label, words, _address_without(request, name)) for name, label, words in active],
        "page": page,
        "rows": [_row(event) for event in page.events],
        "chain": chain,
        "fault": queries.first_fault(page.events, chain),
        "may_export": administration.may(request.user, administration.EXPORT),
        "export_url": f"{reverse('approvals:history_export')}?{_query(request)}",
        "lines_url": f"{reverse('approvals:history_export_lines')}?{_query(request)}",
    }
    return render(request, "approvals/history/history.html", context, status=422 if found.errors else 200)


LARGEST_SEQUENCE = 2**63 - 1
"""What the column can hold; a database driver refuses to ask for more."""


@require_safe
@needs(administration.HISTORY)
@in_utc
def event(request: SignedInRequest, sequence: int) -> HttpResponse:
    shown_ones = AuditEvent.objects.filter(sequence__range=(sequence - 1, sequence + 1))
    found = shown_ones.in_bulk() if sequence < LARGEST_SEQUENCE else {}
    if sequence not in found:
        raise Http404(f"There is no event {sequence}.")
    shown, chain = found[sequence], queries.head()
    context = {
        "event": shown,
        "row": _row(shown),
        "previous": found.get(sequence - 1),
        "next": found.get(sequence + 1),
        "expected_hash": ledger.digest(shown),
        "is_sound": queries.is_sound(shown),
        "links": _links(shown, found.get(sequence - 1), found.get(sequence + 1), chain),
        "fault": queries.first_fault(list(found.values()), chain),
        "record": canonical(ledger.as_record(shown)),
    }
    return render(request, "approvals/history/event.html", context)


@require_GET
@needs(administration.EXPORT)
def export(request: SignedInRequest) -> HttpResponseBase:
    """Streams the filtered rows as CSV."""
    return _export(request, "csv", queries.csv_lines, "text/csv; charset=utf-8")


@require_GET
@needs(administration.EXPORT)
def export_lines(request: SignedInRequest) -> HttpResponseBase:
    """Streams the filtered rows as JSON Lines."""
    return _export(request, "jsonl", queries.json_lines, "application/jsonl; charset=utf-8")


def _export(
    request: SignedInRequest, ending: str, lines_of: Callable[[queries.Events], Iterator[str]], content_type: str
) -> HttpResponseBase:
    """The export itself is an event, written first; the file ends just before it."""
    found = HistoryFilter(request.GET, AuditEvent.objects.all())
    if found.errors:
        return redirect(f"{reverse('approvals:history')}?{_query(request)}")
    filters = {label: words for _, label, words in found.active()}
    own = administration.record_export(by=request.user, filters=filters)
    lines = lines_of(found.qs.filter(sequence__lt=own.sequence))
    headers = {"Content-Disposition": f'attachment; filename="{queries.export_name(own.at, ending=ending)}"'}
    return StreamingHttpResponse(lines, content_type=content_type, headers=headers)


def _row(event: AuditEvent) -> Row:
    (entry,) = request_timeline.entries([event])
    told = Action(event.action).type.said
    # The program that acted stands beside the actor.
    left_out = {machines.KEY, told} if entry.said else {machines.KEY}
    details = queries.readable({key: value for key, value in event.data.items() if key not in left_out})
    return Row(event, entry.sentence, entry.said, details)


def _links(event: AuditEvent, before: AuditEvent | None, after: AuditEvent | None, chain: ChainHead) -> list[Link]:
    if event.sequence == 1:
        first = Link(event.previous_hash == GENESIS, "It is the first event.")
    elif before is None:
        first = Link(False, f"Event {event.sequence - 1} is missing.")
    elif event.previous_hash == before.hash:
        first = Link(True, f"It follows from event {before.sequence}.")
    else:
        first = Link(False, f"It does not follow from event {before.sequence}: the previous hash is another.")
    if after is not None:
        follows = after.previous_hash == event.hash
        words = f"Event {after.sequence} {'follows' if follows else 'does not follow'} from it."
        return [first, Link(follows, words)]
    if event.sequence == chain.sequence:
        return [first, Link(event.hash == chain.hash, "It is the head of the chain.")]
    return [first, Link(False, f"Event {event.sequence + 1} is missing.")]


def _cursor(request: SignedInRequest, name: str) -> int | None:
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() else None


def _query(request: SignedInRequest, *without: str) -> str:
    """The filters of this address, without the place in the list and without some of them."""
    kept = request.GET.copy()
    for name in (*CURSORS, *without):
        kept.pop(name, None)
    return kept.urlencode()


def _address_without(request: SignedInRequest, name: str) -> str:
    query = _query(request, *(["model", "version"] if name == "model" else [name]))  # a version means nothing alone
    return f"{reverse('approvals:history')}?{query}" if query else reverse("approvals:history")
