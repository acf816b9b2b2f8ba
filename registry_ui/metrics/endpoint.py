"""`/metrics` of the web process, for whoever has COUNTERSIGN_METRICS_TOKEN; no session serves."""

from collections.abc import Iterable, Sequence

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from registry_ui.metrics import database, processes
from registry_ui.metrics.tokens import may_read


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """404 where no token is set, 401 without it, and 503 when the database cannot be used, so that Prometheus' own `up`
    becomes 0."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not may_read(request.headers.get("Authorization", "")):
        headers = {"WWW-Authenticate": "Bearer"}
        return _said("Send COUNTERSIGN_METRICS_TOKEN as a bearer token.", 401, headers)
    try:
        found = [*database.kept.collect(), *processes.collect()]
    except DatabaseError as error:
        return _said(f"The database cannot be used: {type(error).__name__}.", 503)
    return HttpResponse(as_text(found), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def as_text(found: Iterable[Metric]) -> bytes:
    """In the format that every Prometheus reads."""
    return generate_latest(_Collected(list(found)))


class _Collected:
    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Sequence[Metric]:
        return self._found


def _said(words: str, status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(f"{words}\n", status=status, headers=headers, content_type="text/plain")
