"""The approval certificate: one printable page that says what was approved, by whom, over which evidence."""

import json

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from approvals import standing, workflow
from approvals.models import Action, Probation, PromotionRequest, Verdict
from approvals.views.shared import SignedInRequest

TOLD = (
    Action.REQUEST_CREATED,
    Action.REQUEST_CHECKED,
    Action.CHECK_OVERRIDDEN,
    Action.REVIEW_APPROVED,
    Action.REQUEST_APPROVED,
    Action.GLASS_BROKEN,
    Action.VERSION_PROMOTED,
    Action.REVIEWED_AFTERWARDS,
    Action.AFTERWARDS_OVERDUE,
    Action.PROBATION_STARTED,
    Action.PROBATION_ENDED,
)
CERTIFIED = (Action.REQUEST_APPROVED, Action.GLASS_BROKEN)


@require_safe
def certificate(request: SignedInRequest, pk: int) -> HttpResponse:
    """404 until all approvals are given, or the glass was broken: there is nothing to certify before."""
    found = get_object_or_404(PromotionRequest.objects.with_subject(), pk=pk)
    events = list(found.events.filter(action__in=TOLD).order_by("sequence"))
    approved = [event for event in events if event.action in CERTIFIED]
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
        "allowed_by": workflow.allowed_alone(found) if found.is_rollback and not now.approvals_given else [],
        "probation": Probation.objects.filter(request=found).first(),
        "files": files,
        "events": events,
        "promoted": next((event for event in reversed(events) if event.action == Action.VERSION_PROMOTED), None),
    }
    return render(request, "approvals/certificate.html", context)
