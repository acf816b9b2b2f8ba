"""The inbox: tabs of requests, the person's own work first."""

import hashlib
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet, Value
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from approvals import policy
from approvals.forms.inbox import InboxFilterForm
from approvals.models import Finding, PromotionRequest
from approvals.selectors import inbox as queries
from approvals.selectors import inbox_rows, reviewers
from approvals.views.lists import Nothing, Tab
from approvals.views.shared import SignedInRequest
from components import saved_views
from components.pagination import FromTheNearerEnd
from mirror import composed

PAGE_SIZE = 25
TABS = {
    "waiting": "Needs my review",
    "others": "Waiting on others",
    "mine": "My requests",
    "decided": "Closed",
    "glass": "Emergency",
}


@require_safe
def inbox(request: SignedInRequest) -> HttpResponse:
    """The page, or for HTMX the list alone; 204 when it still is what the browser shows (`seen`), so that nothing
    moves for nothing."""
    if not request.GET and (chosen := saved_views.default_of(request.user, "inbox")):
        return redirect(f"{request.path}?{chosen}")
    query = request.GET.copy()
    seen = query.pop("seen", [""])[-1]
    request.GET = query  # type: ignore[assignment]  # links of the list must not carry it on
    name = query.get("tab", "waiting")
    if name not in TABS:
        name = "waiting"
    filters = InboxFilterForm(query, tab=name)
    wanted = filters.wanted
    counts = queries.counts(request.user)
    page = _page(name, wanted, request.user, counts, query.get("page"))
    is_mine = name == "waiting"
    rows = inbox_rows.rows(
        list(page.object_list), request.user, now=timezone.now(), can_decide=is_mine, tells_missing=not is_mine
    )
    permission = policy.may_request(reviewers.actor_of(request.user))
    may_review = request.user.has_perm(reviewers.REVIEW)
    tabs = _tabs(name, counts, may_review=may_review)
    context = {
        "inbox_count": counts.waiting,  # for the top bar, which need not count again
        "to_review": counts.review,
        "queue_url": f"{reverse('approvals:review_queue')}{_kept(query) if is_mine else ''}",
        "findings_count": composed.sums(_findings, request.user.pk)[0],
        "tabs": tabs,
        "tab": next(each for each in tabs if each.is_open),
        "filters": filters,
        "is_filtered": wanted.is_filtered,
        "page": page,
        "rows": rows,
        "nothing": None
        if rows
        else NO_MATCH
        if wanted.is_filtered
        else _nothing(name, permission, may_review=may_review),
        "permission": permission,
        "is_swap": bool(request.htmx),  # type: ignore[attr-defined]
    }
    shown = render_to_string("approvals/requests/_inbox_rows.html", context, request)
    told = f"{shown}{tabs}".encode("utf-8", "surrogatepass")
    context |= {"shown": shown, "seen": hashlib.sha256(told).hexdigest()[:16]}
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, "approvals/requests/inbox.html", context)
    if seen == context["seen"]:
        return HttpResponse(status=204)
    return render(request, "approvals/requests/_inbox_list.html", context)


def _findings(owner: int) -> QuerySet[Any, Any]:
    return Finding.objects.open().filter(owner=owner).order_by().values(one=Value(1))


def _page(name: str, wanted: queries.Wanted, user: User, counts: queries.Counts, number: str | None) -> Page[Any]:
    known = None if wanted.is_filtered else counts.of(name)
    if number is None and known is not None and name in ("waiting", "others"):
        shown = queries.first_rows(name, user, wanted.sort, PAGE_SIZE)
        return Page(shown, 1, Paginator(range(known), PAGE_SIZE))
    found = queries.narrowed(queries.tab(name, user), wanted)
    numbers = queries.ordered(found, wanted.sort, name).values_list("pk", flat=True)
    paginator = FromTheNearerEnd(numbers, PAGE_SIZE)
    if known is not None:
        paginator.count = known  # a cached property: not counted again
    page: Page[Any] = paginator.get_page(number)
    page.object_list = queries.listed(page.object_list)
    return page


def _kept(query: QueryDict) -> str:
    """The filters and the order, for the queue."""
    shown = urlencode({name: query[name] for name in InboxFilterForm.base_fields if query.get(name)})
    return f"?{shown}" if shown else ""


def _tabs(shown: str, counts: queries.Counts, *, may_review: bool) -> list[Tab]:
    """The one of emergency promotions is there while it has rows, or while a person looks at it. To whom no review can
    come, only their own requests come back."""
    named = TABS if may_review else TABS | {"waiting": "Needs my action"}
    marked = {name for name in ("waiting", "glass") if counts.of(name) or name == "glass"}
    return [
        Tab(name, words, name == shown, counts.of(name), name in marked)
        for name, words in named.items()
        if name != "glass" or shown == "glass" or counts.glass
    ]


RECENT = ("See closed requests", "?tab=decided")
ASK = "Choose a version of a model, and request its promotion."
NO_MATCH = Nothing("filter", "No request matches.", "Remove a filter, or look in another tab.")


def _nothing(tab: str, permission: policy.Answer, *, may_review: bool) -> Nothing:
    """What the tab says while it has no rows."""
    models = f"{reverse('models')}{'?request=1' if permission else ''}"
    if not PromotionRequest.objects.exists():
        title = "No promotion has been requested yet."
        if permission:
            return Nothing("inbox", title, f"{ASK} Reviewers find the request here.", "Choose a model", models)
        return Nothing("inbox", title, "New requests appear here.", "Look at the models", models)
    match tab:
        case "waiting":
            if not may_review:
                return Nothing(
                    "inbox",
                    "Nothing needs your action.",
                    "Your requests appear here when they came back to you.",
                    *RECENT,
                )
            text = "Requests that you can decide, and your own that came back to you, appear here."
            return Nothing("inbox", "Nothing needs your review.", text, *RECENT)
        case "others":
            text = "Open requests that other people have to decide appear here."
            return Nothing("users", "Nothing is waiting on others.", text, *RECENT)
        case "glass":
            text = "Emergency promotions appear here until a reviewer has judged them."
            return Nothing("checks", "Every emergency promotion is reviewed.", text, *RECENT)
        case "mine" if permission:
            return Nothing("rocket", "You have not requested anything yet.", ASK, "Choose a model", models)
        case "mine":
            title = "You have not requested anything."
            return Nothing("rocket", title, permission.reason, "Look at the models", models)
    text = "Applied, rejected, withdrawn and expired requests appear here."
    return Nothing("checks", "No request is closed yet.", text, "See open requests", "?tab=others")
