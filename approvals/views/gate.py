"""Where the gate in the MLflow server fetches its policy and reports what it refused: no login, no session, but a
token."""

import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe
from mlflow_gate import grants

from accounts import security_log
from accounts.security_log import Event
from approvals.enforcement import openings as opened
from approvals.enforcement import refusals as reported
from approvals.models import PolicyFeed
from approvals.webhooks.reply import Reply, Verdict

NOTED_EVERY = timedelta(seconds=15)
"""Each process of each MLflow asks every ten seconds; that it does is written down so often at most."""


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
    if problem := feed.why_none:
        return JsonResponse({"detail": problem}, status=404)
    headers = {"ETag": feed.tag, grants.SIGNATURE_HEADER: feed.signature}
    if feed.tag in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(feed.text.encode(), content_type="application/json", headers=headers)


@csrf_exempt
@login_not_required
@require_POST
def refusals(request: HttpRequest) -> HttpResponse:
    """Takes what MLflow refused: 204 when all of it is recorded."""
    return _received(request, reported.receive, reported.MOST_BYTES)


@csrf_exempt
@login_not_required
@require_POST
def openings(request: HttpRequest) -> HttpResponse:
    """Takes that MLflow's operator opened the gate: 204 when it is an incident."""
    return _received(request, opened.receive, opened.MOST_BYTES)


def _received(request: HttpRequest, handle: Callable[..., Reply], most_bytes: int) -> HttpResponse:
    if refused := refuse(request):
        return refused
    if int(request.headers.get("Content-Length") or 0) > most_bytes or len(request.body) > most_bytes:
        reply = Reply(Verdict.TOO_LARGE, f"At most {most_bytes // 1024} KB are taken at once.")
    else:
        reply = handle(request.body, now=timezone.now())
    return HttpResponse(status=204) if reply.verdict == Verdict.TAKEN else _said(reply.words, reply.verdict)


def refuse(request: HttpRequest) -> JsonResponse | None:
    """The answer to who does not show the token; None for who does."""
    if not settings.GATE_TOKEN:
        return JsonResponse(
            {"detail": "COUNTERSIGN_GATE_TOKEN is not set, so there is no policy to fetch."}, status=404
        )
    given = request.headers.get("Authorization", "").encode()
    if hmac.compare_digest(given, f"Bearer {settings.GATE_TOKEN}".encode()):
        return None
    route = request.resolver_match.view_name if request.resolver_match else ""
    security_log.record(Event.CALLBACK_REFUSED, request, route=route, reason=Verdict.UNSIGNED.name.lower())
    return _said("Send COUNTERSIGN_GATE_TOKEN as a bearer token.", 401, {"WWW-Authenticate": "Bearer"})


def _said(detail: str, status: int, headers: Mapping[str, str] | None = None) -> JsonResponse:
    return JsonResponse({"detail": detail}, status=status, headers=dict(headers or {}))
