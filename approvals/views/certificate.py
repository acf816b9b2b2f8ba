"""The approval certificate: one printable page that says what was approved, by whom, over which evidence."""

import json

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from approvals import standing
from approvals.models import Action, PromotionRequest, Verdict
from approvals.views.shared import SignedInRequest

TOLD = (
    Action.REQUEST_CREATED,
    Action.REQUEST_CHECKED,
    Action.CHECK_OVERRIDDEN,
    Action.REVIEW_APPROVED,
    Action.REQUEST_APPROVED,
    Action.VERSION_PROMOTED,
)


@require_safe
def certificate(request: SignedInRequest, pk: int) -> HttpResponse:
    """404 until all approvals are given: there is nothing to certify before."""
    found = get_object_or_404(PromotionRequest.objects.with_subject(), pk=pk)
    events = list(found.events.filter(action__in=TOLD).order_by("sequence"))
    approved = [event for event in events if event.action == Action.REQUEST_APPROVED]
    if not approved or found.decided_at is None or found.status == "rejected":
        raise Http404("There is a certificate once all approvals are given.")
    now = standing.of(found)
    files = json.loads(found.evidence)["version"].get("files") or {}
    context = {
        "request_": found,
        "rule": now.rule,
        "signatures": [
            review for review in now.reviews if review.voided_at is None and review.verdict == Verdict.APPROVE
        ],
        "checks": now.checks,
        "files": files,
        "events": events,
        "promoted": next((event for event in reversed(events) if event.action == Action.VERSION_PROMOTED), None),
    }
    return render(request, "approvals/certificate.html", context)
