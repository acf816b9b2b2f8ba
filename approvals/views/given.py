"""The line with *Undo* after a verdict."""

from dataclasses import dataclass

from accounts.models import User
from approvals.models import Status, Verdict
from approvals.selectors import approval_effect, request_state, undoing
from approvals.selectors.approval_effect import Effect


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
    if found.together > 1:
        return f"{found.together} requests approved together."
    subject = f"{request.version.model.name} v{request.version.number}"
    if verdict == Verdict.REJECT:
        return f"{subject}: rejected."
    if verdict == Verdict.REQUEST_CHANGES:
        return f"{subject}: changes requested."
    tally = f"{subject}: approved, {now.approvals_given} of {now.rule.approvals}."
    return f"{tally} Delivery begins in a few seconds." if request.status == Status.APPROVED else tally


def surprise(now: request_state.RequestState, by: User, *, said: str) -> str:
    """What an approval did that was just given, where that is another thing than its page `said`; else "". One
    query."""
    if not said or now.request.status not in (Status.PENDING, Status.APPROVED, Status.APPLIED):
        return ""
    did = approval_effect.had(now)
    if said == did:
        return ""
    version = f"v{now.request.version.number}"
    others = [each.reviewer.name for each in now.reviews if each.reviewer_id in now.counted - {by.pk}]
    since = f" {' and '.join(others)} approved while you were reading." if others else ""
    match did:
        case Effect.COUNTS:
            return f"Your approval was not the last one, because another one no longer counts: {version} still waits."
        case Effect.WAITS if said == Effect.DELIVERS:
            return f"A freeze has begun: {version} is approved, and is delivered when it ends."
        case Effect.WAITS:
            return f"Your approval was the last one: {version} is delivered when the freeze ends.{since}"
        case Effect.DELIVERS if said == Effect.WAITS:
            return f"The freeze has ended: {version} is being delivered."
        case _:
            return f"Your approval was the last one: {version} is being delivered.{since}"
