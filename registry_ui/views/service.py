"""The state of the system, and a person's own preferences."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accounts import roles
from approvals.policy.freezes import zones
from approvals.views.shared import SignedInRequest
from registry_ui import preferences as choices
from registry_ui import system as state


@require_safe
def system(request: SignedInRequest) -> HttpResponse:
    parts = state.parts()
    context = {"parts": parts, "bad": [part.name for part in parts if part.state == state.BAD]}
    return render(request, "registry_ui/system.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: SignedInRequest) -> HttpResponse:
    theme = request.COOKIES.get("theme", "")
    now = {
        "theme": theme if theme in choices.THEMES else "system",
        "uses_shortcuts": request.user.uses_shortcuts,
        "time_zone": request.user.time_zone,
    }
    form = choices.PreferencesForm(request.POST or None, initial=now)
    if request.method == "POST" and form.is_valid():
        messages.success(request, "Your preferences are saved.")
        response = redirect("preferences")
        choices.remember(request.user, response, **form.cleaned_data)
        return response
    names = request.user.groups.order_by("name").values_list("name", flat=True)
    context = {
        "form": form,
        "zones": sorted(zones()),
        "groups": [(name, roles.DESCRIPTIONS.get(name, "")) for name in names],
    }
    return render(request, "registry_ui/preferences.html", context, status=422 if form.errors else 200)
