"""One promotion request: asking for it, its page, and what people do there."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import reauthentication
from accounts.models import User
from approvals import administration, policy, workflow
from approvals.evidence import comparison
from approvals.forms import findings as findings_forms
from approvals.forms.requests import (
    CommentForm,
    EndForm,
    EndHalfForm,
    NewRequestForm,
    ResubmitForm,
    ReviewForm,
    WithdrawForm,
)
from approvals.forms.urgent import AfterwardsForm, ConfirmForm
from approvals.models import FreezeWindow, PromotionRequest, RequestKind, Status, Target
from approvals.selectors import (
    champions,
    eligibility,
    follow_up,
    freezes,
    note_claims,
    request_state,
    request_timeline,
    reviewers,
    rules,
)
from approvals.views import dossier, progress
from approvals.views.shared import SignedInRequest, tell
from approvals.webhooks import health_reports
from mirror.models import ModelVersion

METRICS_IN_SHORT = 4
NO_PROOF = (
    "You have no password, second factor or account at an identity provider to show it with. Set up an authenticator "
    "app or a passkey under Two-factor authentication first; what you typed stays here."
)

# --- Asking -----------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    version = get_object_or_404(ModelVersion.objects.select_related("model"), model__name=name, number=number)
    permission = policy.may_request(reviewers.actor_of(request.user))
    targets = Target.objects.current()
    previews = [] if not permission else _previews(version, list(targets), request.user.asks_as)
    possible = [each["target"].name for each in previews if each["is_possible"]]
    asked = request.GET.get("target")
    initial = {"target": asked if asked in possible else next(reversed(possible), None)}
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
            messages.success(
                request, f"Request #{made.pk} was made. Reviewers are asked when the automatic checks have passed."
            )
            return redirect(made)
    context = {"version": version, "form": form, "permission": permission, "previews": previews, "possible": possible}
    status = 200 if not form.errors else 422 if permission else 403
    return render(request, "approvals/requests/new.html", context, status=status)


def _previews(version: ModelVersion, targets: list[Target], asked_by: Collection[int]) -> list[dict[str, Any]]:
    eligible = reviewers.eligible()
    known = freezes.windows()
    return [
        _preview(version, target, eligible, asked_by) | _freeze_notice(version.model.name, target, known)
        for target in targets
    ]


def _preview(
    version: ModelVersion, target: Target, eligible: list[policy.Reviewer], asked_by: Collection[int]
) -> dict[str, Any]:
    """What asking for this target would mean: the rule, who could approve, what it replaces, why it is impossible."""
    rule = rules.rule_for(version.model.name, target)
    holders = champions.holders(version.model, target)
    champion = holders[0] if holders else None
    open_request = eligibility.open_request(version, target)
    impossible = eligibility.cannot_be_asked(version, target)
    metrics = comparison.metric_rows(version.metrics, champion.metrics) if champion else []
    return {
        "target": target,
        "rule": rule,
        "states": policy.slot_states(rule, approvers=[], eligible=eligible, excluded=asked_by),
        "shortage": policy.shortage(rule, eligible=eligible, excluded=asked_by),
        "champion": champion,
        "archives": [
            held.number
            for held in holders
            if target.archives_existing and held.stage == target.stage and held.pk != version.pk
        ],
        "open_request": open_request,
        "impossible": impossible,
        "is_possible": not (open_request or impossible),
        "metrics": [row for row in comparison.by_weight(metrics) if row.difference is not None][:METRICS_IN_SHORT],
        "tally": comparison.tally(metrics),
    }


# --- The page ---------------------------------------------------------------------------------------------------------


@require_safe
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    return page(request, get_request(pk))


@require_safe
def live(request: SignedInRequest, pk: int) -> HttpResponse:
    """The parts of the page that follow the delivery by themselves: 204 while nothing has changed since `seen`, 286 at
    the end, which tells HTMX to stop asking."""
    found = get_request(pk)
    delivery, now = progress.delivery(found), request_state.of(found, request.user)
    moves, seen = _moves(now), request.GET.get("seen", "")
    if moves and seen == progress.mark(found, delivery, progress.checking(now), stale=now.stale):
        return HttpResponse(status=204)
    before = seen.partition("-")[0]
    context = _live_context(found, now, delivery, request.user) | _empty_forms(found) | {"is_swap": True}
    # Where somebody may be typing, the forms stay, and what they would do is told anew.
    context["keeps_forms"] = before in (Status.PENDING, found.status)
    return render(request, "approvals/requests/_live.html", context, status=200 if moves else 286)


def page(
    request: SignedInRequest,
    found: PromotionRequest,
    *,
    bound: Mapping[str, Any] | None = None,
    status: int = 200,
    conflict: str = "",
) -> HttpResponse:
    """`bound` are forms, by their names in the template, that come back with what was typed; `conflict` says why
    something was not done."""
    now = request_state.of(found, request.user)
    if request.method == "GET":
        workflow.opened(found, by=request.user, now=now)
    if found.champion:
        found.champion.model = found.version.model
    context = _live_context(found, now, progress.delivery(found), request.user) | {
        **_empty_forms(found),
        **_afterwards(found, request.user),
        "conflict": conflict,
        "dossier": dossier.of(found, show=request.GET.get("show", ""), number=request.GET.get("page")),
    }
    return render(request, "approvals/requests/request.html", context | dict(bound or {}), status=status)


def _afterwards(found: PromotionRequest, user: User) -> dict[str, Any]:
    context = follow_up.of_request(found, user)
    probation = context["probation"]
    may_see = administration.may(user, administration.POLICIES) or user.pk in found.asked_by
    if probation and probation.is_running and may_see:
        context["health_address"] = health_reports.address_of(probation.row)
    return context


def _empty_forms(found: PromotionRequest) -> dict[str, Any]:
    return {
        "review_form": ReviewForm(initial={"fingerprint": found.fingerprint}),
        "findings_form": findings_forms.of(found),
        "comment_form": CommentForm(),
        "withdraw_form": WithdrawForm(),
        "resubmit_form": ResubmitForm(),
        "end_form": EndForm(),
        "end_half_form": EndHalfForm(),
        "afterwards_form": AfterwardsForm(),
        "confirm_form": ConfirmForm(),
    }


def _moves(now: request_state.RequestState) -> bool:
    """Whether something may happen without this person, so that the page follows."""
    status = now.request.status
    return status in (Status.APPROVED, Status.PENDING) or (status == Status.CHECKING and not now.blocking)


def _live_context(
    found: PromotionRequest, now: request_state.RequestState, delivery: progress.Delivery, user: User
) -> dict[str, Any]:
    entries, has_earlier = request_timeline.of(found)
    is_applied = found.status == Status.APPLIED
    looked = progress.checking(now)
    return {
        "checking": looked,
        "checks_tally": progress.checks_tally(now),
        "reopened": progress.reopened(found) if found.status == Status.PENDING else None,
        "request_": found,
        "standing": now,
        "actions": now.actions,
        "steps": progress.steps(now),
        "undecidable": progress.undecidable(now),
        "refusals": progress.refusals(now),
        "is_last": workflow.is_last(now),
        "ended_by": progress.ended_by(found),
        "renamed": eligibility.renamed(found.version),
        "delivery": delivery,
        "finding_owners": findings_forms.possible_owners() if now.actions["approve"] else [],
        "policy_now": _policy_now(found, user),
        **(
            _freeze_notice(found.version.model.name, found.target)
            if found.status == Status.PENDING and not found.is_urgent
            else {}
        ),
        "mark": progress.mark(found, delivery, looked, stale=now.stale),
        "moves_by_itself": _moves(now),
        "holder": progress.holder(found) if is_applied else None,
        "note": _note(found) if is_applied else None,
        "timeline": entries,
        "has_earlier": has_earlier,
    }


def _policy_now(found: PromotionRequest, user: User) -> dict[str, Any]:
    """Of a request that waits for people or checks: the policy that it would get today, where that is another."""
    if found.status not in (Status.CHECKING, Status.PENDING) or found.kind != RequestKind.PROMOTION:
        return {}
    rule = rules.rule_for(found.version.model.name, found.target)
    if rules.is_same_policy(found.rule, rule):
        return {}
    return {"rule": rule, "may_submit": administration.may(user, administration.POLICIES)}


def _freeze_notice(model_name: str, target: Target, known: Sequence[FreezeWindow] | None = None) -> dict[str, Any]:
    """The freeze that is on for this model and target, else the one that is near. One query, unless all are known."""
    known = freezes.windows() if known is None else known
    on = freezes.holding(model_name, target.pk, known=known)
    return {"freeze_on": on, "freeze_near": None if on else freezes.coming(model_name, target, known=known)}


def _note(found: PromotionRequest) -> note_claims.CheckedNote | None:
    """This request's approval note as it stands in the description, held against our own records."""
    return next((each for each in note_claims.check(found.version) if each.request == found), None)


# --- What people do ---------------------------------------------------------------------------------------------------


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


def get_request(pk: int) -> PromotionRequest:
    found = PromotionRequest.objects.with_subject().filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no request #{pk}.")
    return found
