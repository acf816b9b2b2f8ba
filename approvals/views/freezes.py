"""Freeze windows: what holds deliveries now and what will, and the administrators' forms."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from approvals import administration
from approvals.forms.freezes import FreezeForm
from approvals.models import FreezeWindow
from approvals.policy.freezes import zones
from approvals.selectors import freezes
from approvals.views.guard import needs
from approvals.views.shared import Attempt, SignedInRequest


@require_safe
def freeze_windows(request: SignedInRequest) -> HttpResponse:
    found = freezes.overview()
    context = {
        "chapters": [
            ("on", "On now", found.on),
            ("coming", "Coming", found.coming),
            ("weekly", "Every week", found.weekly),
            ("over", "Over", found.over),
            ("retired", "Retired", found.retired),
        ],
        "is_empty": not any([found.on, found.coming, found.weekly, found.over, found.retired]),
        "may_manage": administration.may(request.user, administration.POLICIES),
    }
    return render(request, "approvals/freezes/freezes.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.POLICIES)
def edit_freeze(request: SignedInRequest, pk: int | None = None) -> HttpResponse:
    freeze = get_object_or_404(FreezeWindow, pk=pk, retired_at=None) if pk is not None else FreezeWindow()
    name = freeze.name
    form = FreezeForm(request.POST or None, freeze=freeze, initial=FreezeForm.initial_of(freeze) if pk else None)
    attempt = Attempt(form)
    if request.method == "POST" and form.is_valid():
        with attempt:
            saved = administration.save_freeze(form.window(), by=request.user)
            messages.success(request, f"The freeze “{saved.name}” holds {saved.sentence}.")
            return redirect("approvals:freezes")
    context = {"form": form, "pk": pk, "name": name, "zones": sorted(zones())}
    return render(request, "approvals/freezes/form.html", context, status=attempt.status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.POLICIES)
def retire_freeze(request: SignedInRequest, pk: int) -> HttpResponse:
    freeze = get_object_or_404(FreezeWindow.objects.current(), pk=pk)
    if request.method == "POST":
        administration.retire_freeze(freeze, by=request.user)
        messages.success(request, f"The freeze “{freeze.name}” is retired.")
        return redirect("approvals:freezes")
    return render(request, "approvals/freezes/retire.html", {"freeze": freeze, "held": freezes.held_by(freeze)})
