"""Rolling back, an emergency promotion, and what people say of a promotion afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts import reauthentication
from approvals import policy, workflow
from approvals.evidence import comparison
from approvals.forms.urgent import AfterwardsForm, BreakGlassForm, ConfirmForm, RollBackForm
from approvals.models import PromotionRequest, Target
from approvals.selectors import (
    champions,
    eligibility,
    freezes,
    metrics_of_record,
    reviewers,
    rollback_candidates,
    rules,
)
from approvals.templatetags.gate import label_names
from approvals.views.request_page import in_the_way
from approvals.views.requests import NO_PROOF, do
from approvals.views.shared import Attempt, SignedInRequest
from mirror.models import ModelVersion, RegisteredModel

METRICS_SHOWN = 8

# --- Rolling back -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """An earlier holder that the target can go back to, or cannot."""

    earlier: rollback_candidates.Earlier
    alone: policy.Answer
    """Whether this person may go back to it without another's approval."""

    effect: str
    """What going back to it would change, in a sentence."""

    approval: str
    """What follows on the request that it was approved in: `, by Remy Ortiz (a rollback)`."""

    metrics: Sequence[comparison.MetricRow]
    """Where it differs most from the holder of now; of the default choice alone."""


@require_http_methods(["GET", "HEAD", "POST"])
def roll_back(request: SignedInRequest, name: str, pk: int) -> HttpResponse:
    model, target = get_object_or_404(RegisteredModel, name=name), get_object_or_404(Target, pk=pk)
    actor = reviewers.actor_of(request.user)
    permission = policy.may_roll_back(actor)
    if not permission:
        raise PermissionDenied(permission.reason)
    holders = champions.holders(model, target)
    now = holders[0] if holders else None
    found = rollback_candidates.earlier(model, target, holders)
    default = rollback_candidates.first(found)
    rule = rules.rule_for(model.name, target)
    initial = {"to": default.number if default else None, "leaving": now.number if now else None}
    form = RollBackForm(
        request.POST or None, numbers=[each.number for each in found if not each.problem], initial=initial
    )
    attempt = Attempt(form)
    if request.method == "POST" and form.is_valid():
        with attempt:
            made = workflow.roll_back(model, target, by=request.user, **form.cleaned_data)
            messages.success(request, _ROLLED[made.status == "approved"].format(made.version.number, target))
            return redirect(made)
        if other := in_the_way(request, attempt.refusal):
            return other
        form.now_leaving(now.number if now else None)
    choices = [
        Choice(
            each,
            policy.may_roll_back_alone(actor, rule, was_approved=each.was_approved),
            _effect(each.number, target, holders),
            _approval(each.tenure.request) if each.tenure.request else "",
            _differences(each.version, now, rule) if each is default else [],
        )
        for each in found
    ]
    context = {
        "model": model,
        "target": target,
        "now": now,
        "choices": choices,
        "default": default,
        "refused": rollback_candidates.cannot_go_back(target),
        "rule": policy.rollback_rule(rule, files_limit_mb=None),
        "freeze_on": freezes.holding(model.name, target.pk),
        "form": form,
    }
    return render(request, "approvals/requests/roll_back.html", context, status=attempt.status)


_ROLLED = {
    True: "{1} is rolled back to version {0}. Countersign is updating MLflow.",
    False: "You requested a rollback of {1} to version {0}. It goes to review when its files are read.",
}


def _effect(number: int, target: Target, holders: Sequence[ModelVersion]) -> str:
    words = f"Version {number} gets {target.meaning}"
    archived = [held.number for held in holders if target.stage and held.stage == target.stage]
    if holders:
        leaving = holders[0].number
        words += f"; version {leaving} {'is archived' if leaving in archived else 'loses it'}"
    return f"{words}{', and so is what else is in the stage' if len(archived) > 1 else ''}."


def _approval(request: PromotionRequest) -> str:
    approvers = workflow.approver_labels(request)
    by = f", by {label_names(approvers)}" if approvers else ""
    kind = " (a rollback)" if request.is_rollback else ""
    return f"{by}{', without approvals, and found justified' if request.is_break_glass else kind}"


def _differences(
    version: ModelVersion | None, now: ModelVersion | None, rule: policy.Rule
) -> list[comparison.MetricRow]:
    if version is None or now is None:
        return []
    rows = metrics_of_record.rows_of(version, now, rule.metrics)
    return [row for row in comparison.by_weight(rows) if row.difference is not None][:METRICS_SHOWN]


# --- Emergency promotions ---------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def break_glass(request: SignedInRequest, name: str, number: int, pk: int) -> HttpResponse:
    version = get_object_or_404(ModelVersion.objects.select_related("model"), model__name=name, number=number)
    target = get_object_or_404(Target, pk=pk)
    asked = eligibility.candidate(version, target)
    permission = policy.may_break_glass(reviewers.actor_of(request.user), asked.rule.break_glass)
    if not permission:
        raise PermissionDenied(permission.reason)
    form = BreakGlassForm(request.POST or None, expected=name, initial={"target": target.name})
    attempt = Attempt(form)
    if request.method == "POST" and form.is_valid():
        proof = reauthentication.last_proof(request)
        with attempt:
            try:
                made = workflow.break_glass(
                    version,
                    target,
                    by=request.user,
                    reason=form.cleaned_data["reason"],
                    proof=policy.Proof(*proof) if proof else None,
                )
            except workflow.NeedsReauthentication as error:
                if reauthentication.can_prove(request.user):
                    return reauthentication.ask(request)
                attempt.refuse(workflow.NeedsReauthentication(f"{error.message} {NO_PROOF}"))
            else:
                messages.warning(
                    request,
                    f"Emergency promotion started: version {number} goes to {target} without approval. Reviewers "
                    "are notified.",
                )
                return redirect(made)
        if other := in_the_way(request, attempt.refusal):
            return other
    context = {
        "version": version,
        "target": target,
        "champion": asked.champion,
        "rule": asked.rule,
        "impossible": asked.problem,
        "open_request": asked.open_request,
        "freeze_on": freezes.holding(name, target.pk),
        "form": form,
    }
    return render(request, "approvals/requests/break_glass.html", context, status=attempt.status)


# --- Afterwards -------------------------------------------------------------------------------------------------------


@require_POST
def afterwards(request: SignedInRequest, pk: int) -> HttpResponse:
    form = AfterwardsForm(request.POST)
    done = "Your review is recorded."
    return do(request, pk, "afterwards_form", form, workflow.review_afterwards, done=done, decides=True)


@require_POST
def confirm(request: SignedInRequest, pk: int) -> HttpResponse:
    done = "The promotion is confirmed: it stays."
    form = ConfirmForm(request.POST)
    return do(request, pk, "confirm_form", form, workflow.confirm_probation, done=done, decides=True)
