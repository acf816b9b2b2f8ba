"""The findings that approvals carried: what is open, whose it is, what is overdue; and closing one."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from approvals import policy, workflow
from approvals.forms.findings import CloseFindingForm
from approvals.models import Finding
from approvals.views.lists import Nothing, Tab
from approvals.views.shared import SignedInRequest, tell

PAGE_SIZE = 25
TABS = {"mine": "My findings", "open": "All open", "closed": "Closed"}
NO_MATCH = Nothing("search", "No finding matches.", "Clear the name, or choose another tab.")
NOTHING = {
    "mine": Nothing(
        "circle-check",
        "You own no open findings.",
        "Findings that you own appear here until they are closed.",
    ),
    "open": Nothing(
        "circle-check",
        "No open findings.",
        "Reviewers may approve with findings, where the policy allows it.",
    ),
    "closed": Nothing(
        "history",
        "No closed findings yet.",
        "Closed findings appear here with what was done.",
    ),
}
"""What each tab says without rows."""


@dataclass(frozen=True, slots=True)
class Row:
    finding: Finding
    days_over: int
    """Days since it was due; 0 or less when it is not overdue."""

    may_close: policy.Answer
    form: CloseFindingForm


@require_safe
def findings(request: SignedInRequest) -> HttpResponse:
    return _page(request)


@require_POST
def close(request: SignedInRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Finding, pk=pk)
    form = CloseFindingForm(request.POST, auto_id=f"id_{pk}_%s")
    if not form.is_valid():
        return _page(request, bound=(pk, form), status=422)
    try:
        workflow.close_finding(found, by=request.user, note=form.cleaned_data["note"])
    except workflow.WorkflowError as error:
        return _page(request, bound=(pk, form), status=tell(request, error))
    messages.success(request, "The finding is closed.")
    return redirect(f"{reverse('approvals:findings')}?show={request.POST.get('show', 'open')}")


def _page(
    request: SignedInRequest, *, bound: tuple[int, CloseFindingForm] | None = None, status: int = 200
) -> HttpResponse:
    """`bound` is the form of one finding that comes back with what was typed."""
    counts = _counts(request)
    show = request.GET.get("show") or request.POST.get("show") or ("mine" if counts["mine"] else "open")
    if show not in TABS:
        show = "open"
    model = request.GET.get("model", "").strip()
    page = Paginator(_found(request, show, model), PAGE_SIZE).get_page(request.GET.get("page"))
    today = timezone.now().date()
    rows = []
    for each in page.object_list:
        is_typed = bound is not None and bound[0] == each.pk
        form = bound[1] if bound is not None and is_typed else CloseFindingForm(auto_id=f"id_{each.pk}_%s")
        over = 0 if each.closed_at else (today - each.due_on).days
        rows.append(Row(each, over, workflow.may_close(each, request.user), form))
    context = {
        "tabs": [Tab(name, words, name == show, counts[name]) for name, words in TABS.items()],
        "show": show,
        "page": page,
        "rows": rows,
        "nothing": NO_MATCH if model else NOTHING[show],
        "model": model,
    }
    return render(request, "approvals/requests/findings.html", context, status=status)


def _found(request: SignedInRequest, show: str, model: str) -> "QuerySet[Finding]":
    found = Finding.objects.select_related(
        "owner", "closed_by", "review__reviewer", "review__request__version__model", "review__request__target"
    )
    if model:
        found = found.filter(review__request__version__model__name__icontains=model)
    if show == "closed":
        return found.exclude(closed_at=None).order_by("-closed_at", "-pk")
    found = found.filter(closed_at=None, review__voided_at=None).order_by("due_on", "pk")
    return found.filter(owner=request.user) if show == "mine" else found


def _counts(request: SignedInRequest) -> dict[str, int]:
    opened = Q(closed_at=None, review__voided_at=None)
    counted: dict[str, int] = Finding.objects.aggregate(
        mine=Count("pk", filter=opened & Q(owner=request.user)),
        open=Count("pk", filter=opened),
        closed=Count("pk", filter=Q(closed_at__isnull=False)),
    )
    return counted
