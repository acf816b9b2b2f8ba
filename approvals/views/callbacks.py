"""Where external checks post their answers, health reports go, and MLflow posts its events: no login and no form
token, but a signature."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from approvals.checks.external import MOST_BYTES
from approvals.webhooks import check_results, health_reports, mlflow_events
from approvals.webhooks.check_results import Verdict

STATUS = {
    Verdict.UNKNOWN: 404,
    Verdict.UNSIGNED: 401,
    Verdict.UNREADABLE: 400,
    Verdict.REFUSED: 409,
    Verdict.TAKEN: 200,
}

HEARD = {
    mlflow_events.Verdict.NOT_SET_UP: 501,
    mlflow_events.Verdict.UNSIGNED: 401,
    mlflow_events.Verdict.UNREADABLE: 400,
    mlflow_events.Verdict.TAKEN: 200,
}


@csrf_exempt
@login_not_required
@require_POST
def check(request: HttpRequest, token: str) -> JsonResponse:
    if len(request.body) > MOST_BYTES:
        return JsonResponse({"detail": "An answer has at most 64 KB."}, status=413)
    heard = check_results.answer(token, request.body, request.headers, now=timezone.now())
    return JsonResponse({"detail": heard.words}, status=STATUS[heard.verdict])


HEALTH_STATUS = {
    health_reports.Verdict.UNKNOWN: 404,
    health_reports.Verdict.UNSIGNED: 401,
    health_reports.Verdict.UNREADABLE: 400,
    health_reports.Verdict.REFUSED: 409,
    health_reports.Verdict.TOO_MANY: 429,
    health_reports.Verdict.TAKEN: 200,
}


@csrf_exempt
@login_not_required
@require_POST
def health(request: HttpRequest, token: str) -> JsonResponse:
    if len(request.body) > health_reports.MOST_BYTES:
        return JsonResponse({"detail": "A report has at most 16 KB."}, status=413)
    heard = health_reports.hear(token, request.body, request.headers, now=timezone.now())
    return JsonResponse({"detail": heard.words}, status=HEALTH_STATUS[heard.verdict])


@csrf_exempt
@login_not_required
@require_POST
def mlflow(request: HttpRequest) -> JsonResponse:
    if len(request.body) > mlflow_events.MOST_BYTES:
        return JsonResponse({"detail": "An event has at most 256 KB."}, status=413)
    heard = mlflow_events.hear(request.body, request.headers, now=timezone.now())
    return JsonResponse({"detail": heard.words}, status=HEARD[heard.verdict])
