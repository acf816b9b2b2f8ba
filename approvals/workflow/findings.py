"""Conditional approval: what has to be put right afterwards, by whom and until when, listed until it is closed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from django.utils import timezone

from accounts.models import User
from approvals import ledger, policy
from approvals.models import Action, Finding, Review, Verdict
from approvals.workflow.shared import Invalid, NotAllowed
from approvals.workflow.verbs import verb


@dataclass(frozen=True, slots=True)
class FindingInput:
    text: str
    owner: User
    due_on: date


def raise_findings(review: Review, rule: policy.Rule, wanted: Sequence[FindingInput]) -> list[Finding]:
    """Stores what an approval asks for, in the caller's transaction. Raises Invalid."""
    if not wanted:
        return []
    if review.verdict != Verdict.APPROVE:
        raise Invalid("Findings are part of an approval. To reject or request changes, use the comment.")
    if not rule.allows_findings:
        raise Invalid("This policy does not allow approvals with findings. Request changes instead.")
    owners = User.objects.in_bulk([each.owner.pk for each in wanted])  # as they are now
    wanted = [replace(each, owner=owners[each.owner.pk]) for each in wanted]
    for each in wanted:
        if not each.text.strip():
            raise Invalid("Enter what to fix.")
        if not each.owner.is_active or each.owner.is_service_account:
            raise Invalid(f"{each.owner.name} cannot own a finding.")
        if each.due_on < timezone.now().date():
            raise Invalid("The due date is today or later.")
    return [
        Finding.objects.create(review=review, text=each.text.strip(), owner=each.owner, due_on=each.due_on)
        for each in wanted
    ]


def may_close(finding: Finding, user: User) -> policy.Answer:
    """Any reviewer but its owner says that it is put right, also when the owner raised it."""
    if finding.closed_at:
        return policy.no("already_closed", "It is already closed.")
    if user.pk == finding.owner_id:
        return policy.no("finding_owner", "You own this finding, so another person must close it.")
    if user.is_service_account or not user.has_perm("approvals.review_promotion"):
        return policy.no("role_required", "Only reviewers can close findings.")
    return policy.YES


@verb()
def close_finding(finding: Finding, *, by: User, note: str) -> None:
    """Closes it with a note on what was done. Raises NotAllowed or Invalid."""
    finding = (
        Finding.objects.select_for_update(of=("self",))
        .select_related("review__request__version__model", "review__request__target", "owner")
        .get(pk=finding.pk)
    )
    answer = may_close(finding, by)
    if not answer:
        raise NotAllowed(answer.reason, code=answer.code)
    if not note.strip():
        raise Invalid("Enter what was done.")
    finding.closed_at, finding.closed_by, finding.closing_note = timezone.now(), by, note.strip()
    finding.save(update_fields=["closed_at", "closed_by", "closing_note"])
    ledger.record(
        Action.FINDING_CLOSED,
        actor=by,
        request=finding.review.request,
        data={"finding": finding.pk, "text": finding.text, "owner": finding.owner.label, "note": finding.closing_note},
        rows=[finding],
    )
