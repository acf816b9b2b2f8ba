"""Whether a verdict can be taken back by the one who gave it, before anything has followed from it."""

from dataclasses import dataclass

from approvals.policy.actions import YES, Answer, no


@dataclass(frozen=True, slots=True)
class VerdictFacts:
    """What the answer below depends on, gathered by `selectors.undoing`."""

    reviewer: int
    reviewer_name: str
    verdict: str
    stands: bool
    """False: it is void, because it was undone or what it was given for has changed."""

    seconds: int
    """How long verdicts can be undone in this installation; 0: not at all."""

    is_in_time: bool
    status: str
    status_label: str
    is_urgent: bool


_ENDED_BY = {"reject": "rejected", "request_changes": "changes_requested"}


def may_undo(actor: int, facts: VerdictFacts) -> Answer:
    """`actor` is the person's number."""
    if actor != facts.reviewer:
        return no("not_reviewer", f"Only {facts.reviewer_name} can undo this decision.")
    if not facts.stands:
        return no("not_counted", "This decision does not count any more, so there is nothing to undo.")
    if not facts.seconds:
        return no("undo_disabled", "Decisions cannot be undone in this installation.")
    if not facts.is_in_time:
        return no("undo_expired", f"A decision can be undone within {facts.seconds} seconds, and they are over.")
    # What puts something right is delivered at once, so there is nothing left to stop.
    if facts.is_urgent and facts.status == "approved":
        return no(
            "delivered_at_once",
            "A rollback is delivered as soon as it is approved, so its last approval cannot be undone.",
        )
    open_to = ("checking", "pending", "changes_requested", "approved", "rejected")
    if facts.status not in open_to or facts.status != _ENDED_BY.get(facts.verdict, facts.status):
        return no("undo_too_late", f"It is too late to undo this decision: {facts.status_label.lower()}.")
    return YES
