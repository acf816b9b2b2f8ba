"""Reading the ledger: spans of time, pages by cursor, a cheap check of what is shown, the rows of an export."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeAlias

from django.db.models import Count, Max, Min, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from approvals import ledger
from approvals.evidence import canonical
from approvals.ledger import pseudonyms
from approvals.models import AuditEvent, ChainHead
from approvals.models.ledger import read_together

Events: TypeAlias = QuerySet[AuditEvent]

PAGE_SIZE = 50
COUNTED = 10_000
"""How many matches are counted one by one: beyond that a page says "more than"."""

WORKER_LABEL = ledger.WORKER


def within(events: Events, since: datetime | None, until: datetime | None) -> Events:
    """The events from `since` up to, not including, `until`.

    The span becomes a range of sequence numbers, so that the page walks the primary key. Where a clock was set back,
    the range has other events in it; then the time is compared too, in a form that keeps the index on it out of the
    plan (ordering by it would be slow).
    """
    if since is None and until is None:
        return events
    first, beyond = (_first_at(since) if since else 1), (_first_at(until) if until else None)
    if first is not None and (beyond is not None or until is None):
        events = events.filter(sequence__gte=first)
        return events.filter(sequence__lt=beyond) if beyond is not None else events
    bounds = {"at__gte": since} if since else {}
    bounds |= {"at__lt": until} if until else {}
    inside = AuditEvent.objects.filter(**bounds)
    span = inside.aggregate(first=Min("sequence"), last=Max("sequence"), count=Count("sequence"))
    if not span["count"]:
        return events.none()
    events = events.filter(sequence__gte=span["first"], sequence__lte=span["last"])
    if span["count"] == span["last"] - span["first"] + 1:
        return events
    exact = {key.replace("at__", "moment__"): moment for key, moment in bounds.items()}
    return events.alias(moment=Coalesce("at", "at")).filter(**exact)


NEAR = 20_000
"""Events from the first or the last on that are looked at, instead of all of a span."""


def _first_at(moment: datetime) -> int | None:
    """The number from which on all events are of the moment or later, and before which none is. None where a clock was
    set back across it, or where it is far from both ends. At most three queries."""
    after = AuditEvent.objects.filter(at__gte=moment).order_by("-at", "-sequence")[: NEAR + 1]
    found = after.aggregate(first=Min("sequence"), count=Count("sequence"))
    if found["count"] <= NEAR:
        end = head().sequence + 1  # asked last: an event that came meanwhile is taken for one that is missing
        return end - found["count"] if (found["first"] or end) == end - found["count"] else None
    before = AuditEvent.objects.filter(at__lt=moment).order_by("at", "sequence")[: NEAR + 1]
    found = before.aggregate(last=Max("sequence"), count=Count("sequence"))
    is_known = found["count"] <= NEAR and (found["last"] or 0) == found["count"]
    return int(found["count"]) + 1 if is_known else None


# --- Pages ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    events: list[AuditEvent]
    """Newest first."""

    total: int
    """Of all pages; COUNTED where there are more."""

    are_more: bool
    newer: int | None
    """Cursor of the page before: `?after=`; None on the first page."""

    older: int | None
    """Cursor of the next page: `?before=`; None on the last."""

    @property
    def first(self) -> int:
        return self.events[0].sequence

    @property
    def last(self) -> int:
        return self.events[-1].sequence


def page_of(
    events: Events, *, before: int | None = None, after: int | None = None, everything: int | None = None
) -> Page:
    """The page just before or just after a sequence number; after 0 are the oldest. Deep pages cost what the first one
    costs. `everything`: how many there are, where that is known, so that nothing is counted."""
    many = events.order_by()[: COUNTED + 1].count() if everything is None else everything
    total, are_more = (many, False) if everything is not None else (min(many, COUNTED), many > COUNTED)
    if after is not None:
        found = list(events.filter(sequence__gt=after).order_by("sequence")[: PAGE_SIZE + 1])
        if len(found) > PAGE_SIZE:
            rows = found[:PAGE_SIZE][::-1]
            older = rows[-1].sequence if after else None
            return Page(rows, total, are_more, newer=rows[0].sequence, older=older)
        before = None  # the first page, filled up
    rest = events if before is None else events.filter(sequence__lt=before)
    found = list(rest.order_by("-sequence")[: PAGE_SIZE + 1])
    rows = found[:PAGE_SIZE]
    return Page(
        rows,
        total,
        are_more,
        newer=None if before is None else (rows[0].sequence if rows else before - 1),
        older=rows[-1].sequence if len(found) > PAGE_SIZE else None,
    )


# --- The chain --------------------------------------------------------------------------------------------------------


def head() -> ChainHead:
    return ChainHead.objects.get(pk=1)


def is_sound(event: AuditEvent) -> bool:
    """Whether the row's hash fits its content. Says nothing of the rows around it: see `ledger.verify`."""
    return event.hash == ledger.digest(event)


def first_fault(events: Sequence[AuditEvent], chain: ChainHead) -> str:
    """A sentence on the first of these rows that is not as it was written, or "". Neighbours are held together too."""
    in_order = sorted(events, key=lambda event: event.sequence)
    for before, event in zip([None, *in_order], in_order, strict=False):
        if not is_sound(event):
            return f"Event {event.sequence} was altered: its hash does not fit its content."
        if before and before.sequence == event.sequence - 1 and event.previous_hash != before.hash:
            return f"Event {event.sequence} does not follow from the one before it."
        if event.sequence == chain.sequence and event.hash != chain.hash:
            return f"Event {event.sequence} is the last one, but the head of the chain says otherwise."
        if event.sequence > chain.sequence:
            return f"Event {event.sequence} is beyond the head of the chain."
    return ""


# --- Details ----------------------------------------------------------------------------------------------------------


def readable(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """An event's data as (term, value) rows: nested keys are joined, lists of plain values are listed."""
    if isinstance(data, dict):
        return [row for key, value in data.items() for row in readable(value, (*path, str(key).replace("_", " ")))]
    if isinstance(data, list) and any(isinstance(item, dict | list) for item in data):
        return [row for place, item in enumerate(data, 1) for row in readable(item, (*path, str(place)))]
    term = " · ".join(path)
    return [(term[:1].upper() + term[1:], _value(data))]


def _value(data: Any) -> str:
    if isinstance(data, list):
        return ", ".join(map(_value, data)) or "none"
    if data is None or data == "":
        return "none"
    return {True: "yes", False: "no"}[data] if isinstance(data, bool) else str(data)


# --- Export -----------------------------------------------------------------------------------------------------------

COLUMNS = (
    "sequence",
    "at",
    "action",
    "actor_id",
    "actor_label",
    "allowed_by",
    "model_name",
    "version_number",
    "target_name",
    "request_id",
    "correlation_id",
    "payload",
    "previous_hash",
    "hash",
)
"""`ledger.as_record`, in its order, and the hash over it."""

NAMES = ("actor_name", "names")
"""What the hash does not cover: who acted, and what every token in the row stands for, as JSON. Pseudonymised people
have no name there, and files exported before keep the one they had."""

CHUNK = 2000

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula.

    Text that starts with = + - @, tab, a line break or an apostrophe gets an apostrophe in front; taking one apostrophe
    away from such cells gives back exactly what the hash covers.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


class _Line:
    """What csv writes to: gives the line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def csv_lines(events: Events) -> Iterator[str]:
    """The rows as CSV (RFC 4180, UTF-8), oldest first, a few thousand at a time in memory."""
    write: Callable[[Sequence[Any]], Any] = csv.writer(_Line()).writerow
    yield write(COLUMNS + NAMES)
    rows = events.order_by("sequence").iterator(chunk_size=CHUNK)
    while chunk := list(islice(rows, CHUNK)):
        read_together(chunk)
        for event in chunk:
            names = {"actor_name": event.actor_label, "names": canonical(pseudonyms.names_in(event))}
            row = ledger.as_record(event) | {"hash": event.hash} | names
            yield write([guarded(row[column]) for column in COLUMNS + NAMES])


def json_lines(events: Events) -> Iterator[str]:
    """The rows as JSON Lines (UTF-8), oldest first: what the hash covers, and the hash. A few thousand in memory."""
    for event in events.order_by("sequence").iterator(chunk_size=2000):
        yield canonical(row_of(event)) + "\n"


def row_of(event: AuditEvent) -> dict[str, Any]:
    """The row as the hash covers it, and the hash: what a verifier reads. People stand in it as tokens."""
    return ledger.as_record(event) | {"hash": event.hash}


def export_name(at: datetime | None = None, *, ending: str = "csv") -> str:
    """With the day in UTC; `at` None is now."""
    return f"countersign-history-{(at or timezone.now()).astimezone(UTC):%Y-%m-%d}.{ending}"
