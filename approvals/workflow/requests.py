"""Making a request, submitting it again, taking it back, and letting it expire."""

import contextlib
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from approvals import ledger, policy
from approvals.models import Action, Assessment, Policy, PromotionRequest, RequestKind, Status, Target, Verdict
from approvals.models.requests import UNDECIDED
from approvals.selectors import eligibility, frozen_evidence, request_state, reviewers, rules
from approvals.selectors.eligibility import Candidate
from approvals.workflow import creation, locks, nominations, outbox, rollbacks
from approvals.workflow.shared import Conflict, Invalid, NotAllowed, move, require
from approvals.workflow.verbs import verb
from mirror.isolation import alone
from mirror.models import ModelVersion


@verb()
def request_promotion(
    version: ModelVersion,
    target: Target,
    *,
    by: User,
    justification: str,
    person: User | None = None,
    group: str = "",
) -> PromotionRequest:
    """Asks for `version` to reach `target`: finds the rule, freezes what is known, and hands the request to the worker
    for its checks. People are asked when `conclude` says that nothing stands against it; `person` or `group` by name.

    Raises NotAllowed, Invalid (no justification, version not ready or gone, target retired, already there, the person
    or group cannot review it) or Conflict (there is an open request for this version and target; it is attached).
    """
    require(policy.may_request(reviewers.actor_of(by)))
    asked = _can_be_asked(version, target)
    if not justification.strip():
        raise Invalid("Enter why this version should be promoted.", code="justification_required")
    made = creation.make(asked, by=by, justification=justification.strip())
    if person or group:
        nominations.ask(made, by=by, person=person, group=group)
    return made


@verb()
def resubmit(request: PromotionRequest, *, by: User, justification: str = "") -> None:
    """The requester submits again: the rule is taken anew, and checks and evidence follow. Verdicts other than
    approvals are answered by it; approvals stay where nothing that their slot looks at has changed.

    For a request with requested changes, a failed one, or one that its checks block. Raises NotAllowed or Invalid.
    """
    require(request_state.of(request, by).actions["resubmit"])
    asked = _can_be_asked(request.version, request.target)
    rule = _of_its_kind(request, asked.rule)
    justification = justification.strip() or request.justification
    # The new submission answers what was asked for; approvals wait for what the checks find changed.
    now = timezone.now()
    answered = request.reviews.live().exclude(verdict=Verdict.APPROVE)
    rows = list(answered)
    answered.update(voided_at=now, void_reason="The request was submitted again.")
    move(
        request,
        Status.CHECKING,
        status_reason="",
        justification=justification,
        rule=rule.as_json(),
        expires_at=now + timedelta(days=rule.open_for_days),
    )
    Assessment.objects.owe(request)
    outbox.hint_assessment(request)
    ledger.record(
        Action.REQUEST_RESUBMITTED,
        actor=by,
        request=request,
        data={"justification": justification, "rule": rule.as_json()},
        rows=rows,
    )


@verb()
def submit_under(request: PromotionRequest, *, by: User) -> None:
    """A person who manages policies submits an open request again under the policy that applies today; checks follow,
    and approvals stay where a slot of the new rule can use them. Raises NotAllowed, Invalid (the same applies still) or
    Conflict (it is decided by now)."""
    if not by.has_perm(MANAGE):
        raise NotAllowed("Only administrators can submit requests again under another policy.", code="role_required")
    rule = _of_its_kind(request, rules.rule_for(request.version.model.name, request.target))
    if request.status not in SUBMITTED:
        raise Conflict(f"Nothing to submit again: {request.get_status_display().lower()}.", request, code="not_open")
    if rule.as_json() == request.rule:
        raise Invalid("The request is under this policy already.")
    expires_at = timezone.now() + timedelta(days=rule.open_for_days)
    move(request, Status.CHECKING, status_reason="", rule=rule.as_json(), expires_at=expires_at)
    Assessment.objects.owe(request)
    outbox.hint_assessment(request)
    told = {"justification": request.justification, "rule": rule.as_json(), "policy": rule.model_pattern}
    ledger.record(Action.REQUEST_RESUBMITTED, actor=by, request=request, data=told)


def under_other_policies(target: Target) -> list[int]:
    """Keys of the open requests for the target that would get another policy, or another version of theirs, if they
    were asked today; oldest first. One query, and one for the policies."""
    asked = PromotionRequest.objects.filter(target=target, status__in=SUBMITTED, kind=RequestKind.PROMOTION)
    made_under = asked.values_list("pk", "rule__policy_id", "rule__policy_version", "version__model__name")
    known = list(Policy.objects.current().filter(target=target))
    return [pk for pk, *made, name in made_under.order_by("pk") if tuple(made) != rules.policy_among(known, name)]


@verb()
def withdraw(request: PromotionRequest, *, by: User, reason: str = "") -> None:
    """The requester takes the request back, also while its delivery waits. Raises NotAllowed or Conflict (a worker is
    delivering it in this moment)."""
    require(request_state.of(request, by).actions["withdraw"])
    creation.take_back(request, by=by, reason=reason.strip())


@verb()
def end(request: PromotionRequest, *, by: User, reason: str) -> None:
    """A reviewer or administrator ends another person's open request, whatever it waits for. Raises NotAllowed, Invalid
    (no reason) or Conflict (a worker is delivering it in this moment)."""
    require(request_state.of(request, by).actions["end"])
    if not reason.strip():
        raise Invalid("Enter a reason; the requester and auditors read it.", code="reason_required")
    creation.take_back(request, by=by, reason=reason.strip())


def expire_due() -> int:
    """Expires requests that were open for longer than their policy allows; returns how many. Safe to run twice at
    once."""
    due = PromotionRequest.objects.filter(status__in=UNDECIDED, expires_at__lte=timezone.now())
    expired = 0
    for pk in due.order_by("pk").values_list("pk", flat=True):
        with alone("request.not_expired", request=pk), contextlib.suppress(Conflict):  # decided in this very moment
            expired += _expire(pk)
    return expired


@transaction.atomic
def _expire(pk: int) -> bool:
    request = locks.lock_request(PromotionRequest(pk=pk))
    if not request.is_overdue(timezone.now()):
        return False
    days = policy.Rule.from_json(request.rule).open_for_days
    reason = f"Not decided within {days} {'day' if days == 1 else 'days'}."
    move(request, Status.EXPIRED, status_reason=reason)
    ledger.record(Action.REQUEST_EXPIRED, actor=None, request=request, data={"reason": reason})
    return True


MANAGE = "approvals.manage_policies"
SUBMITTED = (Status.CHECKING, Status.PENDING)
"""Statuses from which another person may submit a request again; what waits for its requester takes the rule anew
anyway."""


def _of_its_kind(request: PromotionRequest, rule: policy.Rule) -> policy.Rule:
    """What the rule of today asks of a request of this kind."""
    if request.kind == RequestKind.ROLLBACK:
        return rollbacks.rule_under(rule, frozen_evidence.approved_before(request))
    return rule


def _can_be_asked(version: ModelVersion, target: Target) -> Candidate:
    """Computed once, under the verb's locks. Raises Invalid with the sentence why not."""
    asked = eligibility.candidate(version, target)
    if asked.problem:
        raise Invalid(asked.problem, code="not_possible")
    return asked
