"""What the form of a policy sends."""

from typing import Any

from approvals.models import Target


def policy_data(target: Target, pattern: str, *slots: tuple[Any, Any], **fields: Any) -> dict[str, Any]:
    """What the form sends in a browser without script: three rows, filled from the first."""
    rows = [*slots, ("", ""), ("", "")][:3]
    data = {
        "target": target.pk,
        "model_pattern": pattern,
        "open_for_days": 14,
        "slots-TOTAL_FORMS": 3,
        "slots-INITIAL_FORMS": 1,
    }
    for place, (approvals, group) in enumerate(rows):
        data |= {f"slots-{place}-approvals": approvals, f"slots-{place}-group": group}
    return data | fields
