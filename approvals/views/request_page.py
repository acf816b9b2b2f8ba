"""The page of one promotion request, and its parts that follow by themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from approvals import administration, notifications, policy, workflow
from approvals.forms import findings as findings_forms
from approvals.forms.requests import (
    CommentForm,
    EndForm,
    EndHalfForm,
    NominateForm,
    ResubmitForm,
    ReviewForm,
    WithdrawForm,
)
from approvals.forms.urgent import AfterwardsForm, ConfirmForm
from approvals.models import AuditEvent, PromotionRequest, Status
from approvals.policy.freezes import Freeze
from approvals.selectors import (
    champions,
    eligibility,
    follow_up,
    freezes,
    mentions,
    nominations,
    note_claims,
    one_request,
    request_state,
    request_timeline,
    rules,
    subscriptions,
)
from approvals.views import decision_line, evidence_summary, given, progress
from approvals.views.shared import SignedInRequest, tell
from approvals.webhooks import health_reports
from mirror.models import ModelVersion


@require_safe
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    return page(request, get_request(pk))


@require_safe
def live(request: SignedInRequest, pk: int) -> HttpResponse:
    """The parts of the page that follow by themselves what others and the worker do, while the request is open: 204
    while nothing has changed since `seen`, 286 at the end, which tells HTMX to stop asking."""
    found = get_request(pk)
    now = request_state.of(found, request.user)
    mine = given.of(now, request.user)
    seen = request.GET.get("seen", "")
    moving = progress.moving(now, can_undo=mine is not None, seen=seen)
    if moving.moves_by_itself and seen == moving.mark:
        return HttpResponse(status=204)
    context = {
        **vars(moving),
        **vars(_live_part(found, now, request.user, _holder(found), mine)),
        **_empty_forms(found),
        # A form over evidence that is not on the screen signs nothing.
        **({"review_form": ReviewForm(initial={"fingerprint": "not shown"})} if moving.has_other_evidence else {}),
        "is_swap": True,
    }
    return render(request, "approvals/requests/_live.html", context, status=200 if moving.moves_by_itself else 286)


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
        mark_seen(request, now)
    context = body(request, now, conflict=conflict) | dict(bound or {})
    return render(request, "approvals/requests/request.html", context, status=status)


def mark_seen(request: SignedInRequest, now: request_state.RequestState) -> None:
    """This person has it on the screen."""
    workflow.mark_opened(now.request, by=request.user, now=now)
    notifications.mark_read_of(request.user, now.request)


def body(request: SignedInRequest, now: request_state.RequestState, *, conflict: str = "") -> dict[str, Any]:
    """What `approvals/requests/_body.html` needs, which is all of a request: here, and in the review queue. Notes
    no one's reading: who shows it calls `mark_seen`."""
    found, holder = now.request, _holder(now.request)
    if found.champion:
        found.champion.model = found.version.model
    after = follow_up.of_request(found, request.user, holder)
    mine = given.of(now, request.user)
    summary = evidence_summary.of(found, show=request.GET.get("show", ""), number=request.GET.get("page"))
    # The templates read each field of the parts by its name.
    return {
        **vars(progress.moving(now, can_undo=mine is not None)),
        **vars(_live_part(found, now, request.user, holder, mine)),
        **_empty_forms(found),
        **vars(after),
        "health_address": _health_address(after.probation, request.user),
        "following": subscriptions.of(found, request.user),
        "mentionable": mentions.suggested(now, request.user) if now.actions["comment"] else [],
        "conflict": conflict,
        "summary": summary,
        "marks": decision_line.evidence(summary),
    }


def _holder(found: PromotionRequest) -> ModelVersion | None:
    """What holds the target now, of a request that may have put it there."""
    if found.status != Status.APPLIED and not found.is_break_glass:
        return None
    return champions.champion_of(found.version.model, found.target)


def _health_address(probation: follow_up.ProbationState | None, user: User) -> str:
    """Where health reports about it are sent; "" for who needs not know, and when the probation is over."""
    if probation is None or not probation.is_running:
        return ""
    may_see = administration.may(user, administration.POLICIES) or user.pk in probation.row.request.asked_by
    return health_reports.address_of(probation.row) if may_see else ""


def _empty_forms(found: PromotionRequest) -> dict[str, Any]:
    return {
        "review_form": ReviewForm(initial={"fingerprint": found.fingerprint}),
        "findings_form": findings_forms.of(found),
        "comment_form": CommentForm(),
        "nominate_form": NominateForm(),
        "withdraw_form": WithdrawForm(),
        "resubmit_form": ResubmitForm(),
        "end_form": EndForm(),
        "end_half_form": EndHalfForm(),
        "afterwards_form": AfterwardsForm(),
        "confirm_form": ConfirmForm(),
    }


@dataclass(frozen=True, slots=True)
class PolicyNow:
    """The policy that the request would get today, where that is another."""

    rule: policy.Rule
    may_submit: policy.Answer
    """Whether this person may submit the request again under it."""


@dataclass(frozen=True)
class LivePart:
    """What the page tells anew when something has moved, beside what `progress.moving` tells."""

    request_: PromotionRequest
    standing: request_state.RequestState
    given: given.Given | None
    """The verdict that this person can undo."""

    actions: Mapping[str, policy.Answer]
    checks_tally: str
    checks_mark: decision_line.Mark
    reopened: AuditEvent | None
    headline: progress.Headline
    steps: Sequence[progress.Step]
    undecidable: Sequence[str]
    refusals: Sequence[str]
    """Why one who asked cannot take it back or submit it again."""

    approval: progress.Approval
    """What an approval of this person does."""

    ended_by: str
    renamed: ModelVersion | None
    finding_owners: Sequence[User]
    policy_now: PolicyNow | None
    freeze_on: Freeze | None
    freeze_near: Freeze | None
    holder: int | None
    """The number of the version that holds the target now, of a request that may have put it there."""
    note: note_claims.CheckedNote | None
    nominated: nominations.Nominations
    timeline: Sequence[request_timeline.Entry]
    has_earlier: bool


def _live_part(
    found: PromotionRequest,
    now: request_state.RequestState,
    user: User,
    holder: ModelVersion | None,
    mine: given.Given | None,
) -> LivePart:
    other_rule = rules.other_today(found)
    # What is urgent is not held by a freeze.
    is_held = found.status == Status.PENDING and not found.is_urgent
    freeze = freezes.notice(found.version.model.name, found.target) if is_held else freezes.Notice()
    entries, has_earlier = request_timeline.of(found)
    return LivePart(
        request_=found,
        standing=now,
        given=mine,
        actions=now.actions,
        checks_tally=now.checks_tally,
        checks_mark=decision_line.checks(now),
        reopened=progress.reopened(found),
        headline=progress.headline(found),
        steps=progress.steps(now),
        undecidable=progress.undecidable(now),
        refusals=progress.refusals(now, user),
        approval=progress.approval(now, freeze.on),
        ended_by=progress.ended_by(found),
        renamed=eligibility.renamed(found.version),
        finding_owners=findings_forms.possible_owners() if now.actions["approve"] else [],
        policy_now=PolicyNow(other_rule, administration.may(user, administration.POLICIES)) if other_rule else None,
        freeze_on=freeze.on,
        freeze_near=freeze.near,
        holder=holder.number if holder else None,
        note=note_claims.of(found) if found.status == Status.APPLIED else None,
        nominated=nominations.of(now),
        timeline=entries,
        has_earlier=has_earlier,
    )


def in_the_way(request: SignedInRequest, error: workflow.WorkflowError | None) -> HttpResponse | None:
    """The page of the request that a new one would collide with, if that is why there is none."""
    if not isinstance(error, workflow.Conflict) or error.request is None:
        return None
    return page(request, get_request(error.request.pk), status=tell(request, error))


def get_request(pk: int) -> PromotionRequest:
    """With what its page names. Raises Http404."""
    found = one_request.find(pk)
    if found is None:
        raise Http404(f"There is no request #{pk}.")
    return found
