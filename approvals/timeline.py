"""The one time line of a request: its part of the ledger, comments and verdicts included, oldest first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

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

_ICONS = {
    Action.REQUEST_CREATED: "git-pull-request",
    Action.REQUEST_RESUBMITTED: "refresh",
    Action.REQUEST_WITHDRAWN: "arrow-back-up",
    Action.REQUEST_EXPIRED: "hourglass",
    Action.REQUEST_COMMENTED: "message",
    Action.REVIEW_APPROVED: "check",
    Action.REVIEW_REJECTED: "x",
    Action.REVIEW_CHANGES_REQUESTED: "message-2",
    Action.REQUEST_APPROVED: "checks",
    Action.DELIVERY_RETRIED: "rotate-clockwise",
    Action.DELIVERY_FAILED: "alert-triangle",
    Action.DELIVERY_SUPERSEDED: "replace",
    Action.VERSION_PROMOTED: "rocket",
    Action.VERSION_REPLACED: "archive",
    Action.HISTORY_EXPORTED: "download",
}
_KIND_ICONS = {"target": "target", "policy": "scale", "person": "user", "group": "users"}

_TONES = {
    Action.REVIEW_APPROVED: "good",
    Action.REQUEST_APPROVED: "good",
    Action.VERSION_PROMOTED: "good",
    Action.REVIEW_REJECTED: "bad",
    Action.DELIVERY_FAILED: "bad",
    Action.REVIEW_CHANGES_REQUESTED: "waiting",
    Action.DELIVERY_SUPERSEDED: "waiting",
}

NEWEST = 100
"""So many events of one request are shown at once; the history has the rest."""


@dataclass(frozen=True, slots=True)
class Entry:
    event: AuditEvent
    sentence: str
    """What happened, after the actor's name: `approved`, `asked for Production`."""

    said: str

    @property
    def at(self) -> datetime:
        return self.event.at

    @property
    def icon(self) -> str:
        return icon(Action(self.event.action))

    @property
    def tone(self) -> str:
        """`good`, `bad`, `waiting`, or "" for what is neither."""
        return _TONES.get(Action(self.event.action), "")

    @property
    def name(self) -> str:
        """`Remy Ortiz` of `Remy Ortiz <remy@example.com>`."""
        return self.event.actor_label.partition(" <")[0]


def of(request: PromotionRequest, *, newest: int = NEWEST) -> tuple[list[Entry], bool]:
    """The newest events of the request, oldest first, and whether there are earlier ones. One query."""
    found = list(request.events.order_by("-sequence")[: newest + 1])
    return entries(reversed(found[:newest]), is_subject_known=True), len(found) > newest


def entries(events: Iterable[AuditEvent], *, is_subject_known: bool = False) -> list[Entry]:
    return [Entry(event, sentence(event, is_subject_known=is_subject_known), said(event)) for event in events]


def icon(action: Action) -> str:
    return _ICONS.get(action) or _KIND_ICONS[action.partition(".")[0]]


def said(event: AuditEvent) -> str:
    """What somebody said with it, or the reason; "" where nothing."""
    return str(event.data.get(SPOKEN.get(Action(event.action), ""), ""))


def sentence(event: AuditEvent, *, is_subject_known: bool = False) -> str:  # noqa: PLR0912  one case per action
    """One sentence fragment for each action of the closed list; starts with the verb, without a full stop.

    `is_subject_known`: the page is about one request, so the model need not be named again.
    """
    data, target = event.data, event.target_name
    subject = f"{event.model_name} version {event.version_number}" if event.version_number else event.model_name
    if is_subject_known and event.version_number:
        subject = f"version {event.version_number}"
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
            return (
                f"replaced {subject} by version {data.get('by')}: it was {how}"
                if how == "archived"
                else f"replaced {subject} by version {data.get('by')}: it {how}"
            )
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
            before, after = _listed(data.get("before", [])), _listed(data.get("after", []))
            return f"changed the roles of {person} from {before} to {after}"
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
