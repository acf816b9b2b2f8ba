"""The one time line of a request: its part of the ledger, comments and verdicts included, oldest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from approvals.models import Action, AuditEvent, PromotionRequest

SPOKEN = {
    Action.REQUEST_CREATED: "justification",
    Action.REQUEST_RESUBMITTED: "justification",
    Action.REQUEST_COMMENTED: "comment",
    Action.REVIEW_APPROVED: "comment",
    Action.REVIEW_REJECTED: "comment",
    Action.REVIEW_CHANGES_REQUESTED: "comment",
    Action.REQUEST_WITHDRAWN: "reason",
    Action.REQUEST_EXPIRED: "reason",
    Action.DELIVERY_FAILED: "reason",
    Action.DELIVERY_SUPERSEDED: "reason",
}
"""Which key of an event's data is what somebody said."""


@dataclass(frozen=True, slots=True)
class Entry:
    event: AuditEvent
    sentence: str
    """What happened, after the actor's name: `approved`, `asked for Production`."""

    said: str

    @property
    def at(self) -> datetime:
        return self.event.at


def of(request: PromotionRequest) -> list[Entry]:
    return entries(request.events.select_related("actor").order_by("sequence"))


def entries(events: Any) -> list[Entry]:
    return [Entry(event, sentence(event), str(event.data.get(SPOKEN.get(Action(event.action), ""), ""))) for event in events]


def sentence(event: AuditEvent) -> str:
    """One sentence fragment for each action of the closed list; starts with the verb, without a full stop."""
    data, target = event.data, event.target_name
    subject = f"{event.model_name} version {event.version_number}" if event.version_number else event.model_name
    person = data.get("person", "")
    match Action(event.action):
        case Action.REQUEST_CREATED:
            return f"asked for {subject} to reach {target}"
        case Action.REQUEST_RESUBMITTED:
            changed = data.get("changed") or []
            return "submitted the request again" + (f"; changed since: {_listed(changed)}" if changed else "")
        case Action.REQUEST_WITHDRAWN:
            return "withdrew the request"
        case Action.REQUEST_EXPIRED:
            return "let the request expire"
        case Action.REQUEST_COMMENTED:
            return "commented"
        case Action.REVIEW_APPROVED:
            return f"approved {subject} for {target}"
        case Action.REVIEW_REJECTED:
            return f"rejected {subject} for {target}"
        case Action.REVIEW_CHANGES_REQUESTED:
            return "asked for changes"
        case Action.REQUEST_APPROVED:
            return "gave the last missing approval; delivery to MLflow began"
        case Action.DELIVERY_RETRIED:
            return "retried the delivery"
        case Action.DELIVERY_FAILED:
            return f"could not deliver {subject} to {target}"
        case Action.DELIVERY_SUPERSEDED:
            return "stopped the delivery: the champion had changed"
        case Action.VERSION_PROMOTED:
            replaced = data.get("replaced")
            return f"promoted {subject} to {target}" + (f", replacing version {replaced}" if replaced else "")
        case Action.VERSION_REPLACED:
            how = data.get("how", "replaced")
            return f"replaced {subject} by version {data.get('by')}: it was {how}" if how == "archived" else f"replaced {subject} by version {data.get('by')}: it {how}"
        case Action.TARGET_CREATED:
            return f"added the target {target}"
        case Action.TARGET_CHANGED:
            return f"changed the target {target}"
        case Action.TARGET_RETIRED:
            return f"retired the target {target}"
        case Action.POLICY_CREATED:
            return f"added the policy {target} of {data.get('after', {}).get('model_pattern', '')}"
        case Action.POLICY_CHANGED:
            return f"changed the policy {target} of {data.get('after', {}).get('model_pattern', '')}"
        case Action.POLICY_RETIRED:
            return f"retired the policy {target} of {data.get('before', {}).get('model_pattern', '')}"
        case Action.PERSON_INVITED:
            return f"invited {person}"
        case Action.PERSON_CHANGED:
            return f"changed the roles of {person} from {_listed(data.get('before', []))} to {_listed(data.get('after', []))}"
        case Action.PERSON_DEACTIVATED:
            return f"deactivated {person}"
        case Action.PERSON_REACTIVATED:
            return f"reactivated {person}"
        case Action.GROUP_CREATED:
            return f"added the group {data.get('group', '')}"
        case Action.HISTORY_EXPORTED:
            return "exported the history"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) if words else "none"
