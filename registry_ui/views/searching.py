"""The search page, which goes straight to the one thing that was named exactly; and what the jump dialog lists."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from approvals import administration
from approvals.views.shared import SignedInRequest
from registry_ui.selectors.places import places
from registry_ui.selectors.search import find


@require_safe
def search(request: SignedInRequest) -> HttpResponse:
    q = request.GET.get("q", "").strip()
    found = find(q)
    if found.exact is not None:
        return redirect(found.exact)
    context = {
        "q": q,
        "found": found,
        "places": places(q, request.user),
        "may_read_history": administration.may(request.user, administration.HISTORY),
    }
    return render(request, "registry_ui/search.html", context)


@require_safe
def jump(request: SignedInRequest) -> HttpResponse:
    """The options of the jump dialog for what is typed there so far."""
    q = request.GET.get("q", "").strip()
    context = {"q": q, "found": find(q), "places": places(q, request.user)}
    return render(request, "registry_ui/_jump_options.html", context)
