"""The approval certificate: one printable page that says what was approved, by whom, over which evidence."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from approvals.audit import certificates
from approvals.models import PromotionRequest
from approvals.views.shared import SignedInRequest
from components.times import in_utc


@require_safe
@in_utc
def certificate(request: SignedInRequest, pk: int) -> HttpResponse:
    """404 until all approvals are given, or it is an emergency promotion: there is nothing to certify before."""
    found = certificates.of(get_object_or_404(PromotionRequest.objects.with_subject(), pk=pk))
    if found is None:
        raise Http404(certificates.NONE_YET)
    return render(request, "approvals/audit/certificate.html", {"certificate": found})
