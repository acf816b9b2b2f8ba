"""What stands around every operation: how much may be sent, which methods there are, the tag of an answer, and that
nothing below `/api/` is answered by a page."""

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseNotModified
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.vary import vary_on_headers

from api import idempotency, problems
from api.encoding import tag_of
from api.problems import NotFound, Problem

MOST_BYTES = 1024 * 1024
View = Callable[..., HttpResponse]


def framed(view: View, tell: problems.Tell = problems.tell) -> View:
    """No session, no form's token, no redirect to a sign-in: what asks here has a token of its own. `tell` answers what
    goes wrong."""

    @wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        is_head = request.method == "HEAD"
        if is_head:
            request.method = "GET"
        try:
            _refuse_what_is_too_much(request)
            response = view(request, *args, **kwargs)
        except Exception as error:  # whatever it is: no page is sent from here
            response = tell(request, error)
        if isinstance(response, HttpResponseNotAllowed):
            response = tell(request, _not_allowed(request, response["Allow"]))
        idempotency.finish(request, response)
        if getattr(request, "is_replayed", False):
            response[idempotency.REPLAYED] = "true"
        response = _tagged(request, response)
        if is_head:
            response["Content-Length"] = str(len(response.content))
            response.content = b""
        return response

    return csrf_exempt(login_not_required(vary_on_headers("Authorization")(run)))


def patterns(found: Iterable[Any], tell: problems.Tell = problems.tell) -> list[URLPattern]:
    """Each pattern framed, with and without a slash at its end (without a redirect, which would lose a body), and one
    for all that there is not. Names may hold a slash, so the ones that end in more words come first."""
    framed_ones: list[URLPattern] = []
    for each in found:
        route, view = str(each.pattern), framed(each.callback, tell)
        if route:
            framed_ones.append(path(f"{route}/", view))
        framed_ones.append(path(route, view, name=each.name))
    return [*framed_ones, path("<path:rest>", framed(refuse, tell))]


def refuse(request: HttpRequest, rest: str = "") -> HttpResponse:
    """What there is not. Raises NotFound."""
    raise NotFound("no_such_address", "The API has nothing at this address. See /api/v1/openapi.json.")


nothing = framed(refuse)


def _refuse_what_is_too_much(request: HttpRequest) -> None:
    length = request.headers.get("Content-Length") or "0"
    if not length.isdecimal() or len(length) > 9 or int(length) > MOST_BYTES:  # Python reads no number of any length
        raise Problem(413, "too_large", f"At most {MOST_BYTES // 1024} kB are taken at once.")
    if "\x00" in request.path:
        raise NotFound("not_found", "There is nothing at this address.")
    for name, values in request.GET.lists():
        if any("\x00" in value for value in values):
            detail = "A text with a NUL in it."
            raise Problem(422, "invalid", detail, errors=[{"pointer": f"/query/{name}", "detail": detail}])


def _not_allowed(request: HttpRequest, allowed: str) -> Problem:
    words = sorted({*re.split(r"[,\s]+", allowed)} - {""})
    detail = f"{request.method} is not possible here. Use {' or '.join(words)}."
    return Problem(405, "method_not_allowed", detail, headers={"Allow": ", ".join(words)})


def _tagged(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """304 where the client has what it would be sent."""
    if request.method != "GET" or response.status_code != 200:
        return response
    tag = response.headers.get("ETag") or getattr(request, "tag", "") or tag_of(response.content)
    response["ETag"] = tag
    known = {each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")}
    if tag.removeprefix("W/") not in known and known != {"*"}:
        return response
    kept = {name: value for name, value in response.headers.items() if name in ("ETag", "Link", "Retry-After")}
    return HttpResponseNotModified(headers=kept)
