"""The comparison page of a request, and the bytes of the figures and tables that it shows."""

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import condition, require_safe

from approvals import workflow
from approvals.models import PromotionRequest
from approvals.views import comparison_download, comparison_page, exhibits
from approvals.views.shared import SignedInRequest
from mirror.exhibits import image_type
from mirror.models import Exhibit


@require_safe
def compare(request: SignedInRequest, pk: int) -> HttpResponseBase:
    """Challenger against champion, whole."""
    found = get_object_or_404(PromotionRequest.objects.with_subject(), pk=pk)
    if request.method == "GET":
        workflow.mark_opened(found, by=request.user)
    sheet = comparison_page.of_request(found, comparison_page.wanted(request.GET))
    if comparison_download.is_asked(request):
        return comparison_download.answer(request, sheet, f"request {found.pk}")
    context = {"request_": found, "sheet": sheet, "crumb": f"Request #{found.pk}"}
    return render(request, "approvals/comparison/compare.html", context)


def _etag(request: HttpRequest, pk: int, filename: str) -> str | None:
    digest = Exhibit.objects.filter(pk=pk).values_list("sha256", flat=True).first()
    return f'"{digest}"' if digest else None


@require_safe
@condition(etag_func=_etag)
def exhibit(request: SignedInRequest, pk: int, filename: str) -> HttpResponse:
    """The bytes as the run logged them. They come from strangers, so the answer can do nothing by itself: an exact type
    that the bytes bear out, no guessing, no script, no origin; anything but the four kinds of images is a download."""
    found = get_object_or_404(Exhibit, pk=pk)
    content = bytes(found.content)
    is_image = found.media_type in exhibits.IMAGES and image_type(content) == found.media_type
    if filename != exhibits.filename_of(found) or not (is_image or found.kind == Exhibit.Kind.TABLE):
        raise Http404("There is no such figure or table.")
    # A table keeps no type that a browser would open by itself.
    answer = HttpResponse(content, content_type=found.media_type if is_image else "application/octet-stream")
    answer["Content-Disposition"] = f'{"inline" if is_image else "attachment"}; filename="{filename}"'
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer["X-Content-Type-Options"] = "nosniff"
    # The address carries the digest, so it never means other bytes.
    answer["Cache-Control"] = "private, max-age=31536000, immutable"
    return answer
