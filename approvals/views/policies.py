"""Policies and targets: what applies to what, who can meet it, and the administrators' forms."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import administration, workflow
from approvals.administration import policy_files
from approvals.forms.administration import TargetForm
from approvals.forms.policy import PolicyForm
from approvals.forms.policy_entry import PolicyEntry
from approvals.models import Policy, PromotionRequest, Target
from approvals.policy import Rule
from approvals.selectors import policy_dry_run, policy_history, policy_overview, rules
from approvals.tenures import model_names
from approvals.views.guard import needs
from approvals.views.shared import Attempt, SignedInRequest, tell
from approvals.workflow import Conflict, WorkflowError
from mirror.models import RegisteredModel

MODELS_OFFERED = 200
PAGE_SIZE = 25


@require_safe
def policies(request: SignedInRequest) -> HttpResponse:
    name = model_names.known(request.GET.get("model", "")[:256])
    context = {
        "chapters": policy_overview.chapters(),
        "may_manage": administration.may(request.user, administration.POLICIES),
        "asked": name,
        "applications": policy_overview.applications(name) if name else [],
        "is_known": bool(name) and RegisteredModel.objects.filter(name=name).exists(),
        "models": RegisteredModel.objects.filter(deleted_at=None).order_by("name")[:MODELS_OFFERED],
        "fallback": policy_overview.fallback(),
    }
    return render(request, "approvals/policies/policies.html", context)


@require_safe
def export(request: SignedInRequest) -> HttpResponse:
    """What the page shows, as the file that `manage.py policies apply` reads."""
    headers = {"Content-Disposition": 'attachment; filename="policies.yaml"'}
    return HttpResponse(policy_files.export(), content_type="application/yaml", headers=headers)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.POLICIES)
def edit_policy(request: SignedInRequest, pk: int | None = None) -> HttpResponse:
    entry = _entry(request, pk)
    policy, form = entry.policy, entry.form
    attempt = Attempt(form)
    changes: list[policy_history.Change] = []
    rehearsed: policy_dry_run.Rehearsal | None = None
    is_adding = "add_check" in request.POST or "add_slot" in request.POST
    if is_adding:
        entry.add_row(request.POST.get("new_check", "") if "add_check" in request.POST else None)
    elif request.method == "POST" and entry.is_valid():
        policy.target = form.cleaned_data["target"]
        rule, seen = entry.rule(), form.cleaned_data["seen"]
        if "rehearse" in request.POST:
            rehearsed = _rehearsed(request, rule, policy.target)
        else:
            with attempt:
                saved = administration.save_policy(policy, rule, by=request.user, seen=seen)
                _tell_saved(request, saved)
                if workflow.under_other_policies(saved.target):
                    return redirect("approvals:policy_open_requests", saved.target_id)
                return redirect("approvals:policies")
            if isinstance(attempt.refusal, Conflict):
                changes = policy_history.between(policy, seen or 0)
                form.now_over(Policy.objects.get(pk=policy.pk).version)
    context = {
        "form": form,
        "slots": entry.slots,
        "checks": entry.checks,
        "metrics": entry.metrics,
        "open_parts": entry.open_parts,
        "draft": None if is_adding else _draft(entry),
        "changes": changes,
        "rehearsal": rehearsed,
        "meaning": policy_overview.meaning(Policy.objects.get(pk=pk)) if pk else None,
        "fallback": policy_overview.fallback(),
    }
    has_errors = not is_adding and not rehearsed and request.method == "POST"  # what was saved has led elsewhere
    status = attempt.status if attempt.refusal else 422 if has_errors else 200
    return render(request, "approvals/policies/form.html", context, status=status)


@require_POST
@needs(administration.POLICIES)
def preview_policy(request: SignedInRequest, pk: int | None = None) -> HttpResponse:
    """The sentence of the policy as it is typed, for the page of the form. Saves nothing."""
    return render(request, "approvals/policies/_draft.html", {"draft": _draft(_entry(request, pk))})


def _entry(request: SignedInRequest, pk: int | None) -> PolicyEntry:
    policy = get_object_or_404(Policy, pk=pk, retired_at=None) if pk is not None else Policy()
    initial = PolicyForm.initial_of(policy) if pk else {"target": request.GET.get("target")}
    return PolicyEntry(request.POST or None, policy, initial)


def _draft(entry: PolicyEntry) -> policy_overview.Draft:
    rule = entry.draft()
    if rule is None:
        return policy_overview.Draft(mistakes=entry.mistakes())
    return policy_overview.draft(rule, entry.target)


def _rehearsed(request: SignedInRequest, rule: Rule, target: Target) -> policy_dry_run.Rehearsal:
    is_long = request.POST["rehearse"] == str(policy_dry_run.MOST)
    return policy_dry_run.of(rule, target, last=policy_dry_run.MOST if is_long else policy_dry_run.USUAL)


def _tell_saved(request: SignedInRequest, saved: Policy) -> None:
    meaning = policy_overview.meaning(Policy.objects.current().get(pk=saved.pk))
    messages.success(request, f"{saved.target} of {saved.model_pattern} now needs {meaning.sentence}.")
    if meaning.shortage:
        messages.warning(request, meaning.shortage)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.POLICIES)
def open_requests(request: SignedInRequest, pk: int) -> HttpResponse:
    """Requests for a target that were made under another policy than they would get today, to submit them again: those
    of one page at a time."""
    target = get_object_or_404(Target, pk=pk)
    page = Paginator(workflow.under_other_policies(target), PAGE_SIZE).get_page(request.GET.get("page"))
    found = PromotionRequest.objects.with_subject().defer("evidence").filter(pk__in=page.object_list).order_by("pk")
    if request.method == "POST":
        wanted, done = set(request.POST.getlist("request")), 0
        for each in found:
            if str(each.pk) in wanted:
                try:
                    workflow.submit_under(each, by=request.user)
                    done += 1
                except WorkflowError as error:
                    messages.error(request, f"Request #{each.pk}: {error.message}")
        messages.success(request, f"{done} request{'' if done == 1 else 's'} submitted again under the current policy.")
        return redirect(request.get_full_path() if page.has_other_pages() else "approvals:policies")
    known = list(Policy.objects.current().filter(target=target))
    rows = [(each, Rule.from_json(each.rule), rules.rule_among(known, each.version.model.name)) for each in found]
    return render(request, "approvals/policies/open_requests.html", {"target": target, "rows": rows, "page": page})


@require_POST
@needs(administration.POLICIES)
def move_policy(request: SignedInRequest, pk: int) -> HttpResponse:
    policy = get_object_or_404(Policy.objects.current(), pk=pk)
    administration.move_policy(policy, up=request.POST.get("to") == "up", by=request.user)
    if workflow.under_other_policies(policy.target):
        return redirect("approvals:policy_open_requests", policy.target_id)
    return redirect(f"{reverse('approvals:policies')}#policy-{pk}")


@require_safe
def policy_versions(request: SignedInRequest, pk: int) -> HttpResponse:
    """Every version of a policy, a retired one's too: requests continue naming them."""
    policy = get_object_or_404(Policy.objects.select_related("target"), pk=pk)
    context = {
        "policy": policy,
        "versions": policy_history.of(policy),
        "may_manage": administration.may(request.user, administration.POLICIES),
    }
    return render(request, "approvals/policies/versions.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.POLICIES)
def retire_policy(request: SignedInRequest, pk: int) -> HttpResponse:
    policy = get_object_or_404(Policy.objects.current(), pk=pk)
    if request.method == "POST":
        administration.retire_policy(policy, by=request.user)
        messages.success(request, f"The policy {policy} is retired.")
        if workflow.under_other_policies(policy.target):
            return redirect("approvals:policy_open_requests", policy.target_id)
        return redirect("approvals:policies")
    context = {"policy": policy, "meaning": policy_overview.meaning(policy), "fallback": policy_overview.fallback()}
    return render(request, "approvals/policies/retire.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.POLICIES)
def edit_target(request: SignedInRequest, pk: int | None = None) -> HttpResponse:
    target = get_object_or_404(Target, pk=pk, retired_at=None) if pk is not None else Target()
    form = TargetForm(request.POST or None, instance=target)
    attempt = Attempt(form)
    if request.method == "POST" and form.is_valid():
        with attempt:
            saved = administration.save_target(form.instance, by=request.user)
            if pk:
                messages.success(request, f"The target {saved} is now {saved.meaning}.")
                return redirect("approvals:policies")
            messages.success(request, f"The target {saved} was added. Add policy for it now.")
            return redirect(f"{reverse('approvals:policy_new')}?target={saved.pk}")
    context = {
        "form": form,
        "target": Target.objects.get(pk=pk) if pk else None,
        "fallback": policy_overview.fallback(),
    }
    return render(request, "approvals/policies/target_form.html", context, status=attempt.status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.POLICIES)
def retire_target(request: SignedInRequest, pk: int) -> HttpResponse:
    target = get_object_or_404(Target, pk=pk, retired_at=None)
    status = 200
    if request.method == "POST":
        try:
            administration.retire_target(target, by=request.user)
        except WorkflowError as error:
            status = tell(request, error)
        else:
            messages.success(request, f"The target {target} and its policies are retired.")
            return redirect("approvals:policies")
    context = {
        "target": target,
        "policies": target.policies.filter(retired_at=None).order_by("model_pattern"),
        "open_requests": target.requests.open().order_by("pk").values_list("pk", flat=True)[: policy_overview.MANY],
    }
    return render(request, "approvals/policies/target_retire.html", context, status=status)
