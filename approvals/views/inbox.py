"""The inbox: tabs of requests, the person's own work first."""

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from approvals import comparison
from approvals import inbox as queries
from approvals.views.shared import SignedInRequest

PAGE_SIZE = 25


@require_safe
def inbox(request: SignedInRequest) -> HttpResponse:
    name = request.GET.get("tab", "waiting")
    if name not in queries.TABS:
        name = "waiting"
    page = Paginator(queries.tab(name, request.user).with_subject(), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = list(page.object_list)
    given = queries.approvals_given(rows)
    for row in rows:
        row.approvals_text = given[row.pk]
        champion = row.champion.metrics if row.champion else None
        row.headline = comparison.headline(comparison.metric_rows(row.version.metrics, champion)) if champion else None
    context = {"tab": name, "page": page, "rows": rows, "counts": queries.counts(request.user)}
    template = "approvals/_inbox_list.html" if request.htmx else "approvals/inbox.html"  # type: ignore[attr-defined]
    return render(request, template, context)
