"""What people and programs get when the server fails: 503 with a pause while the database is away or busy, else 500."""

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views import csrf, defaults

from accounts import security_log
from accounts.security_log import Event
from components.database_away import RETRY_AFTER_SECONDS, SENTENCE, is_away
from registry_ui.log_filters import route_of


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. It is called while the exception is handled, wherever it came from: view, middleware or
    template; so it looks there. Asks neither database nor session."""
    error = sys.exc_info()[1]
    if not is_away(error):
        return defaults.server_error(request)
    answer: HttpResponse
    if _wants_json(request):
        answer = JsonResponse({"error": SENTENCE}, status=503)
    else:
        answer = HttpResponse(render_to_string("503.html", {"sentence": SENTENCE}), status=503)
    answer["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def too_many_requests(request: HttpRequest, seconds: int = 60) -> HttpResponse:
    """To who asks too often. Asks neither database nor session, so a flood costs little."""
    if route_of(request) == "mfa_login_webauthn":
        security_log.record(Event.SIGNIN_LIMITED, request, method="passkey")
    answer: HttpResponse
    if _wants_json(request):
        answer = JsonResponse({"error": f"Too many requests. Try again in {seconds} seconds."}, status=429)
    else:
        answer = HttpResponse(render_to_string("429.html", {"seconds": seconds}), status=429)
    answer["Retry-After"] = str(seconds)
    return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's page, with the reason in the security log, where its own line would have the path."""
    security_log.note_denial(request, f"form token: {reason}")
    return csrf.csrf_failure(request, reason)


def _wants_json(request: HttpRequest) -> bool:
    accepted = request.headers.get("Accept", "")
    is_program = request.path.endswith((".json", ".jsonl")) or request.path.startswith(("/callbacks/", "/api/"))
    return is_program or ("json" in accepted and "text/html" not in accepted)
