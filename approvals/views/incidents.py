"""Changes outside Countersign: what is open, what came of each, and resolving one with a reason."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from approvals import watch
from approvals.audit.population import TELL_OF_INCIDENTS
from approvals.forms.incidents import IncidentFilterForm, ResolveIncidentForm
from approvals.models import AuditEvent, Incident
from approvals.selectors import request_timeline
from approvals.views.shared import SignedInRequest, tell
from approvals.watch import wording
from approvals.workflow import WorkflowError

PAGE_SIZE = 25
TABS = {"open": "Open", "resolved": "Resolved", "all": "All"}
MOST_EVENTS = 50


@dataclass(frozen=True, slots=True)
class Row:
    incident: Incident
    title: str
    resolution: str


@require_safe
def incidents(request: SignedInRequest) -> HttpResponse:
    show = request.GET.get("show", "open")
    show = show if show in TABS else "open"
    form = IncidentFilterForm(request.GET)
    found = _found(form, show)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "tabs": TABS,
        "show": show,
        "open_count": Incident.objects.open().count(),
        "form": form,
        "is_filtered": any(request.GET.get(name) for name in form.fields),
        "page": page,
        "rows": [Row(each, wording.title(each), wording.resolution(each)) for each in page.object_list],
    }
    return render(request, "approvals/incidents/incidents.html", context, status=422 if form.errors else 200)


def _found(form: IncidentFilterForm, show: str) -> "QuerySet[Incident]":
    found = Incident.objects.select_related("target", "request").order_by("-resolved_at", "-seen_at", "-pk")
    if show == "open":
        found = found.filter(resolved_at=None).order_by("-seen_at", "-pk")
    elif show == "resolved":
        found = found.exclude(resolved_at=None)
    else:
        found = found.order_by("-opened_sequence", "-pk")
    if not form.is_valid():
        return found.none()
    if kind := form.cleaned_data["kind"]:
        found = found.filter(kind=kind)
    if name := form.cleaned_data["model"].strip():
        found = found.filter(Q(model_name__icontains=name) | Q(details__old_name__icontains=name))
    return found


@require_safe
def incident(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _one(pk)
    return _page(request, found, ResolveIncidentForm(incident=found))


@require_POST
def resolve(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _one(pk)
    form = ResolveIncidentForm(request.POST, incident=found)
    if not form.is_valid():
        return _page(request, found, form, status=422)
    try:
        watch.resolve(found, by=request.user, reason=form.cleaned_data["reason"])
    except WorkflowError as error:
        return _page(request, _one(pk), form, status=tell(request, error))
    messages.success(request, f"Incident #{found.pk} is resolved.")
    return redirect(found)


def _one(pk: int) -> Incident:
    return get_object_or_404(
        Incident.objects.select_related("target", "request__version__model", "request__target", "resolved_by"), pk=pk
    )


def _page(request: SignedInRequest, found: Incident, form: ResolveIncidentForm, *, status: int = 200) -> HttpResponse:
    names = [found.model_name, found.details.get("found_under", found.model_name)]
    told = AuditEvent.objects.filter(
        sequence__gte=found.opened_sequence, model_name__in=names, action__in=TELL_OF_INCIDENTS
    ).order_by("sequence")[:500]
    own = [event for event in told if event.data.get("incident") == found.pk][-MOST_EVENTS:]
    may_resolve = watch.may_resolve(request.user)
    updated_at = found.details.get("mlflow_updated_at")
    context = {
        "incident": found,
        "title": wording.title(found),
        "between": wording.between(found),
        "response": wording.response(found),
        "done": wording.done(found),
        "resolution": wording.resolution(found),
        "review": watch.request_of(found),
        "accepted": (accepted := watch.approved_holders(found)),
        "is_approved": all(holder.request_id for holder in accepted),
        "requests": watch.related_requests(found),
        "updated_at": datetime.fromisoformat(updated_at) if updated_at else None,
        "events": request_timeline.entries(own),
        "form": form,
        "may_resolve": may_resolve,
    }
    return render(request, "approvals/incidents/incident.html", context, status=status)
