"""One line for each request, in place of an access log: the page by its route, the person by their number. No path,
which may be a key to set a password, and no query, which may be a code of single sign-on."""

import time
import uuid
from collections.abc import Callable

import structlog
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bound_contextvars

from accounts import security_log
from accounts.security_log import Event
from registry_ui.log_filters import route_of

logger = structlog.get_logger("request")

QUIET = frozenset({"healthz", "readyz"})
"""Asked every few seconds; only what is wrong there is worth a line."""


class RequestLog:
    """The outermost. All lines of a request have its `correlation_id`, those that name one of their own excepted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.monotonic()
        with bound_contextvars(correlation_id=str(uuid.uuid4())):
            response = self.get_response(request)
            self._tell(request, response.status_code, time.monotonic() - began)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if isinstance(exception, PermissionDenied):
            security_log.note_denial(request, str(exception))

    def _tell(self, request: HttpRequest, status: int, seconds: float) -> None:
        route = route_of(request)
        if status == 403:
            security_log.record(Event.DENIED, request, route=route, rule=security_log.denial_of(request))
        if status < 400 and (route in QUIET or not route):
            return  # a style sheet, a picture or a script
        told = {"route": route, "method": request.method, "status": status, "ms": round(seconds * 1000)}
        logger.info("request", **told, person=security_log.number_of(request))
