"""One promotion request: asking for it, its page, and what people do there."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import comparison, evidence, policy, provenance, standing, timeline, workflow
from approvals.forms import CommentForm, NewRequestForm, ResubmitForm, ReviewForm, WithdrawForm
from approvals.models import OutboxEntry, PromotionRequest, Target, Verdict
from approvals.views.shared import SignedInRequest, tell
from registry_ui.mirror.models import ModelVersion

SLOW_AFTER_SECONDS = 15
"""A delivery that no worker has touched for this long is called delayed."""


# --- Asking -------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    version = get_object_or_404(ModelVersion.objects.select_related("model"), model__name=name, number=number)
    targets = Target.objects.current()
    initial = {"target": request.GET.get("target") or targets.values_list("name", flat=True).last()}
    form = NewRequestForm(request.POST or None, targets=targets, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            made = workflow.request_promotion(
                version, form.cleaned_data["target"], by=request.user, justification=form.cleaned_data["justification"]
            )
        except workflow.Conflict as error:
            tell(request, error)
            return redirect(error.request) if error.request else redirect(version)
        except workflow.WorkflowError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Request #{made.pk} was made. Reviewers find it in their inbox.")
            return redirect(made)
    context = {
        "version": version,
        "form": form,
        "permission": policy.may_request(standing.actor_of(request.user)),
        "previews": [_preview(version, target, request.user.pk) for target in targets],
    }
    return render(request, "approvals/request_new.html", context, status=422 if form.errors else 200)


def _preview(version: ModelVersion, target: Target, requester_id: int) -> dict[str, Any]:
    """What asking for this target would mean: the rule, who could approve, what it replaces, why it is impossible."""
    rule = standing.rule_for(version.model.name, target)
    eligible = standing.reviewers()
    holders = standing.holders(version.model, target)
    champion = holders[0] if holders else None
    return {
        "target": target,
        "rule": rule,
        "states": policy.slot_states(rule, approvers=[], eligible=eligible, requester_id=requester_id),
        "shortage": policy.shortage(rule, eligible=eligible, requester_id=requester_id),
        "champion": champion,
        "archives": [held for held in holders if target.archives_existing and held.stage == target.stage and held.pk != version.pk],
        "open_request": workflow.open_request(version, target),
        "impossible": workflow.cannot_be_asked(version, target),
        "metrics": comparison.metric_rows(version.metrics, champion.metrics if champion else None),
    }


# --- The page -----------------------------------------------------------------------------------------------------------


@require_safe
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    return _page(request, _get(pk))


@require_safe
def live(request: SignedInRequest, pk: int) -> HttpResponse:
    """The part of the page that follows the delivery by itself. 286 tells HTMX to stop asking."""
    found = _get(pk)
    context = _live_context(found, standing.of(found, request.user))
    return render(request, "approvals/_request_live.html", context, status=200 if _moves_by_itself(found) else 286)


def _page(request: SignedInRequest, found: PromotionRequest, *, review_form: ReviewForm | None = None, status: int = 200) -> HttpResponse:
    now = standing.of(found, request.user)
    champion = found.champion
    version = found.version
    context = _live_context(found, now) | {
        "review_form": review_form or ReviewForm(initial={"fingerprint": found.fingerprint}),
        "comment_form": CommentForm(),
        "withdraw_form": WithdrawForm(),
        "resubmit_form": ResubmitForm(),
        "verdicts": Verdict,
        "champion": champion,
        "metrics": comparison.metric_rows(version.metrics, champion.metrics if champion else None),
        "params": comparison.value_rows(version.params, champion.params if champion else None),
        "tags": comparison.value_rows(_own_tags(version), _own_tags(champion) if champion else None),
        "description": provenance.without_notes(version.description),
        "champion_description": provenance.without_notes(champion.description) if champion else "",
    }
    return render(request, "approvals/request.html", context, status=status)


def _live_context(found: PromotionRequest, now: standing.Standing) -> dict[str, Any]:
    entry = found.outbox_entries.order_by("-pk").first()
    return {
        "request_": found,
        "standing": now,
        "actions": now.actions,
        "timeline": timeline.of(found),
        "delivery": entry,
        "is_delayed": _is_delayed(entry),
        "moves_by_itself": _moves_by_itself(found),
    }


def _moves_by_itself(found: PromotionRequest) -> bool:
    return found.status == "approved"


def _is_delayed(entry: OutboxEntry | None) -> bool:
    """No worker has taken it although it is due: the broker or the worker is away."""
    if entry is None or entry.closed_at or entry.is_claimed:
        return False
    return (timezone.now() - entry.available_at).total_seconds() > SLOW_AFTER_SECONDS


def _own_tags(version: ModelVersion) -> dict[str, str]:
    return {key: value for key, value in version.tags.items() if not key.startswith(evidence.OWN_TAG)}


# --- What people do -----------------------------------------------------------------------------------------------------


@require_POST
def review(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _get(pk)
    form = ReviewForm(request.POST)
    if not form.is_valid():
        return _page(request, found, review_form=form, status=422)
    try:
        workflow.review(found, by=request.user, **form.cleaned_data)
    except workflow.Invalid as error:
        form.add_error("comment", error.message)
        return _page(request, found, review_form=form, status=422)
    except workflow.WorkflowError as error:
        # What was typed is kept on the page: somebody else may have been faster by a second.
        tell(request, error)
        return _page(request, _get(pk), review_form=form, status=409)
    messages.success(request, _OUTCOME[_get(pk).status].format(version=found.version.number, target=found.target))
    return redirect(found)


_OUTCOME = {
    "pending": "Your approval is recorded. The request waits for the approvals that are still missing.",
    "approved": "Version {version} was approved. MLflow is being updated.",
    "applied": "Version {version} was approved and has reached {target}.",
    "rejected": "The request is rejected.",
    "changes_requested": "The request went back to the requester.",
    "failed": "Version {version} was approved, but MLflow could not be updated.",
    "superseded": "Version {version} was approved, but the champion had changed meanwhile.",
}


@require_POST
def comment(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _get(pk)
    form = CommentForm(request.POST)
    if form.is_valid():
        try:
            workflow.comment(found, by=request.user, body=form.cleaned_data["body"])
        except workflow.WorkflowError as error:
            tell(request, error)
    else:
        messages.error(request, "Write something first (up to 4,000 characters).")
    return redirect(f"{found.get_absolute_url()}#discussion")


@require_POST
def withdraw(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _get(pk)
    form = WithdrawForm(request.POST)
    if form.is_valid():
        try:
            workflow.withdraw(found, by=request.user, reason=form.cleaned_data["reason"])
        except workflow.WorkflowError as error:
            tell(request, error)
        else:
            messages.success(request, "The request is withdrawn.")
    else:
        messages.error(request, "The reason is too long; 4,000 characters are allowed.")
    return redirect(found)


@require_POST
def resubmit(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _get(pk)
    form = ResubmitForm(request.POST)
    if form.is_valid():
        try:
            workflow.resubmit(found, by=request.user, justification=form.cleaned_data["justification"])
        except workflow.WorkflowError as error:
            tell(request, error)
        else:
            messages.success(request, "The request was submitted again; reviews start anew.")
    else:
        messages.error(request, "The text is too long; 4,000 characters are allowed.")
    return redirect(found)


@require_POST
def retry(request: SignedInRequest, pk: int) -> HttpResponse:
    found = _get(pk)
    try:
        workflow.retry(found, by=request.user)
    except workflow.WorkflowError as error:
        tell(request, error)
    else:
        messages.success(request, "Delivery is tried again.")
    return redirect(found)


def _get(pk: int) -> PromotionRequest:
    found = PromotionRequest.objects.with_subject().filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no request #{pk}.")
    return found
