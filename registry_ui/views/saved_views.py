"""Keeps a person's views of the pages with lists, and leads back to the page."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from approvals.views.shared import SignedInRequest
from components import saved_views as kept


@require_POST
def saved_views(request: SignedInRequest, page: str) -> HttpResponse:
    """`do` is one of save, default, no-default and delete; `query` is what the page shows now."""
    if page not in kept.PAGES:
        raise Http404
    name, query = request.POST.get("name", "").replace("\x00", ""), kept.query_of(request.POST.get("query", ""))
    try:
        match request.POST.get("do"):
            case "save":
                view = kept.save(request.user, page, name=name, query=query)
                messages.success(request, f"The view {view.name} is saved.")
            case "default":
                kept.make_default(request.user, page, name=name)
                messages.success(request, f"The page opens with {name}.")
            case "no-default":
                kept.make_default(request.user, page, name="")
                messages.success(request, "The page opens without filters.")
            case "delete":
                kept.forget(request.user, page, name=name)
                messages.success(request, f"The view {name} is deleted.")
    except kept.Refused as refusal:
        messages.error(request, str(refusal))
    return redirect(f"{reverse(kept.PAGES[page])}?{query or kept.EVERYTHING}")
