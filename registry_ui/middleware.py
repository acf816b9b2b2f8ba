"""Response headers that no Django setting covers, and what happens to people who are signed out."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils import timezone

from components import page_addresses, times, unsent

PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"


class ResponseHeaders:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if not request.path.startswith("/static/"):
            # Pages carry model evidence: no browser or proxy keeps them.
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class SignIn(LoginRequiredMiddleware):
    """Every page needs a sign-in. What a person sends after their session has ended is not lost, and no one lands on an
    address that only takes what a form sends."""

    def __call__(self, request: HttpRequest) -> Any:
        response = super().__call__(request)
        if isinstance(response, HttpResponse):
            unsent.remember_person(request, response)
        return response

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        refused: HttpResponseBase | None = super().process_view(request, view_func, view_args, view_kwargs)
        if refused is not None or not getattr(view_func, "login_required", True):
            return refused
        if request.method == "POST":
            unsent.forget(request)
        elif "text/html" in request.headers.get("Accept", "") and not page_addresses.takes_get(view_func):
            return unsent.to_nearest_page(request)
        return None

    def handle_no_permission(self, request: HttpRequest, view_func: Callable[..., Any]) -> HttpResponseRedirect:
        # Who names no page in particular comes to what is home for them, afterwards.
        if request.method == "GET" and request.get_full_path() == "/":
            return HttpResponseRedirect(resolve_url(settings.LOGIN_URL))
        if request.method != "POST":
            return super().handle_no_permission(request, view_func)
        return redirect_to_login(unsent.keep(request), settings.LOGIN_URL)


class ReaderZone:
    """Pages show times on the reader's own clock: the zone that the person chose, or else the browser's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(None):  # whatever is activated below ends with the answer
            return self.get_response(request)

    def process_view(self, request: HttpRequest, view_func: Callable[..., Any], *_: Any) -> None:
        # Where no one has to sign in, no one is asked for: health checks answer without the database.
        chosen = getattr(request.user, "time_zone", "") if getattr(view_func, "login_required", True) else ""
        zone = times.zone_named(chosen) or times.zone_named(request.COOKIES.get(times.COOKIE, ""))
        if zone is not None:
            timezone.activate(zone)
