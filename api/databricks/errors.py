"""What went wrong, as Databricks' clients read it: `error_code`, `message`, and the policy's reason in `details`, where
`error.get_error_info()` finds it."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts import security_log
from api import problems
from api.encoding import as_json
from api.problems import Problem

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"

STATE = frozenset(
    {
        "already_decided",
        "checks_failed",
        "checks_running",
        "evidence_changed",
        "expired",
        "not_open",
        "not_pending",
        "not_possible",
        "partly_delivered",
        "version_gone",
        "would_vacate",
    }
)
"""Codes of what is refused to everybody, because of how the request stands."""


def tell(request: HttpRequest, error: Exception) -> HttpResponse:
    """The answer to an error; always JSON."""
    problem = problems.of(error)
    security_log.note_denial(request, problem.code)
    status, code = _kind(problem, is_read=request.method == "GET")
    known = {"url": problem.more.get("url"), "request": problem.more.get("request")}
    metadata = {name: str(value) for name, value in known.items() if value}
    info = {
        "@type": ERROR_INFO,
        "reason": problem.code.upper(),
        "domain": urlsplit(settings.SITE_URL).hostname or "countersign",
        "metadata": metadata,
    }
    message = f"{problem.detail} See {metadata['url']}" if "url" in metadata else problem.detail
    body: dict[str, Any] = {"error_code": code, "message": message, "details": [info]}
    kept = problem.headers
    if status == 500:
        # Clients send again what says when, and this may have happened.
        kept = {name: value for name, value in kept.items() if name != "Retry-After"}
    return HttpResponse(as_json(body), status=status, content_type="application/json", headers=kept)


def _kind(problem: Problem, *, is_read: bool) -> tuple[int, str]:
    """Status and `error_code`, by which clients choose what they raise. 429 and 503 are sent again by them, so what may
    have changed something is never one of these."""
    match problem.status:
        case 403 | 422 if problem.code in STATE:
            return 400, "INVALID_STATE"
        case 403:
            return 403, "PERMISSION_DENIED"
        case 401:
            return 401, "UNAUTHENTICATED"
        case 404 if problem.code == "no_such_address":
            return 404, "ENDPOINT_NOT_FOUND"
        case 404:
            return 404, "RESOURCE_DOES_NOT_EXIST"
        case 409 if problem.code == "already_open":
            return 409, "RESOURCE_ALREADY_EXISTS"
        case 409:
            return 409, "ABORTED"
        case 422:
            return 400, "INVALID_PARAMETER_VALUE"
        case 429:
            return 429, "RESOURCE_EXHAUSTED"
        case 503 if is_read:
            return 503, "TEMPORARILY_UNAVAILABLE"
        case status if status >= 500:
            return 500, "INTERNAL_ERROR"
        case status:
            return status, "BAD_REQUEST"
