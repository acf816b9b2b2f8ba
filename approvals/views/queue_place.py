"""Where in the review queue somebody is: what they see of it is in the address, and a form sent from there leads on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.core.paginator import Paginator
from django.http import HttpRequest, QueryDict
from django.urls import Resolver404, resolve
from django.utils import timezone

from accounts.models import User
from approvals.forms.inbox import InboxFilterForm
from approvals.models import PromotionRequest
from approvals.selectors import inbox, inbox_rows, queue_numbers
from approvals.selectors.queue_numbers import Numbers
from approvals.views.shared import SignedInRequest
from components import addresses

SHOWN = 15
"""Rows beside the request; the page of the list that has it."""

MOST_DONE = 9_999
NAMES = ("approvals:review_queue", "approvals:review_queue_request")


@dataclass(frozen=True, slots=True)
class Place:
    wanted: inbox.Wanted
    filters: InboxFilterForm = field(compare=False)
    done: int = 0
    """How many requests this person has decided since they began."""

    def address(self, pk: int | None = None) -> str:
        """Of this request in the queue; without a number, of the first one."""
        return self._at(
            addresses.reverse("approvals:review_queue_request", pk)
            if pk
            else addresses.reverse("approvals:review_queue")
        )

    def together(self) -> str:
        """Of the table of those that can be approved in one go."""
        return self._at(addresses.reverse("approvals:review_together"))

    def _at(self, path: str) -> str:
        query = {name: getattr(self.wanted, name) for name in self.wanted.__slots__}
        shown = urlencode({name: value for name, value in {**query, "done": self.done or ""}.items() if value})
        return f"{path}?{shown}" if shown else path

    def after_one_more(self) -> "Place":
        return replace(self, done=min(self.done + 1, MOST_DONE))

    def after_one_less(self) -> "Place":
        return replace(self, done=max(self.done - 1, 0))

    def numbers(self, user: User) -> Numbers:
        """Of the requests that wait for this person, in order."""
        return queue_numbers.of(user, self.wanted)


def of_query(query: Mapping[str, Any]) -> Place:
    filters = InboxFilterForm(query, tab="waiting")
    done = str(query.get("done", ""))[:6]
    return Place(filters.wanted, filters, min(int(done), MOST_DONE) if done.isascii() and done.isdigit() else 0)


def of_form(request: HttpRequest) -> Place | None:
    """The place in the queue that a form was sent from; None where it stood on another page. The form says so itself
    when a script sent it, since a proof of identity may come in between; else the browser does."""
    named = request.POST.get("queue") or request.headers.get("Referer", "")
    try:
        parts = urlsplit(named)
        is_place = resolve(parts.path).view_name in NAMES
    except (ValueError, Resolver404):
        return None
    if not is_place or parts.netloc not in ("", request.get_host()):
        return None
    return of_query(QueryDict(parts.query))


@dataclass(frozen=True, slots=True)
class Leaving:
    """What comes after one request, looked up before it is decided: then it is no longer in the list."""

    place: Place
    pk: int
    following: int | None

    @property
    def here(self) -> str:
        return self.place.address(self.pk)

    @property
    def on(self) -> str:
        """The address after a verdict."""
        return self.place.after_one_more().address(self.following)


def leaving(request: SignedInRequest, pk: int) -> Leaving | None:
    """None where the form does not stand in the queue. One query for the list, and those of the filters."""
    place = of_form(request)
    return Leaving(place, pk, neighbours(place.numbers(request.user).requests, pk)[1]) if place else None


def neighbours(numbers: list[int], pk: int) -> tuple[int | None, int | None]:
    """The request before this one and the one after it, round the end: what was skipped comes again."""
    if pk not in numbers:
        return None, numbers[0] if numbers else None
    index, others = numbers.index(pk), len(numbers) > 1
    return numbers[index - 1] if index else None, numbers[(index + 1) % len(numbers)] if others else None


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the list beside the request."""

    row: inbox_rows.Row
    address: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """What stands around the request."""

    place: Place
    lines: list[Line]
    number: int
    """Which one it is, counted from the first that this person decided; 0: it does not wait for them."""

    total: int
    left: int
    earlier: int
    """Rows of the list before those that are shown, and after them."""

    later: int
    previous: str
    following: str
    together: str
    """Addresses; "" where there is none, or nothing that can be approved together."""

    @property
    def filters(self) -> InboxFilterForm:
        return self.place.filters

    @property
    def done(self) -> int:
        return self.place.done

    @property
    def is_filtered(self) -> bool:
        return self.place.wanted.is_filtered


def around(user: User, place: Place, known: Numbers, pk: int | None) -> Queue:
    """The list round one request, which need not be in it. Seven queries, however long the list is."""
    numbers = known.requests
    index = numbers.index(pk) if pk in numbers else 0
    page = Paginator(numbers, SHOWN).get_page(index // SHOWN + 1)
    found = {each.pk: each for each in inbox.for_list(PromotionRequest.objects.filter(pk__in=page.object_list))}
    shown = [found[number] for number in page.object_list if number in found]
    rows = inbox_rows.rows(shown, user, now=timezone.now(), can_decide=True, tells_missing=False)
    before, after = neighbours(numbers, pk or 0)
    return Queue(
        place,
        [Line(row, place.address(row.request.pk), row.request.pk == pk) for row in rows],
        number=place.done + index + 1 if pk in numbers else 0,
        total=place.done + len(numbers),
        left=len(numbers),
        earlier=page.start_index() - 1 if numbers else 0,
        later=len(numbers) - page.end_index(),
        previous=place.address(before) if before else "",
        following=place.address(after) if after else "",
        together=place.together() if known.offers_together else "",
    )
