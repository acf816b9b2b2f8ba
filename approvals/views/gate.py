"""Where the gate in the MLflow server fetches its policy: no login, no session, but a token."""

import hmac
from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from mlflow_gate import grants

from approvals.models import PolicyFeed

NOTED_EVERY = timedelta(seconds=15)
"""Each process of each MLflow asks twice a minute; that it does is written down so often at most."""


@login_not_required
@require_safe
def policy(request: HttpRequest) -> HttpResponse:
    """The signed policy as the worker stored it; 304 when MLflow has it, 404 while there is none."""
    if refused := refuse(request):
        return refused
    feed = PolicyFeed.objects.current()
    now = timezone.now()
    if feed.fetched_at is None or now - feed.fetched_at > NOTED_EVERY:
        late = Q(fetched_at=None) | Q(fetched_at__lt=now - NOTED_EVERY)
        PolicyFeed.objects.filter(late, pk=1).update(fetched_at=now)
    if not feed.text:
        return JsonResponse(
            {"detail": feed.problem or "The worker has not signed a policy yet; it needs COUNTERSIGN_GATE_KEY."},
            status=404,
        )
    tag = f'"{feed.signature}"'
    headers = {"ETag": tag, grants.SIGNATURE_HEADER: feed.signature}
    if tag in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(feed.text.encode(), content_type="application/json", headers=headers)


def refuse(request: HttpRequest) -> JsonResponse | None:
    """The answer to who does not show the token; None for who does."""
    if not settings.GATE_TOKEN:
        return JsonResponse(
            {"detail": "COUNTERSIGN_GATE_TOKEN is not set, so there is no policy to fetch."}, status=404
        )
    given = request.headers.get("Authorization", "").encode()
    if hmac.compare_digest(given, f"Bearer {settings.GATE_TOKEN}".encode()):
        return None
    return _said("Send COUNTERSIGN_GATE_TOKEN as a bearer token.", 401, {"WWW-Authenticate": "Bearer"})


def _said(detail: str, status: int, headers: Mapping[str, str] | None = None) -> JsonResponse:
    return JsonResponse({"detail": detail}, status=status, headers=dict(headers or {}))
