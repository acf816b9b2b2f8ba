"""Reading the ledger: filters from the URL, pages by cursor, a cheap check of what is shown, the rows of an export.

Times are turned into a range of sequence numbers first, so that every page and every export walks the primary key.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import django_filters as filters
from django import forms
from django.db.models import Count, Exists, Max, Min, OuterRef, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from approvals import ledger
from approvals.models import Action, AuditEvent, ChainHead, PromotionRequest
from registry_ui.accounts.models import User
from registry_ui.mirror.models import RegisteredModel

Events: TypeAlias = QuerySet[AuditEvent]

PAGE_SIZE = 50
WORKER = "worker"
KINDS = {
    "request": "Requests",
    "review": "Reviews",
    "delivery": "Delivery",
    "version": "Versions",
    "target": "Targets",
    "policy": "Policies",
    "person": "People",
    "group": "Groups",
    "history": "Exports",
    "ledger": "Ledger",
}
"""What stands before the dot of an action; each can be filtered by as a whole."""

# --- Filters ----------------------------------------------------------------------------------------------------------


def _actions() -> list[tuple[str, list[tuple[str, str]]]]:
    """One group per kind; a kind with several actions starts with all of them."""
    groups = []
    for kind, label in KINDS.items():
        members = [(str(action.value), str(action.label)) for action in Action if action.value.startswith(f"{kind}.")]
        every = [(kind, f"{label}: all")] if len(members) > 1 else []
        groups.append((label, [*every, *members]))
    return groups


def _people() -> list[tuple[str, str]]:
    acted = User.objects.filter(Exists(AuditEvent.objects.filter(actor=OuterRef("pk")))).order_by("name", "email")
    return [(WORKER, ledger.WORKER), *((str(person.pk), person.label) for person in acted)]


class UntilField(forms.DateTimeField):
    """The end of a span of time: a day, minute or second counts as a whole. Cleans to the first moment after it."""

    def to_python(self, value: Any) -> datetime | None:
        moment: datetime | None = super().to_python(value)
        if moment is None:
            return None
        typed = str(value).strip()
        if ":" not in typed:
            return moment + timedelta(days=1)
        return moment + (timedelta(minutes=1) if typed.count(":") == 1 else timedelta(seconds=1))


class HistoryForm(forms.Form):
    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        name = found.get("model")
        if name and not RegisteredModel.objects.filter(name=name).exists():
            self.add_error("model", "No model of this name is known. Capital letters matter.")
        if found.get("version") is not None and not self.data.get("model"):
            self.add_error("version", "Say which model the version belongs to.")
        number = found.get("request")
        if number is not None and not PromotionRequest.objects.filter(pk=number).exists():
            self.add_error("request", f"There is no request #{number}.")
        since, until = found.get("since"), found.get("until")
        if since and until and since >= until:
            self.add_error("until", "The end has to come after the beginning.")
        return found


class IntegerFilter(filters.Filter):  # type: ignore[misc]
    field_class = forms.IntegerField


class SinceFilter(filters.Filter):  # type: ignore[misc]
    field_class = forms.DateTimeField


class UntilFilter(filters.Filter):  # type: ignore[misc]
    field_class = UntilField


_WRONG_TIME = {"invalid": "Write a time such as 2026-11-23 or 2026-11-23T12:04."}


class MomentInput(forms.DateTimeInput):
    """The browser's own picker. It shows nothing for a bare day, so a day gets the time that it stands for."""

    input_type = "datetime-local"

    def __init__(self, *, day_means: str) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")
        self.day_means = day_means

    def format_value(self, value: Any) -> str | None:
        shown = super().format_value(value)
        return f"{shown}T{self.day_means}" if shown and len(shown) == 10 else shown


_BIGGEST = 2_147_483_647


class HistoryFilter(filters.FilterSet):  # type: ignore[misc]
    model = filters.CharFilter(field_name="model_name", label="Model")
    version = IntegerFilter(field_name="version_number", label="Version", min_value=1, max_value=_BIGGEST)
    request = IntegerFilter(field_name="request", label="Request", min_value=1, max_value=_BIGGEST)
    person = filters.ChoiceFilter(label="Person", choices=_people, empty_label="Everyone", method="by_person")
    action = filters.ChoiceFilter(label="Action", choices=_actions, empty_label="Everything", method="by_action")
    since = SinceFilter(
        label="From (UTC)", method="unchanged", widget=MomentInput(day_means="00:00"), error_messages=_WRONG_TIME
    )
    until = UntilFilter(
        label="To (UTC)", method="unchanged", widget=MomentInput(day_means="23:59"), error_messages=_WRONG_TIME
    )

    class Meta:
        model = AuditEvent
        form = HistoryForm
        fields: list[str] = []

    def by_person(self, events: Events, _name: str, value: str) -> Events:
        return events.filter(actor=None if value == WORKER else int(value))

    def by_action(self, events: Events, _name: str, value: str) -> Events:
        return events.filter(action__in=[a for a in Action if a == value or a.startswith(f"{value}.")])

    def unchanged(self, events: Events, _name: str, _value: datetime) -> Events:
        """Both ends of the span are applied together, in `filter_queryset`."""
        return events

    def filter_queryset(self, queryset: Events) -> Events:
        if self.errors:
            return queryset.none()
        found: Events = super().filter_queryset(queryset)
        return within(found, self.form.cleaned_data["since"], self.form.cleaned_data["until"])

    def active(self) -> list[tuple[str, str, str]]:
        """(parameter, label, value in words) of each filter that is set and makes sense."""
        rows = []
        for name, value in self.form.cleaned_data.items():
            if value not in (None, "") and name not in self.form.errors:
                rows.append((name, str(self.filters[name].label).removesuffix(" (UTC)"), self._words(name, value)))
        return rows

    def _words(self, name: str, value: Any) -> str:
        if name in ("since", "until"):
            return f"{self.data[name].replace('T', ' ')} UTC"
        if name in ("person", "action"):
            return next(label for key, label in _flat(self.form.fields[name].choices) if key == value)
        return f"#{value}" if name == "request" else str(value)


def _flat(choices: Any) -> Iterator[tuple[str, str]]:
    for key, label in choices:
        if isinstance(label, list | tuple):
            yield from label
        else:
            yield str(key), str(label)


def within(events: Events, since: datetime | None, until: datetime | None) -> Events:
    """The events from `since` up to, not including, `until`.

    The span becomes a range of sequence numbers, so that the page walks the primary key. Where a clock was set back,
    the range has other events in it; then the time is compared too, in a form that keeps the index on it out of the
    plan (ordering by it would be slow).
    """
    if since is None and until is None:
        return events
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


# --- Pages ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    events: list[AuditEvent]
    """Newest first."""

    total: int
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


def page_of(events: Events, *, before: int | None = None, after: int | None = None) -> Page:
    """The page just before or just after a sequence number. Deep pages cost what the first one costs."""
    total = events.count()
    if after is not None:
        found = list(events.filter(sequence__gt=after).order_by("sequence")[: PAGE_SIZE + 1])
        if len(found) > PAGE_SIZE:
            rows = found[:PAGE_SIZE][::-1]
            return Page(rows, total, newer=rows[0].sequence, older=rows[-1].sequence)
        before = None  # the first page, filled up
    older = events if before is None else events.filter(sequence__lt=before)
    found = list(older.order_by("-sequence")[: PAGE_SIZE + 1])
    rows = found[:PAGE_SIZE]
    return Page(
        rows,
        total,
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
    yield write(COLUMNS)
    for event in events.order_by("sequence").iterator(chunk_size=2000):
        row = ledger.as_record(event) | {"hash": event.hash}
        yield write([guarded(row[column]) for column in COLUMNS])


def export_name(at: datetime | None = None) -> str:
    return f"countersign-history-{(at or timezone.now()).astimezone(UTC):%Y-%m-%d}.csv"
