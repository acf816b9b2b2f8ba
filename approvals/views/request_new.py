"""Asking for a promotion: the form, with what asking for each target would mean."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from approvals import policy, workflow
from approvals.evidence import comparison
from approvals.forms.requests import NewRequestForm
from approvals.models import FreezeWindow, Target
from approvals.policy.freezes import Freeze
from approvals.selectors import eligibility, freezes, metrics_of_record, nominations, reviewers
from approvals.selectors.eligibility import Candidate
from approvals.views.request_page import in_the_way
from approvals.views.shared import Attempt, SignedInRequest
from mirror.models import ModelVersion

METRICS_IN_SHORT = 4


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    version = get_object_or_404(ModelVersion.objects.select_related("model"), model__name=name, number=number)
    permission = policy.may_request(reviewers.actor_of(request.user))
    targets = Target.objects.current()
    previews = [] if not permission else _previews(version, targets, request.user.asks_as)
    possible = [each.candidate.target.name for each in previews if each.candidate.is_possible]
    asked = request.GET.get("target")
    initial = {"target": asked if asked in possible else next(reversed(possible), None)}
    states = [state for each in previews if each.candidate.is_possible for state in each.states]
    form = NewRequestForm(request.POST or None, targets=targets, possible=nominations.possible(states), initial=initial)
    attempt = Attempt(form)
    if request.method == "POST" and form.is_valid():
        with attempt:
            sent = form.cleaned_data
            made = workflow.request_promotion(
                version, sent["target"], by=request.user, justification=sent["justification"], **sent["who"]
            )
            messages.success(
                request, f"Request #{made.pk} was submitted. It goes to review when the automatic checks pass."
            )
            return redirect(made)
        if other := in_the_way(request, attempt.refusal):
            return other
    context = {"version": version, "form": form, "permission": permission, "previews": previews, "possible": possible}
    status = attempt.status if permission or not form.errors else 403
    return render(request, "approvals/requests/new.html", context, status=status)


@dataclass(frozen=True, slots=True)
class Preview:
    """What asking for one target would mean: the rule, who could approve, what it replaces, why it is impossible."""

    candidate: Candidate
    states: Sequence[policy.SlotState]
    shortage: str
    metrics: Sequence[comparison.MetricRow]
    """Those that differ most from the champion's."""

    tally: comparison.Tally
    freeze_on: Freeze | None
    freeze_near: Freeze | None

    @property
    def changes(self) -> list[str]:
        """What reaching the target changes, in sentences."""
        asked, champion = self.candidate, self.candidate.champion
        found = [f"Version {asked.version.number} gets {asked.target.meaning}."]
        found += [f"Version {number} is archived." for number in asked.archives]
        if champion and not asked.archives and champion.pk != asked.version.pk:
            fate = "keeps its stage" if asked.target.stage else "loses the alias"
            found.append(f"Version {champion.number} {fate}.")
        return found


def _previews(version: ModelVersion, targets: Iterable[Target], asked_by: Collection[int]) -> list[Preview]:
    eligible, known = reviewers.eligible(), freezes.windows()
    return [_preview(version, target, eligible, asked_by, known) for target in targets]


def _preview(
    version: ModelVersion,
    target: Target,
    eligible: Sequence[policy.Reviewer],
    asked_by: Collection[int],
    known: Sequence[FreezeWindow],
) -> Preview:
    candidate = eligibility.candidate(version, target)
    rule, champion = candidate.rule, candidate.champion
    metrics = metrics_of_record.rows_of(version, champion, rule.metrics) if champion else []
    freeze = freezes.notice(version.model.name, target, known=known)
    return Preview(
        candidate=candidate,
        states=policy.slot_states(rule, approvers=[], eligible=eligible, excluded=asked_by),
        shortage=policy.shortage(rule, eligible=eligible, excluded=asked_by),
        metrics=[row for row in comparison.by_weight(metrics) if row.difference is not None][:METRICS_IN_SHORT],
        tally=comparison.tally(metrics),
        freeze_on=freeze.on,
        freeze_near=freeze.near,
    )
