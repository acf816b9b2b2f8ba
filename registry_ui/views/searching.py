"""The search page; goes straight to the one thing that was named exactly."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from approvals import administration
from approvals.views.shared import SignedInRequest
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
        "may_read_history": administration.may(request.user, administration.HISTORY),
    }
    return render(request, "registry_ui/search.html", context)
