"""What people and programs get when the server fails: 503 with a pause while the database is away or busy, else 500."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views import defaults

RETRY_AFTER_SECONDS = 10
AWAY = "The database does not answer. Nothing that was sent is lost halfway: it was recorded in full, or not at all."


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. It is called while the exception is handled, wherever it came from: view, middleware or
    template; so it looks there. Asks neither database nor session."""
    error = sys.exc_info()[1]
    if not is_away(error):
        return defaults.server_error(request)
    answer: HttpResponse
    if _wants_json(request):
        answer = JsonResponse({"error": AWAY}, status=503)
    else:
        answer = HttpResponse(render_to_string("503.html", {"sentence": AWAY}), status=503)
    answer["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def is_away(error: BaseException | None) -> bool:
    """Whether the database cannot be reached or is busy, so that trying again can help. SQLite reports a table that is
    missing in the same way."""
    if isinstance(error, InterfaceError):
        return True
    return isinstance(error, OperationalError) and not str(error).startswith("no such")


def _wants_json(request: HttpRequest) -> bool:
    accepted = request.headers.get("Accept", "")
    is_program = request.path.endswith((".json", ".jsonl")) or request.path.startswith("/callbacks/")
    return is_program or ("json" in accepted and "text/html" not in accepted)
