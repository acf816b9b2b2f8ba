"""The short address that MLflow's refusal names: to the form with the right target, also of a version that is not
mirrored yet."""

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from approvals.models import Enforcement, Target
from approvals.selectors import eligibility, refused
from approvals.views.shared import SignedInRequest
from approvals.webhooks import mlflow_events
from mirror.models import ModelVersion

LONGEST_NAME, BIGGEST = 256, 2_147_483_647
MOST_LOOKS = 20
"""Looks that the page takes by script, one every three seconds."""


@require_safe
def ask(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """To the request that is open, or else to the form. 404 with a page that looks again while the version is not
    mirrored."""
    if len(name) > LONGEST_NAME or "\0" in name or not 0 < number <= BIGGEST:
        raise Http404("MLflow has no such names and numbers.")
    version = ModelVersion.objects.select_related("model").filter(model__name=name, number=number).first()
    if version is None:
        return _not_yet(request, name, number)
    target = _target(version)
    open_request = eligibility.open_request(version, target) if target else None
    if open_request:
        url = open_request.get_absolute_url()
    else:
        url = reverse("approvals:request_new", args=[name, number])
        url += f"?{urlencode({'target': target.name})}" if target else ""
    if request.headers.get("HX-Request"):  # the page below: the browser is to go there, not to put it into the page
        return HttpResponse(headers={"HX-Redirect": url})
    return redirect(url)


def _target(version: ModelVersion) -> Target | None:
    """What MLflow refused last, or else the last target that is enforced."""
    targets = {target.name: target for target in Target.objects.current()}
    for attempt in refused.unrequested(version.model.name, version.number):
        if attempt.target_name in targets:
            return targets[attempt.target_name]
    enforced = [each for each in targets.values() if each.enforcement == Enforcement.ENFORCE]
    return enforced[-1] if enforced else None


def _not_yet(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    looks = request.GET.get("looks", "")
    look = min(int(looks), MOST_LOOKS) if looks.isdecimal() and len(looks) < 5 else 0
    if look % 5 == 0:
        mlflow_events.read_anew(name)
    context = {
        "name": name,
        "number": number,
        "next_look": look + 1,
        "looks_again": look < MOST_LOOKS,
    }
    if request.headers.get("HX-Request"):
        return render(request, "approvals/requests/_not_mirrored.html", context)
    return render(request, "approvals/requests/not_mirrored.html", context, status=404)
