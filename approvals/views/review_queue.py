"""The review queue: what needs this person's review, one request after the other without a page between them."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from approvals.models import PromotionRequest
from approvals.selectors import inbox, request_state, undoing
from approvals.selectors.queue_numbers import Numbers
from approvals.views import given, queue_place, request_page
from approvals.views.queue_place import Place
from approvals.views.shared import SignedInRequest
from components import saved_views


@require_safe
def first(request: SignedInRequest) -> HttpResponse:
    """The first request of the list, or that there is none."""
    if not request.GET and (chosen := saved_views.default_of(request.user, "queue")):
        return redirect(f"{request.path}?{chosen}")
    place = queue_place.of_query(request.GET)
    numbers = place.numbers(request.user)
    if numbers.requests:
        return show(request, request_page.get_request(numbers.requests[0]), place, numbers=numbers)
    around = queue_place.around(request.user, place, numbers, None)
    return _answer(request, {"queue": around, "last": _last(request)}, place.address(), 200)


@require_safe
def one(request: SignedInRequest, pk: int) -> HttpResponse:
    return show(request, request_page.get_request(pk), queue_place.of_query(request.GET))


@require_POST
def opened(request: SignedInRequest, pk: int) -> HttpResponse:
    """Notes that a request which was fetched ahead is on the screen now."""
    found = request_page.get_request(pk)
    request_page.mark_seen(request, request_state.of(found, request.user))
    return HttpResponse(status=204)


def page(request: SignedInRequest, found: PromotionRequest, **shown: Any) -> HttpResponse:
    """The request where the form stood that was sent: in the queue, or on a page of its own. `shown` is as for
    `request_page.page`."""
    place = queue_place.of_form(request)
    return show(request, found, place, **shown) if place else request_page.page(request, found, **shown)


def back(request: SignedInRequest, found: PromotionRequest, *, part: str = "", is_undone: bool = False) -> HttpResponse:
    """Leads back to it after something was done there, to this part of the page; an undone verdict counts no more."""
    place = queue_place.of_form(request)
    if place is None:
        return redirect(f"{found.get_absolute_url()}{part}")
    return redirect((place.after_one_less() if is_undone else place).address(found.pk))


def show(
    request: SignedInRequest,
    found: PromotionRequest,
    place: Place,
    *,
    numbers: Numbers | None = None,
    bound: Mapping[str, Any] | None = None,
    status: int = 200,
    conflict: str = "",
) -> HttpResponse:
    """The request within the queue; `bound` and `conflict` as on its own page."""
    now = request_state.of(found, request.user)
    is_ahead = request.headers.get("HX-Preloaded") == "true"
    if request.method == "GET" and not is_ahead:
        request_page.mark_seen(request, now)
    numbers = place.numbers(request.user) if numbers is None else numbers
    context = request_page.body(request, now, conflict=conflict) | dict(bound or {})
    context["queue"] = queue_place.around(request.user, place, numbers, found.pk)
    context["is_ahead"] = is_ahead
    if not place.wanted.is_filtered:  # for the top bar, which need not look at all of them again
        context["inbox_count"] = len(numbers.requests) + inbox.came_back_count(request.user)
    context["last"] = _last(request, now) if status == 200 else None
    return _answer(request, context, place.address(found.pk) if status == 200 else "", status)


def _last(request: SignedInRequest, now: request_state.RequestState | None = None) -> given.Given | None:
    """The verdict on another request that this person has just given and can undo. One query without one."""
    found = undoing.newest_of(request.user)
    if found is None or (now and found.request.pk == now.request.pk):
        return None
    return given.Given(found, given.words(found, request_state.of(found.request, before=now)))


def _answer(request: SignedInRequest, context: dict[str, Any], address: str, status: int) -> HttpResponse:
    """The page, or for HTMX what is in it; a step back in the browser gets the page again."""
    htmx = request.htmx  # type: ignore[attr-defined]
    is_part = bool(htmx) and not htmx.history_restore_request
    name = "_queue_part" if is_part else "queue"
    answer = render(request, f"approvals/queue/{name}.html", context | {"is_part": is_part}, status=status)
    if is_part and address:
        answer["HX-Push-Url"] = address
    return answer
