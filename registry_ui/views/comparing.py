"""Any two versions of one model side by side, as the mirror has them now."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from approvals.views import comparison_page
from approvals.views.evidence_tables import Shown
from approvals.views.shared import SignedInRequest
from mirror.models import ModelVersion, RegisteredModel
from registry_ui.selectors import catalogue

OFFERED = 200
"""So many of the newest versions can be picked from the lists; any other by its number in the address."""


@require_safe
def compare(request: SignedInRequest, name: str) -> HttpResponse:
    """`?a=3&b=7`: how 7 differs from 3. Without numbers, the newest version and the one before it."""
    model = get_object_or_404(RegisteredModel, name=name)
    numbers = list(catalogue.versions(model).values_list("number", flat=True)[:OFFERED])
    b = _number(request.GET.get("b")) or next(iter(numbers), None)
    a = _number(request.GET.get("a")) or next((number for number in numbers if number != b), b)
    found = {row.number: row for row in ModelVersion.objects.filter(model=model, number__in=[a, b])}
    missing = [number for number in (a, b) if number not in found]
    if missing or a is None or b is None:
        raise Http404(f"{model.name} has no version {missing[0]}." if missing[0] else f"{model.name} has no versions.")
    for row in found.values():
        row.model = model
    shown = Shown(request.GET.get("show", ""), request.GET.get("page"))
    context = {
        "model": model,
        "a": a,
        "b": b,
        "numbers": sorted({*numbers, a, b}, reverse=True),
        "sheet": comparison_page.of_versions(found[b], found[a], shown),
    }
    return render(request, "registry_ui/compare.html", context)


def _number(text: str | None) -> int | None:
    """What stands in the address, if a version can have that number."""
    if text and text.isascii() and text.isdigit() and 0 < int(text[:10]) < 2**31:
        return int(text[:10])
    return None
