"""Which requests can be approved together, and why others cannot: for the table that is confirmed, and for the verb."""

from collections import Counter
from collections.abc import Sequence

from approvals.models import Outcome, RequestKind
from approvals.selectors import frozen_metrics
from approvals.selectors.request_state import RequestState

FEWEST, MOST = 2, 50
"""Requests in one batch."""


def refusals(states: Sequence[RequestState]) -> dict[int, str]:
    """Why these requests cannot be approved together by the person they were read for: request → sentence, and {} when
    all of them can. They go to the target of the first; of one model there is one. No query."""
    first = states[0].request.target if states else None
    of_model = Counter(each.request.version.model_id for each in states)
    found = {}
    for now in states:
        request = now.request
        words = refusal(now)
        if not words and first and request.target_id != first.pk:
            words = f"It is for {request.target.name}, the others are for {first.name}."
        if not words and of_model[request.version.model_id] > 1:
            words = f"There is more than one version of {request.version.model.name} among them."
        if words:
            found[request.pk] = words
    return found


def refusal(now: RequestState) -> str:
    """Why this one cannot be approved with others, by the person it was read for; "" when it can. No query."""
    request, rule = now.request, now.rule
    if not now.actions["approve"]:
        return now.actions["approve"].reason
    if request.kind != RequestKind.PROMOTION:
        return "Only promotions are approved together."
    if not rule.batch_approval:
        return "The policy does not allow approving it together with others."
    if rule.requires_reason:
        return "The policy requires a comment with every approval."
    if rule.signature.reauthenticate or rule.signature.asks_meaning:
        return "The policy asks for a signature with a proof of identity or a meaning."
    unpassed = next((each.title for each in now.checks if each.outcome != Outcome.PASS), "")
    if unpassed:
        return f"The check “{unpassed}” has not passed."
    rows = frozen_metrics.rows_of(request) if request.champion_id else []
    worse = next((row.name for row in rows if row.judgement == "worse" or row.is_lost), "")
    if worse:
        return f"The metric {worse} is worse than the champion's, or missing."
    return ""
