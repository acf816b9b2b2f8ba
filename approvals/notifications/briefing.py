"""What a reviewer wants to know before they open a request: what is missing, how the metrics compare, how the checks
went. In sentences, for everything that asks for a review."""

from approvals.evidence import comparison
from approvals.notifications import audience
from approvals.selectors import metrics_of_record
from approvals.selectors.request_state import RequestState


def of(now: RequestState) -> str:
    """`It needs 1 approval from risk. Metrics: 2 better, 1 worse than version 6. Checks: 3 passed.`"""
    request, champion = now.request, now.request.champion
    found = [f"It needs {audience.needed(now)}."]
    if champion is None:
        found.append(f"First promotion to {request.target.name}: there is no version to compare with.")
    else:
        rows = metrics_of_record.rows_of(request.version, champion, now.rule.metrics)
        if tally := comparison.tally(rows):
            found.append(f"Metrics against version {champion.number}: {tally}.")
    if now.checks_tally:
        found.append(f"Checks: {now.checks_tally}.")
    return " ".join(found)
