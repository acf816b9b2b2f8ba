"""Emergency promotion: a promotion goes ahead without its approvals, loudly, and is reviewed afterwards."""

import json
from dataclasses import replace
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from approvals import checks, ledger, policy
from approvals.models import Action, AfterVerdict, CheckResult, PromotionRequest, RequestKind, Status, Target
from approvals.selectors import eligibility, request_state, reviewers
from approvals.workflow import check_results, creation, locks, outbox
from approvals.workflow.shared import Conflict, Invalid, NeedsReauthentication, require
from approvals.workflow.verbs import verb
from mirror.isolation import alone
from mirror.models import ModelVersion


@verb()
def break_glass(
    version: ModelVersion, target: Target, *, by: User, reason: str, proof: policy.Proof | None
) -> PromotionRequest:
    """Promotes `version` without approvals, in spite of freezes and failed checks; a review is owed afterwards. An open
    request for the same makes way.

    `proof` is how and when the person last showed who they are; it is always asked for, as fresh as the policy's
    signature wants it. Raises NotAllowed, Invalid (the reason is too short, or the version cannot be asked for),
    NeedsReauthentication or Conflict.
    """
    asked = eligibility.candidate(version, target)
    rule, existing = asked.rule, asked.open_request
    require(policy.may_break_glass(reviewers.actor_of(by), rule.break_glass))
    reason = reason.strip()
    if asked.problem:
        raise Invalid(asked.problem, code="not_possible")
    if len(reason) < policy.SHORTEST_REASON:
        raise Invalid(f"Describe the emergency in at least {policy.SHORTEST_REASON} characters.")
    # After the plain reasons against it, so that no one shows who they are for nothing.
    signed_with = _check_proof(rule.signature, proof)
    # What is on its way need not be overtaken; what still waits for people makes way.
    if existing is not None and existing.is_urgent and existing.status == Status.APPROVED:
        raise Conflict(
            f"Request #{existing.pk} already takes this version to {target.name}.", existing, code="already_open"
        )
    if existing is not None:
        creation.make_way(existing, by=by, reason="The same was promoted in an emergency, without approval.")
    due_at = timezone.now() + timedelta(hours=rule.break_glass.review_within_hours)
    request = creation.make(
        asked,
        by=by,
        justification=reason,
        kind=RequestKind.BREAK_GLASS,
        is_decided=True,
        afterwards_due_at=due_at,
    )
    # Checks stop nothing here, but anyone who reviews it afterwards is to know what they found.
    # Nothing waits for them; the review afterwards, and the event, have what they would have said.
    found = _check_for_the_record(request, rule)
    entry = outbox.enqueue(request)
    ledger.record(
        Action.GLASS_BROKEN,
        actor=by,
        request=request,
        data={
            "reason": reason,
            "due_at": due_at.isoformat(),
            "instead_of": rule.sentence,
            "signed_with": signed_with.method,
            "proof_at": signed_with.at.isoformat(),
            "request_replaced": existing.pk if existing else None,
            "failed": [result.title for result in found if result.outcome in ("fail", "warn")],
        },
        rows=[entry, *found],
    )
    return request


def _check_proof(rule: policy.SignatureRule, proof: policy.Proof | None) -> policy.Proof:
    oldest = timezone.now() - timedelta(minutes=rule.within_minutes)
    if proof is None or proof.at < oldest:
        raise NeedsReauthentication(
            f"An emergency promotion requires a proof of identity from the last {rule.within_minutes} minutes."
        )
    return proof


def _check_for_the_record(request: PromotionRequest, rule: policy.Rule) -> list[CheckResult]:
    """What the checks say that need nothing from outside: it stops nothing, and the review afterwards sees it."""
    wanted = [replace(check, effect=policy.Effect.WARN) for check in rule.checks if check.kind != "external"]
    ran = checks.run(wanted, json.loads(request.evidence), today=timezone.now().date())
    return CheckResult.objects.bulk_create(
        check_results.row(request, position, result, dict(check.settings))
        for position, (check, result) in enumerate(zip(wanted, ran, strict=True))
    )


# --- Afterwards -------------------------------------------------------------------------------------------------------


@verb()
def review_afterwards(request: PromotionRequest, *, by: User, verdict: str, comment: str) -> None:
    """One reviewer's word on an emergency promotion, `justified` or `not_justified`, once. It moves nothing: what is
    not justified can be rolled back. Raises NotAllowed or Invalid (no comment, or no such verdict)."""
    require(policy.may_review_afterwards(reviewers.actor_of(by), request_state.after_facts(request, by)))
    comment = comment.strip()
    if verdict not in AfterVerdict.values:
        raise Invalid("Choose whether it was justified.")
    if not comment:
        raise Invalid("Enter a reason; auditors read it.", code="reason_required")
    # The request is locked, so that `require` above and this see the same: there is one review afterwards.
    PromotionRequest.objects.filter(pk=request.pk, afterwards_at=None).update(
        afterwards_at=timezone.now(), afterwards_by=by, afterwards_verdict=verdict, afterwards_comment=comment
    )
    ledger.record(Action.REVIEWED_AFTERWARDS, actor=by, request=request, data={"verdict": verdict, "comment": comment})


def call_out_overdue() -> int:
    """Records, once for each, that an emergency promotion was not reviewed in time; returns how many are new. Safe to
    run twice at once."""
    due = PromotionRequest.objects.owing_review().filter(afterwards_due_at__lte=timezone.now())
    # Without a lock first: most were flagged before.
    called = due.filter(events__action=Action.AFTERWARDS_OVERDUE)
    new = 0
    for request in due.exclude(pk__in=called.values("pk")).order_by("pk"):
        with alone("review.not_called_out", request=request.pk):
            new += _call_out(request)
    return new


@transaction.atomic
def _call_out(request: PromotionRequest) -> bool:
    request = locks.lock_request(request)
    is_done = request.events.filter(action=Action.AFTERWARDS_OVERDUE).exists()
    if is_done or request.afterwards_at or request.afterwards_due_at is None:
        return False
    due_at = request.afterwards_due_at.isoformat()
    ledger.record(Action.AFTERWARDS_OVERDUE, actor=None, request=request, data={"due_at": due_at})
    return True
