"""The inbox: tabs of requests, the person's own work first."""

import hashlib

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from approvals import policy
from approvals.models import Finding, PromotionRequest
from approvals.selectors import inbox as queries
from approvals.selectors import reviewers
from approvals.views.shared import SignedInRequest

PAGE_SIZE = 25
TABS = {"waiting": "Waits for me", "others": "Waits for others", "mine": "Mine", "decided": "Decided"}
GLASS = {"glass": "Break-glass"}
"""A tab that is there while it has rows, or while somebody looks at it."""


@require_safe
def inbox(request: SignedInRequest) -> HttpResponse:
    """The page, or for HTMX the list alone; 204 when it still is what the browser shows (`seen`), so that nothing
    moves for nothing."""
    query = request.GET.copy()
    seen = query.pop("seen", [""])[-1]
    request.GET = query  # type: ignore[assignment]  # links of the list must not carry it on
    name = query.get("tab", "waiting")
    if name not in TABS | GLASS:
        name = "waiting"
    found = queries.for_list(queries.tab(name, request.user))
    page = Paginator(found, PAGE_SIZE).get_page(query.get("page"))
    counts = queries.counts(request.user)
    context = {
        "inbox_count": counts["waiting"],  # for the top bar, which need not count again
        "findings_count": Finding.objects.open().filter(owner=request.user).count(),
        "tab": name,
        "tabs": TABS | GLASS if name in GLASS or counts["glass"] else TABS,
        "page": page,
        "rows": queries.rows(list(page.object_list), request.user, now=timezone.now()),
        "counts": counts,
        "permission": policy.may_request(reviewers.actor_of(request.user)),
        "is_first_run": not page.paginator.count and not PromotionRequest.objects.exists(),
    }
    shown = render_to_string("approvals/requests/_inbox_rows.html", context, request)
    now = hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, "approvals/requests/inbox.html", context | {"shown": shown, "seen": now})
    if seen == now:
        return HttpResponse(status=204)
    return render(request, "approvals/requests/_inbox_list.html", {"shown": shown, "seen": now})
