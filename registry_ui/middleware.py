"""Response headers that no Django setting covers, and what happens to people who are signed out."""

from collections.abc import Callable
from typing import Any

from allauth.account.utils import get_next_redirect_url
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils import timezone

from accounts import attempts, devices, proxy, second_factor, sessions
from accounts.limits import LIMITER
from accounts.views import role_needed
from components import page_addresses, times, unsent
from registry_ui.log_filters import route_of
from registry_ui.views.failures import too_many_requests

PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"


PROOFS = frozenset({"account_reauthenticate", "mfa_reauthenticate", "mfa_reauthenticate_webauthn"})
"""Where a password, code or passkey is sent as proof of identity. The provider counts what is tried there."""


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


class ProxySignIn:
    """Signs in whom the proxy names (COUNTERSIGN_PROXY_AUTH_HEADER), and out whom it does not name any more."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view_func: Callable[..., Any], *_: Any) -> HttpResponse | None:
        if not settings.PROXY_AUTH.header:
            return None
        told = proxy.asserted(request)
        if told and request.method == "GET" and request.path == resolve_url("account_login"):
            return HttpResponseRedirect(get_next_redirect_url(request) or resolve_url("home"))  # no need to type
        if not getattr(view_func, "login_required", True):
            return None
        proxy.end_others(request, told)
        if told is None or request.user.is_authenticated:
            return None
        if (refused := proxy.sign_in(request, told)) is not None:
            return refused
        if request.method in ("GET", "HEAD"):
            return None
        # It was typed in another session, if not by another person.
        messages.info(request, "You were signed in again; nothing was recorded.")
        return HttpResponseRedirect(page_addresses.nearest(request.path))


class SignIn(LoginRequiredMiddleware):
    """Every page needs a sign-in. What a person sends after their session has ended is not lost, and no one lands on an
    address that only takes what a form sends."""

    def __call__(self, request: HttpRequest) -> Any:
        response = super().__call__(request)
        if attempts.was_last_proof(request) and request.user.is_authenticated:
            response = self._end(request)
        if isinstance(response, HttpResponse):
            unsent.remember_person(request, response)
            devices.remember(request, response)
            if getattr(request, "is_signed_out", False):
                # What was seen and half written here is for nobody who comes to this browser later.
                response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True):
            return None  # Django's asks for the session even here
        if request.user.is_authenticated:
            if reason := sessions.why_over(request):
                sessions.end(request, reason)
            else:
                sessions.touch(request)
        refused: HttpResponseBase | None = super().process_view(request, view_func, view_args, view_kwargs)
        if refused is not None:
            return refused
        if request.method == "POST":
            if wait := LIMITER.hit(f"person:{request.user.pk}", settings.CHANGES_PER_MINUTE):
                return too_many_requests(request, wait)
            if route_of(request) in PROOFS and not attempts.count_proof(request):
                return self._end(request)
            unsent.forget(request)
        elif "text/html" in request.headers.get("Accept", "") and not page_addresses.takes_get(view_func):
            return unsent.to_nearest_page(request)
        return None

    @staticmethod
    def _end(request: HttpRequest) -> HttpResponseRedirect:
        """Who finds a session open is not to try out passwords and codes in it."""
        sessions.end(request, "wrong proofs")
        messages.error(request, "You were signed out after too many wrong proofs. Nothing was changed.")
        return HttpResponseRedirect(resolve_url(settings.LOGIN_URL))

    def handle_no_permission(self, request: HttpRequest, view_func: Callable[..., Any]) -> HttpResponseRedirect:
        # Who names no page in particular comes to what is home for them, afterwards.
        if request.method == "GET" and request.get_full_path() == "/":
            return HttpResponseRedirect(resolve_url(settings.LOGIN_URL))
        if request.method != "POST":
            return super().handle_no_permission(request, view_func)
        return redirect_to_login(unsent.keep(request), settings.LOGIN_URL)


class RoleNeeded:
    """Whoever is signed in without a role reads nothing but the welcome and what is about themself; that holds for
    parts of pages and for what forms send, too. For tokens: `api.auth`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view_func: Callable[..., Any], *_: Any) -> HttpResponse | None:
        if not getattr(view_func, "login_required", True) or _is_about_themself(request):
            return None
        return None if request.user.has_role else role_needed(request)  # type: ignore[union-attr]


class FactorNeeded:
    """Whoever needs a second factor because of their role and came without one gets no further than to the pages that
    add it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view_func: Callable[..., Any], *_: Any) -> HttpResponse | None:
        route = request.resolver_match.route if request.resolver_match else ""
        is_for_anybody = not getattr(view_func, "login_required", True) and route != "accounts/logout/"
        if is_for_anybody or not second_factor.is_owed(request):
            return None
        request.user.is_held = True  # type: ignore[union-attr]
        if route.startswith(TO_ADD_A_FACTOR):
            return None
        messages.info(
            request,
            "Your role needs a second factor. Add an authenticator app or a security key (passkey) to continue.",
        )
        return HttpResponseRedirect(reverse("mfa_index"))


TO_ADD_A_FACTOR = ("accounts/2fa/", "accounts/reauthenticate/", "accounts/logout/")

ABOUT_THEMSELF = {
    "welcome",
    "preferences",
    "approvals:notification_choices",
    "approvals:tokens",
    "approvals:token_new",
    "approvals:token_revoke",
}
"""Besides what lies below /accounts/: password, second factor, address, sign-out."""


def _is_about_themself(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and (match.route.startswith("accounts/") or match.view_name in ABOUT_THEMSELF)


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
