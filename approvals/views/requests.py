"""What people do on the page of a request: each view is one verb of the workflow."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from accounts import reauthentication
from approvals import policy, workflow
from approvals.forms import findings as findings_forms
from approvals.forms.requests import (
    CommentForm,
    EndForm,
    EndHalfForm,
    ResubmitForm,
    ReviewForm,
    WithdrawForm,
)
from approvals.models import PromotionRequest, Status
from approvals.selectors import (
    reviewers,
)
from approvals.views.request_page import get_request, page
from approvals.views.shared import SignedInRequest

NO_PROOF = (
    "You have no password, second factor or account at an identity provider to show it with. Set up an authenticator "
    "app or a passkey under Two-factor authentication first; what you typed stays here."
)


@require_POST
def review(request: SignedInRequest, pk: int) -> HttpResponse:
    found = get_request(pk)
    form, findings = ReviewForm(request.POST), findings_forms.of(found, request.POST)
    bound = {"review_form": form} | ({"findings_form": findings} if findings.is_bound else {})
    if not form.is_valid() or (findings.is_bound and not findings.is_valid()):
        return page(request, found, bound=bound, status=422)
    proof = reauthentication.last_proof(request)
    try:
        workflow.review(
            found,
            by=request.user,
            proof=policy.Proof(*proof) if proof else None,
            findings=findings_forms.wanted(findings),
            **form.cleaned_data,
        )
    except workflow.NeedsReauthentication as error:
        if reauthentication.can_prove(request.user):
            return reauthentication.ask(request)
        form.add_error(None, f"{error.message} {NO_PROOF}")
        return page(request, found, bound=bound, status=403)
    except workflow.Invalid as error:
        form.add_error("meaning" if isinstance(error, workflow.NoMeaning) else "comment", error.message)
        return page(request, found, bound=bound, status=422)
    except workflow.WorkflowError as error:
        return _overtaken(request, get_request(pk), error, typed=form.cleaned_data["comment"], findings=findings)
    now = get_request(pk)
    words = _OUTCOME.get(Status(now.status), "Your decision is recorded.")  # withdrawn in this very moment, say
    messages.success(request, words.format(version=now.version.number, target=now.target))
    return redirect(now)


def _overtaken(
    request: SignedInRequest,
    found: PromotionRequest,
    error: workflow.WorkflowError,
    *,
    typed: str,
    findings: Any = None,
) -> HttpResponse:
    """Somebody else may have been faster by a second, or this person has no say. What was typed stays on the page: in
    the decision form where there still is one (over the evidence as it is now), else as a comment not yet sent."""
    fresh = {"comment": typed, "fingerprint": found.fingerprint, "meaning": request.POST.get("meaning", "")}
    status = 409 if request.user.has_perm(reviewers.REVIEW) else 403
    return page(
        request,
        found,
        status=status,
        conflict=error.message,
        bound={"review_form": ReviewForm(initial=fresh), "comment_form": CommentForm(initial={"body": typed})}
        | ({"findings_form": findings} if findings is not None and findings.is_bound else {}),
    )


_OUTCOME = {
    Status.CHECKING: "Your decision is recorded. The request is in checks.",
    Status.PENDING: "Your approval is recorded. The request waits for the approvals that are still missing.",
    Status.APPROVED: "Version {version} was approved. MLflow is being updated.",
    Status.APPLIED: "Version {version} was approved and has reached {target}.",
    Status.REJECTED: "The request is rejected.",
    Status.CHANGES_REQUESTED: "The request went back to the requester.",
    Status.FAILED: "Version {version} was approved, but MLflow could not be updated.",
}


@require_POST
def comment(request: SignedInRequest, pk: int) -> HttpResponse:
    found = get_request(pk)
    form = CommentForm(request.POST)
    if form.is_valid():
        try:
            workflow.comment(found, by=request.user, body=form.cleaned_data["body"])
        except workflow.WorkflowError as error:
            return page(request, found, bound={"comment_form": form}, conflict=error.message, status=403)
        return redirect(f"{found.get_absolute_url()}#discussion")
    return page(request, found, bound={"comment_form": form}, status=422)


@require_POST
def override(request: SignedInRequest, pk: int, check: int) -> HttpResponse:
    """Goes on in spite of a failed check."""
    found = get_request(pk)
    result = get_object_or_404(found.checks, pk=check)
    try:
        workflow.override(found, result, by=request.user, reason=request.POST.get("reason", "")[:4000])
    except workflow.Invalid as error:
        wrong = {"pk": check, "message": error.message}
        return page(request, found, bound={"override_errors": wrong}, conflict=error.message, status=422)
    except workflow.WorkflowError as error:
        return page(request, get_request(pk), conflict=error.message, status=403)
    messages.success(request, f"The check “{result.title}” is overridden.")
    return redirect(found)


@require_POST
def withdraw(request: SignedInRequest, pk: int) -> HttpResponse:
    def verb(found: PromotionRequest, reason: str) -> None:
        workflow.withdraw(found, by=request.user, reason=reason)

    return _do(request, pk, WithdrawForm(request.POST), verb, done="The request is withdrawn.")


@require_POST
def resubmit(request: SignedInRequest, pk: int) -> HttpResponse:
    def verb(found: PromotionRequest, justification: str) -> None:
        workflow.resubmit(found, by=request.user, justification=justification)

    return _do(
        request, pk, ResubmitForm(request.POST), verb, done="The request was submitted again; its checks run now."
    )


@require_POST
def retry(request: SignedInRequest, pk: int) -> HttpResponse:
    def verb(found: PromotionRequest) -> None:
        workflow.retry(found, by=request.user)

    return _do(request, pk, forms.Form(request.POST), verb, done="Delivery is tried again.")


@require_POST
def submit_under(request: SignedInRequest, pk: int) -> HttpResponse:
    def verb(found: PromotionRequest) -> None:
        workflow.submit_under(found, by=request.user)

    done = "The request was submitted again under the policy of today; its checks run now."
    return _do(request, pk, forms.Form(request.POST), verb, done=done)


@require_POST
def end(request: SignedInRequest, pk: int) -> HttpResponse:
    """Somebody else than the requester ends it."""

    def verb(found: PromotionRequest, reason: str) -> None:
        workflow.end(found, by=request.user, reason=reason)

    return _do(request, pk, EndForm(request.POST), verb, done="The request is ended.")


@require_POST
def end_half(request: SignedInRequest, pk: int) -> HttpResponse:
    def verb(found: PromotionRequest, how: str, reason: str) -> None:
        workflow.end_half(found, by=request.user, how=how, reason=reason)

    done = "Your decision is recorded. The worker carries it out."
    return _do(request, pk, EndHalfForm(request.POST), verb, done=done)


def _do(request: SignedInRequest, pk: int, form: forms.Form, verb: Callable[..., None], *, done: str) -> HttpResponse:
    """One verb with the form's fields, then the page anew; refused: the page as it is now, with what was typed."""
    found = get_request(pk)
    name = _NAMES.get(type(form), "form")
    if not form.is_valid():
        return page(request, found, bound={name: form}, status=422)
    try:
        verb(found, **form.cleaned_data)
    except workflow.WorkflowError as error:
        return page(request, get_request(pk), bound={name: form}, conflict=error.message, status=409)
    messages.success(request, done)
    return redirect(found)


_NAMES: dict[type[forms.Form], str] = {
    WithdrawForm: "withdraw_form",
    ResubmitForm: "resubmit_form",
    EndForm: "end_form",
    EndHalfForm: "end_half_form",
}
