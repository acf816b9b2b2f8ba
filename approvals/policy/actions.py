"""Who may do what with a request, and why not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from approvals.policy.slots import Reviewer, SlotState, assign


@dataclass(frozen=True, slots=True)
class Actor:
    id: int
    permissions: frozenset[str]
    is_service_account: bool = False
    is_answered_for: bool = True
    """False: a service account without an active owner."""

    def may(self, permission: str) -> bool:
        return permission in self.permissions


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether an action is open to a person; when it is not, `reason` is a sentence for them, and `code` the same for
    programs: one word that stays what it is when the sentence is worded anew."""

    is_allowed: bool
    reason: str = ""
    code: str = ""

    def __bool__(self) -> bool:
        return self.is_allowed


YES = Answer(True)
NOBODY_ANSWERS = (
    "This service account has no active owner, so it cannot make requests. An administrator can set one under People."
)


def no(code: str, reason: str) -> Answer:
    return Answer(False, reason, code)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What the answers below depend on, gathered once by `selectors.request_state.of`."""

    status: str
    status_label: str
    asked_by: Collection[int]
    """Ids of those who count as the requester: who asked, and the owner of the service account that did."""

    states: Sequence[SlotState]
    is_overdue: bool
    own_verdict: str
    """The actor's live review in words ("Approved"), or "" when there is none."""
    own_groups: frozenset[str]
    stale: str
    """Why the request is out of date, as a sentence; "" when it is not."""

    contributes: str = ""
    """How the actor contributed to the version ("trained it"), where the rule excludes contributors; else ""."""

    blocked_by: Sequence[str] = ()
    """Titles of live checks that failed, block, and were not overridden."""

    delivery: str = ""
    """Of an approved request: `waiting` (a try failed; it is tried again), `half` (MLflow has done a part), or ""."""

    kind: str = "promotion"
    unanswered: str = ""
    """Why no one can be told from the requester, as a sentence: a service account without an owner asked; else ""."""
    gone: str = ""
    """Why there is nothing to deliver: the version no longer exists under this name, as a sentence; else ""."""

    vacates: str = ""
    """Why delivering it would leave a later target empty, as a sentence; "" when it would not."""


def available_actions(actor: Actor, facts: RequestFacts) -> dict[str, Answer]:
    """Every action on a request, with the answer for this person."""
    return {
        "approve": _may_approve(actor, facts),
        "reject": _may_decide(actor, facts),
        "request_changes": _may_decide(actor, facts),
        "comment": _may_comment(actor),
        "nominate": _may_nominate(actor, facts),
        "withdraw": _may_withdraw(actor, facts),
        "resubmit": _may_resubmit(actor, facts),
        "retry": _may_retry(actor, facts),
        "override": _may_override(actor, facts),
        "end": _may_end(actor, facts),
        "end_half": _may_end_half(actor, facts),
    }


def may_request(actor: Actor) -> Answer:
    if not actor.is_answered_for:
        return no("owner_missing", NOBODY_ANSWERS)
    if not actor.may("approvals.request_promotion"):
        return no(
            "role_required", "You need the requester role to request a promotion. An administrator can give it to you."
        )
    return YES


def may_report_check(
    actor: Actor, check: str, *, asks_as: Collection[int], asked_by: Collection[int], groups: Collection[str]
) -> Answer:
    """Whether a program may say what came of the external check with this name. `asks_as` are the ids of those who
    count as the requester of what the program asks, `asked_by` of those who count as the requester here."""
    if not actor.is_service_account:
        return no("persons_cannot", "Service accounts report the results of external checks, not people.")
    if set(asks_as) & set(asked_by):
        return no("self_check", "This account counts as the requester, so another one must report the result.")
    if check not in groups:
        said = f"Only service accounts in the group {check} report this check."
        return no("not_in_group", f"{said} An administrator can add one to it under People.")
    return YES


def _may_decide(actor: Actor, facts: RequestFacts) -> Answer:
    if facts.status == "checking" and facts.blocked_by:
        return no("checks_failed", f"Automatic checks block this request: {', '.join(facts.blocked_by)}.")
    if facts.status == "checking":
        return no("checks_running", "The automatic checks are still running.")
    if facts.status != "pending":
        return no("not_pending", f"No decision is open: {facts.status_label.lower()}.")
    if facts.is_overdue:
        return no("expired", "This request is past its time limit and expires now.")
    if actor.id in facts.asked_by:
        return no("self_approval", "You requested this promotion, so another person must review it.")
    if actor.is_service_account:
        return no("service_account", "Service accounts never sign; a person must review it.")
    if not actor.may("approvals.review_promotion"):
        return no("role_required", "Only reviewers can decide on requests.")
    if facts.contributes:
        return no("contributor", f"You {facts.contributes}, so another person must review it.")
    if facts.own_verdict:
        return no("already_decided", f"You have already decided: {facts.own_verdict.lower()}.")
    return YES


def _may_approve(actor: Actor, facts: RequestFacts) -> Answer:
    answer = _may_decide(actor, facts)
    if not answer:
        return answer
    if facts.unanswered:
        return no("owner_missing", facts.unanswered)
    if facts.gone:
        return no("version_gone", facts.gone)
    if facts.vacates:
        return no("would_vacate", facts.vacates)
    if facts.stale:
        return no("evidence_changed", f"{facts.stale} The request returns to review in a moment.")
    me = Reviewer(actor.id, "", facts.own_groups)
    open_slots = [state.slot for state in facts.states if not state.is_filled]
    approvers = [person for state in facts.states for person in state.filled_by]
    before = len(approvers)
    rule_slots = [state.slot for state in facts.states]
    if sum(map(len, assign(rule_slots, [*approvers, me]))) == before:
        needed = " and ".join(slot.sentence for slot in open_slots)
        return no("approval_not_missing", f"The missing approvals must come from others: {needed}.")
    return YES


def _may_comment(actor: Actor) -> Answer:
    if not actor.may("approvals.comment_on_request"):
        return no("role_required", "Only requesters and reviewers can comment.")
    return YES


def _may_nominate(actor: Actor, facts: RequestFacts) -> Answer:
    """Asking a person by name to review."""
    if facts.status not in ("checking", "pending"):
        return no("not_under_review", f"No review is open: {facts.status_label.lower()}.")
    if actor.id not in facts.asked_by and not actor.may("approvals.retry_delivery"):
        return no("role_required", "The requester, reviewers and administrators can ask a person by name to review.")
    return YES


def _may_withdraw(actor: Actor, facts: RequestFacts) -> Answer:
    if facts.status not in _OPEN:
        return no("not_open", f"It can no longer be withdrawn: {facts.status_label.lower()}.")
    if facts.delivery == "half":
        return no("partly_delivered", _HALF)
    if actor.id not in facts.asked_by:
        return no("not_requester", "Only the requester can withdraw the request.")
    return YES


def _may_resubmit(actor: Actor, facts: RequestFacts) -> Answer:
    is_blocked = facts.status == "checking" and bool(facts.blocked_by)
    if facts.status not in ("changes_requested", "failed") and not is_blocked:
        return no("nothing_to_submit", "Nothing to submit again.")
    if facts.kind == "break_glass":
        return no(
            "emergency", "An emergency promotion cannot be submitted again: start a new one, or request a promotion."
        )
    if actor.id not in facts.asked_by:
        return no("not_requester", "Only the requester can submit the request again.")
    return may_request(actor)


def _may_retry(actor: Actor, facts: RequestFacts) -> Answer:
    if facts.status != "failed" and not facts.delivery:
        return no("nothing_to_retry", "Only a failed or waiting delivery can be retried.")
    if not actor.may("approvals.retry_delivery"):
        return no("role_required", "Reviewers and administrators can retry a delivery that failed or waits.")
    return YES


_OPEN = ("checking", "pending", "changes_requested", "approved", "failed")
_HALF = "MLflow applied only part of it. A reviewer or administrator undoes it or accepts it."


def _may_end(actor: Actor, facts: RequestFacts) -> Answer:
    """What no one pursues any more does not stay open: another person than the requester can end it as well."""
    if facts.status not in _OPEN:
        return no("not_open", f"It has ended: {facts.status_label.lower()}.")
    if facts.delivery == "half":
        return no("partly_delivered", _HALF)
    if actor.id in facts.asked_by:
        return no("is_requester", "You are the requester: withdraw it instead.")
    if not actor.may("approvals.retry_delivery"):
        return no("role_required", "Reviewers and administrators can end other people's requests.")
    return YES


def _may_end_half(actor: Actor, facts: RequestFacts) -> Answer:
    if facts.delivery != "half":
        return no("not_partly_delivered", "It is not partly delivered.")
    if not actor.may("approvals.retry_delivery") or actor.is_service_account:
        return no("role_required", "Reviewers and administrators resolve a partial delivery.")
    return YES


def _may_override(actor: Actor, facts: RequestFacts) -> Answer:
    if facts.status != "checking" or not facts.blocked_by:
        return no("not_blocked", "No failed check blocks this request.")
    if not actor.may("approvals.override_check") or actor.is_service_account:
        return no("role_required", "Overriding a failed check requires a separate permission; administrators have it.")
    if actor.id in facts.asked_by or facts.contributes:
        return no("not_independent", "The requester and contributors cannot override its checks.")
    return YES
