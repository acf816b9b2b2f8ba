"""People: who they are, what they may do, inviting them and ending their access. For administrators only."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import Group
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import invitation, roles
from accounts.models import User
from approvals import administration
from approvals.forms.administration import GroupForm, InviteForm, PeopleFilterForm, PersonForm, PseudonymiseForm
from approvals.models import AuditEvent, PromotionRequest
from approvals.notifications.mailing import said
from approvals.selectors import api_tokens, name_residue, policy_overview, request_timeline
from approvals.views.guard import needs
from approvals.views.shared import Attempt, SignedInRequest, tell
from approvals.workflow import WorkflowError

PAGE_SIZE = 50
RECENT = 10


@require_safe
@needs(administration.PEOPLE)
def people(request: SignedInRequest) -> HttpResponse:
    return _list(request, GroupForm())


@require_POST
@needs(administration.PEOPLE)
def add_group(request: SignedInRequest) -> HttpResponse:
    form = GroupForm(request.POST)
    attempt = Attempt(form, "name")
    if form.is_valid():
        with attempt:
            group = administration.add_group(form.cleaned_data["name"], by=request.user)
            messages.success(request, f"The group {group.name} was added. Put people into it on their pages.")
            return redirect("approvals:people")
    return _list(request, form, attempt.status)


def _list(request: SignedInRequest, group_form: GroupForm, status: int = 200) -> HttpResponse:
    filters = PeopleFilterForm(request.GET)
    found = (
        User.objects.people().select_related("owner").prefetch_related("groups").order_by("-is_active", "name", "email")
    )
    if filters.is_valid():
        wanted = filters.cleaned_data
        if wanted["q"]:
            found = found.filter(Q(name__icontains=wanted["q"]) | Q(email__icontains=wanted["q"]))
        if wanted["group"]:
            found = found.filter(groups=wanted["group"])
        if wanted["state"]:
            found = found.filter(is_active=wanted["state"] == "active")
    else:
        found = found.none()
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": filters,
        "group_form": group_form,
        "page": page,
        "rows": [_row(person) for person in page.object_list],
        "is_filtered": any(request.GET.get(name) for name in filters.fields),
        "without_owner": _without_owner(),
        "groups": Group.objects.exclude(name__in=roles.PERMISSIONS)
        .annotate(members=Count("user", filter=Q(user__is_active=True)))
        .order_by("name"),
    }
    return render(request, "approvals/people/people.html", context, status=422 if filters.errors else status)


def _without_owner() -> list[User]:
    """Service accounts that cannot ask for anything."""
    programs = User.objects.people().active().filter(is_service_account=True)
    return list(programs.exclude(owner__is_active=True, owner__is_service_account=False).order_by("name", "email"))


@dataclass(frozen=True, slots=True)
class Row:
    person: User
    roles: list[str]
    groups: list[str]


def _row(person: User) -> Row:
    names = sorted(group.name for group in person.groups.all())
    return Row(
        person,
        roles=[name for name in roles.PERMISSIONS if name in names],
        groups=[name for name in names if name not in roles.PERMISSIONS],
    )


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.PEOPLE)
def invite(request: SignedInRequest) -> HttpResponse:
    form = InviteForm(request.POST or None)
    attempt = Attempt(form, "email")
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        with attempt:
            person = administration.invite(
                email=given["email"], name=given["name"], groups=form.all_groups(), by=request.user
            )
            return _invited(request, person)
    return render(request, "approvals/people/invite.html", {"form": form}, status=attempt.status)


def _invited(request: SignedInRequest, person: User) -> HttpResponse:
    """Not a redirect: the link is shown once and kept nowhere."""
    context: dict[str, Any] = {"person": person, "row": _row(person)}
    try:
        link = invitation.send(person, invited_by=request.user)
    except OSError as error:
        context["failure"] = said(error)
    else:
        context["link"] = link if invitation.is_printed() else ""
    return render(request, "approvals/people/invited.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.PEOPLE)
def person(request: SignedInRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(User.objects.people().prefetch_related("groups"), pk=pk)
    form = PersonForm(request.POST or None, person=found)
    attempt = Attempt(form, "roles")
    if request.method == "POST" and form.is_valid():
        with attempt:
            administration.set_person(
                found,
                groups=form.all_groups(),
                mlflow_names=form.names("mlflow_names"),
                former_mlflow_names=form.names("former_mlflow_names"),
                is_service_account=form.cleaned_data["is_service_account"],
                owner=form.cleaned_data["owner"],
                by=request.user,
            )
            messages.success(request, f"The roles and groups of {found.name} are saved.")
            return redirect("approvals:person", pk=pk)
    recent = AuditEvent.objects.filter(actor=found).order_by("-sequence")[:RECENT]
    context = {"person": found, "row": _row(found), "form": form, "recent": request_timeline.entries(recent)}
    return render(request, "approvals/people/person.html", context, status=attempt.status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.PEOPLE)
def set_active(request: SignedInRequest, pk: int) -> HttpResponse:
    """Deactivates who is active and the other way round; GET asks first and says what it means."""
    found = get_object_or_404(User.objects.people(), pk=pk)
    if found.pseudonymised_at and request.method != "POST":
        return redirect("approvals:person", pk=pk)
    wanted = request.POST.get("is_active") == "true" if request.method == "POST" else not found.is_active
    status = 200
    if request.method == "POST":
        try:
            administration.set_active(found, is_active=wanted, by=request.user)
        except WorkflowError as error:
            status = tell(request, error)
        else:
            done = "can sign in again" if wanted else "is deactivated and signed out everywhere"
            messages.success(request, f"{found.name} {done}.")
            return redirect("approvals:person", pk=pk)
    live_tokens = api_tokens.live([found])
    context = {
        "person": found,
        "row": _row(found),
        "unmet": policy_overview.unmet_without(found.pk) if found.is_active else [],
        "open_requests": PromotionRequest.objects.open()
        .filter(requester=found)
        .order_by("pk")
        .values_list("pk", flat=True),
        "live_tokens": live_tokens,
        "names_of_tokens": ", ".join(token.name for token in live_tokens),
        "owned": User.objects.active().filter(owner=found, is_service_account=True).order_by("name"),
    }
    return render(request, "approvals/people/active.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.PEOPLE)
def pseudonymise(request: SignedInRequest, pk: int) -> HttpResponse:
    """Asks first, and shows what will still have the name: afterwards no one can look for it."""
    found = get_object_or_404(User, pk=pk)
    if found.pseudonymised_at:
        return redirect("approvals:person", pk=pk)
    form = PseudonymiseForm(request.POST or None, person=found)
    attempt = Attempt(form, "reason")
    if request.method == "POST" and form.is_valid():
        with attempt:
            administration.pseudonymise(found, reason=form.cleaned_data["reason"], by=request.user)
            messages.success(request, f"Person {pk} has no name here any more.")
            return redirect("approvals:person", pk=pk)
    context = {
        "person": found,
        "form": form,
        "hindrances": list(administration.hindrances(found)),
        "unmet": policy_overview.unmet_without(found.pk) if found.is_active else [],
        "remains": name_residue.of(administration.names_of(found)),
        "most": name_residue.MOST,
    }
    return render(request, "approvals/people/pseudonymise.html", context, status=attempt.status)
