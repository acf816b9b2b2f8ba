"""What people do on the page of a request: each view is one verb of the workflow."""

from collections.abc import Callable
from functools import partial
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
    NominateForm,
    ResubmitForm,
    ReviewForm,
    UndoForm,
    WithdrawForm,
)
from approvals.models import PromotionRequest, Status, Verdict
from approvals.selectors import request_state, undoing
from approvals.views import given, queue_place
from approvals.views.request_page import get_request
from approvals.views.review_queue import back, page
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
    queue = queue_place.leaving(request, pk)
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
    if form.cleaned_data["verdict"] == Verdict.APPROVE:
        state = request_state.of(now, request.user)
        if words := given.surprise(state, request.user, said=form.cleaned_data["effect"]):
            messages.warning(request, words)
            return back(request, now)
    onward = queue.on if queue else now.get_absolute_url()
    if undoing.newest_of(request.user):
        return redirect(onward)  # the page says what was decided, with the way back
    words = _OUTCOME.get(Status(now.status), "Your decision is recorded.")  # withdrawn in this very moment, say
    subject = f"{now.version.model.name} v{now.version.number}: " if queue else ""
    messages.success(request, subject + words.format(version=now.version.number, target=now.target))
    return redirect(onward)


def _overtaken(
    request: SignedInRequest,
    found: PromotionRequest,
    error: workflow.WorkflowError,
    *,
    typed: str,
    findings: Any = None,
) -> HttpResponse:
    """Another person may have been faster by a second, or this person cannot approve. What was typed stays on the page:
    in the decision form where there still is one (over the evidence as it is now), else as a comment not yet sent."""
    fresh = {"comment": typed, "fingerprint": found.fingerprint, "meaning": request.POST.get("meaning", "")}
    return page(
        request,
        found,
        status=error.status,
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
def undo(request: SignedInRequest, pk: int) -> HttpResponse:
    done = "Your decision is undone. You can decide again."
    form = UndoForm(request.POST)
    if form.is_valid() and form.cleaned_data.pop("together"):
        return _undo_together(request, pk, form.cleaned_data["review"])
    return do(request, pk, "undo_form", form, workflow.undo_review, done=done, is_undone=True)


def _undo_together(request: SignedInRequest, pk: int, review: int) -> HttpResponse:
    found = get_request(pk)
    try:
        undone = workflow.undo_together(found, by=request.user, review=review)
    except workflow.WorkflowError as error:
        return page(request, get_request(pk), conflict=error.message, status=error.status)
    messages.success(request, f"{len(undone.reviews)} decisions are undone. You can decide again.")
    for words in undone.refusals:
        messages.error(request, words)
    return back(request, found, is_undone=True)


@require_POST
def comment(request: SignedInRequest, pk: int) -> HttpResponse:
    return do(request, pk, "comment_form", CommentForm(request.POST), workflow.comment, part="#latest")


@require_POST
def nominate(request: SignedInRequest, pk: int) -> HttpResponse:
    """Asks a person by name, or a group, to review."""
    form = NominateForm(request.POST)
    return do(
        request, pk, "nominate_form", form, workflow.nominate, done="They are asked to review.", part="#approvals"
    )


@require_POST
def take_back_nomination(request: SignedInRequest, pk: int, nomination: int) -> HttpResponse:
    verb = partial(workflow.take_back_nomination, nomination=nomination)
    done = "They are no longer asked by name, and can still review."
    return do(request, pk, "take_back_form", forms.Form(request.POST), verb, done=done, part="#approvals")


@require_POST
def override(request: SignedInRequest, pk: int, check: int) -> HttpResponse:
    """Continues in spite of a failed check."""
    found = get_request(pk)
    result = get_object_or_404(found.checks, pk=check)
    try:
        workflow.override(found, result, by=request.user, reason=request.POST.get("reason", "")[:4000])
    except workflow.Invalid as error:
        wrong = {"pk": check, "message": error.message}
        return page(request, found, bound={"override_errors": wrong}, conflict=error.message, status=422)
    except workflow.WorkflowError as error:
        return page(request, get_request(pk), conflict=error.message, status=error.status)
    messages.success(request, f"The check “{result.title}” is overridden.")
    return back(request, found)


@require_POST
def withdraw(request: SignedInRequest, pk: int) -> HttpResponse:
    form = WithdrawForm(request.POST)
    return do(request, pk, "withdraw_form", form, workflow.withdraw, done="The request is withdrawn.")


@require_POST
def resubmit(request: SignedInRequest, pk: int) -> HttpResponse:
    done = "The request was submitted again; its checks run now."
    return do(request, pk, "resubmit_form", ResubmitForm(request.POST), workflow.resubmit, done=done)


@require_POST
def retry(request: SignedInRequest, pk: int) -> HttpResponse:
    return do(request, pk, "form", forms.Form(request.POST), workflow.retry, done="Delivery is tried again.")


@require_POST
def submit_under(request: SignedInRequest, pk: int) -> HttpResponse:
    done = "The request was submitted again under the current policy; its checks are running."
    return do(request, pk, "form", forms.Form(request.POST), workflow.submit_under, done=done)


@require_POST
def end(request: SignedInRequest, pk: int) -> HttpResponse:
    """Another person than the requester ends it."""
    return do(request, pk, "end_form", EndForm(request.POST), workflow.end, done="The request is ended.")


@require_POST
def end_half(request: SignedInRequest, pk: int) -> HttpResponse:
    done = "Your decision is recorded. The worker carries it out."
    return do(request, pk, "end_half_form", EndHalfForm(request.POST), workflow.end_half, done=done)


def do(
    request: SignedInRequest,
    pk: int,
    name: str,
    form: forms.Form,
    verb: Callable[..., object],
    *,
    done: str = "",
    part: str = "",
    decides: bool = False,
    is_undone: bool = False,
) -> HttpResponse:
    """Carries out one verb with the form's fields and shows the page anew, at `part` of it; in the review queue what
    `decides` leads on to the next request. Refused: the page as it is now, with what was typed in the form of this
    `name`."""
    found = get_request(pk)
    queue = queue_place.leaving(request, pk) if decides else None
    if not form.is_valid():
        return page(request, found, bound={name: form}, status=422)
    try:
        verb(found, by=request.user, **form.cleaned_data)
    except workflow.WorkflowError as error:
        return page(request, get_request(pk), bound={name: form}, conflict=error.message, status=error.status)
    if done:
        messages.success(request, done)
    return redirect(queue.on) if queue else back(request, found, part=part, is_undone=is_undone)
