"""The line with *Undo* after a verdict."""

from dataclasses import dataclass

from accounts.models import User
from approvals.models import Status, Verdict
from approvals.selectors import request_state, undoing


@dataclass(frozen=True, slots=True)
class Given:
    """A verdict that its reviewer can undo now, for `approvals/requests/_undo.html`."""

    undoable: undoing.Undoable
    words: str
    """`churn_predictor v7: approved, 1 of 2.`"""


def of(now: request_state.RequestState, by: User) -> Given | None:
    """What this person may undo on this request; None where they gave no verdict, or where it stands for good. No
    query, unless they gave one."""
    found = undoing.of_standing(now, by)
    return Given(found, words(found, now)) if found else None


def words(found: undoing.Undoable, now: request_state.RequestState) -> str:
    """What the verdict was and what became of the request."""
    request, verdict = now.request, found.review.verdict
    subject = f"{request.version.model.name} v{request.version.number}"
    if verdict == Verdict.REJECT:
        return f"{subject}: rejected."
    if verdict == Verdict.REQUEST_CHANGES:
        return f"{subject}: changes requested."
    tally = f"{subject}: approved, {now.approvals_given} of {now.rule.approvals}."
    return f"{tally} Delivery begins in a few seconds." if request.status == Status.APPROVED else tally
