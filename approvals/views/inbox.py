"""The inbox: tabs of requests, the person's own work first."""

import hashlib
from collections.abc import Mapping

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from approvals import policy
from approvals.models import Finding, PromotionRequest
from approvals.selectors import inbox as queries
from approvals.selectors import reviewers
from approvals.views.lists import Nothing, Tab
from approvals.views.shared import SignedInRequest

PAGE_SIZE = 25
TABS = {
    "waiting": "Waits for me",
    "others": "Waits for others",
    "mine": "Mine",
    "decided": "Decided",
    "glass": "Break-glass",
}


@require_safe
def inbox(request: SignedInRequest) -> HttpResponse:
    """The page, or for HTMX the list alone; 204 when it still is what the browser shows (`seen`), so that nothing
    moves for nothing."""
    query = request.GET.copy()
    seen = query.pop("seen", [""])[-1]
    request.GET = query  # type: ignore[assignment]  # links of the list must not carry it on
    name = query.get("tab", "waiting")
    if name not in TABS:
        name = "waiting"
    found = queries.for_list(queries.tab(name, request.user))
    page = Paginator(found, PAGE_SIZE).get_page(query.get("page"))
    counts = queries.counts(request.user)
    rows = queries.rows(list(page.object_list), request.user, now=timezone.now(), tells_missing=name != "waiting")
    permission = policy.may_request(reviewers.actor_of(request.user))
    tabs = _tabs(name, counts)
    context = {
        "inbox_count": counts["waiting"],  # for the top bar, which need not count again
        "findings_count": Finding.objects.open().filter(owner=request.user).count(),
        "tabs": tabs,
        "tab": next(each for each in tabs if each.is_open),
        "page": page,
        "rows": rows,
        "nothing": None if rows else _nothing(name, permission),
        "permission": permission,
    }
    shown = render_to_string("approvals/requests/_inbox_rows.html", context, request)
    now = hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, "approvals/requests/inbox.html", context | {"shown": shown, "seen": now})
    if seen == now:
        return HttpResponse(status=204)
    return render(request, "approvals/requests/_inbox_list.html", {"shown": shown, "seen": now})


def _tabs(shown: str, counts: Mapping[str, int]) -> list[Tab]:
    """The one of break-glass is there while it has rows, or while somebody looks at it."""
    marked = {name for name in ("waiting", "glass") if counts[name] or name == "glass"}
    return [
        Tab(name, words, name == shown, counts.get(name), name in marked)
        for name, words in TABS.items()
        if name != "glass" or shown == "glass" or counts["glass"]
    ]


RECENT = ("See recent decisions", "?tab=decided")
ASK = "Choose a model and one of its versions, and ask for it to reach a target."


def _nothing(tab: str, permission: policy.Answer) -> Nothing:
    """What the tab says while it has no rows."""
    models = reverse("models")
    if not PromotionRequest.objects.exists():
        title = "Nobody has asked for a promotion yet."
        if permission:
            return Nothing("inbox", title, f"{ASK} Reviewers find the request here.", "Choose a model", models)
        return Nothing("inbox", title, "When somebody does, the request appears here.", "Look at the models", models)
    match tab:
        case "waiting":
            text = "What you can decide, and what comes back to you, appears here."
            return Nothing("inbox", "Nothing waits for you.", text, *RECENT)
        case "others":
            text = "Open requests that somebody else has to decide appear here."
            return Nothing("users", "Nothing waits for others.", text, *RECENT)
        case "glass":
            text = (
                "When somebody promotes in an emergency, it appears here until a reviewer has said whether it "
                "was justified."
            )
            return Nothing("checks", "No break-glass promotion waits for its review.", text, *RECENT)
        case "mine" if permission:
            return Nothing("rocket", "You have not asked for anything yet.", ASK, "Choose a model", models)
        case "mine":
            title = "You have not asked for anything."
            return Nothing("rocket", title, permission.reason, "Look at the models", models)
    text = "Requests that were applied, rejected, withdrawn or have expired appear here."
    return Nothing("checks", "Nothing has been decided yet.", text, "See what is open", "?tab=others")
