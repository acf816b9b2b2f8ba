"""Where external checks post their answers, health reports go, and MLflow posts its events: no login and no form
token, but a signature."""

from collections.abc import Callable

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts import security_log
from accounts.security_log import Event
from approvals.checks import external
from approvals.webhooks import check_results, health_reports, mlflow_events
from approvals.webhooks.reply import Reply, Verdict


def receives(handle: Callable[..., Reply], name: str, most_bytes: int) -> Callable[..., JsonResponse]:
    """The view of one callback; `handle` takes what the address names, body and headers, and the time. `name` is what
    the sender calls what is posted."""

    @csrf_exempt
    @login_not_required
    @require_POST
    def receive(request: HttpRequest, **named: str) -> JsonResponse:
        route = request.resolver_match.view_name if request.resolver_match else ""
        if len(request.body) > most_bytes:
            reply = Reply(Verdict.TOO_LARGE, f"{name} has at most {most_bytes // 1024} KB.")
        else:
            reply = handle(**named, body=request.body, headers=request.headers, now=timezone.now())
        if reply.verdict >= Verdict.UNREADABLE:
            security_log.record(Event.CALLBACK_REFUSED, request, route=route, reason=reply.verdict.name.lower())
        return JsonResponse({"detail": reply.words}, status=reply.verdict)

    return receive


check = receives(check_results.receive, "An answer", external.MOST_BYTES)
health = receives(health_reports.receive, "A report", health_reports.MOST_BYTES)
mlflow = receives(mlflow_events.receive, "An event", mlflow_events.MOST_BYTES)
