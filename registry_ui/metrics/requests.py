"""Times every answer of the web process."""

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from mirror import tracing
from registry_ui.metrics import processes


class Measured:
    """The outermost middleware: what Django makes of an error is an answer here, as what a file of ours is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        with tracing.span(request.method or "") as span:
            response = self.get_response(request)
            if span is not None:
                span.update_name(f"{request.method} {route_of(request)}")
                span.set_attribute("http.response.status_code", response.status_code)
        processes.answered(route_of(request), request.method or "", response.status_code, time.perf_counter() - started)
        return response


def route_of(request: HttpRequest) -> str:
    """The name of the URL, `approvals:request`; addresses have names of models in them, and no end."""
    match = request.resolver_match
    if match is not None:
        return match.view_name or "unnamed"
    return "static" if request.path_info.startswith(settings.STATIC_URL) else "none"
