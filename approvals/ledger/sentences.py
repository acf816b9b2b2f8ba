"""How an event of the ledger reads: one sentence, what somebody said with it, icon and tone."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from approvals.models import Action, AuditEvent

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
    Action.DELIVERY_HELD: "reason",
    Action.DELIVERY_HALFWAY: "reason",
    Action.DELIVERY_ENDED: "reason",
    Action.REQUEST_REOPENED: "reason",
    Action.REQUEST_ESCALATED: "reason",
    Action.CHECK_ANSWERED: "reason",
    Action.CHECK_OVERRIDDEN: "reason",
    Action.FINDING_CLOSED: "note",
    Action.INCIDENT_RESOLVED: "reason",
    Action.GLASS_BROKEN: "reason",
    Action.REVIEWED_AFTERWARDS: "comment",
    Action.PROBATION_ENDED: "reason",
    Action.HEALTH_REPORTED: "reason",
    Action.PERSON_PSEUDONYMISED: "reason",
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
    Action.DELIVERY_HELD: "hourglass",
    Action.DELIVERY_HALFWAY: "alert-triangle",
    Action.DELIVERY_ENDED: "arrow-back-up",
    Action.REQUEST_CHECKED: "checks",
    Action.REQUEST_REOPENED: "refresh",
    Action.REQUEST_ESCALATED: "alert-triangle",
    Action.CHECK_ANSWERED: "checks",
    Action.CHECK_OVERRIDDEN: "alert-triangle",
    Action.FINDING_CLOSED: "check",
    Action.VERSION_PROMOTED: "rocket",
    Action.VERSION_REPLACED: "archive",
    Action.VERSION_RESTORED: "arrow-back-up",
    Action.GLASS_BROKEN: "alert-triangle",
    Action.REVIEWED_AFTERWARDS: "check",
    Action.AFTERWARDS_OVERDUE: "alert-triangle",
    Action.HISTORY_EXPORTED: "download",
    Action.HISTORY_IMPORTED: "history",
    Action.EVIDENCE_EXPORTED: "download",
    Action.ROWS_SEALED: "link",
    Action.KEY_CHANGED: "link",
    Action.DELETIONS_CONFIRMED: "trash",
    Action.REGISTRY_ACCEPTED: "link",
    Action.CUT_ACKNOWLEDGED: "alert-triangle",
}
_KIND_ICONS = {
    "target": "target",
    "policy": "scale",
    "person": "user",
    "group": "users",
    "freeze": "hourglass",
    "tenure": "history",
    "incident": "alert-triangle",
    "probation": "hourglass",
    "health": "checks",
}

_TONES = {
    Action.REVIEW_APPROVED: "good",
    Action.REQUEST_APPROVED: "good",
    Action.VERSION_PROMOTED: "good",
    Action.REVIEW_REJECTED: "bad",
    Action.DELIVERY_FAILED: "bad",
    Action.REVIEW_CHANGES_REQUESTED: "waiting",
    Action.REQUEST_REOPENED: "waiting",
    Action.REQUEST_ESCALATED: "waiting",
    Action.CHECK_OVERRIDDEN: "waiting",
    Action.DELIVERY_HELD: "waiting",
    Action.DELIVERY_HALFWAY: "bad",
    Action.DELIVERY_ENDED: "waiting",
    Action.INCIDENT_OPENED: "bad",
    Action.GLASS_BROKEN: "bad",
    Action.AFTERWARDS_OVERDUE: "bad",
    Action.VERSION_RESTORED: "waiting",
}


def icon(action: Action) -> str:
    return _ICONS.get(action) or _KIND_ICONS[action.partition(".")[0]]


def tone(action: Action) -> str:
    """`good`, `bad`, `waiting`, or "" for what is neither."""
    return _TONES.get(action, "")


def said(event: AuditEvent) -> str:
    """What somebody said with it, or the reason; "" where nothing, or where the next event says it."""
    if event.data.get("kind") == "break_glass":
        return ""
    return str(event.data.get(SPOKEN.get(Action(event.action), ""), ""))


def sentence(event: AuditEvent, *, is_subject_known: bool = False) -> str:  # noqa: PLR0912, PLR0915  one case per action
    """One sentence fragment for each action of the closed list; starts with the verb, without a full stop.

    `is_subject_known`: the page is about one request, so the model need not be named again.
    """
    data, target = event.data, event.target_name
    subject = f"{event.model_name} version {event.version_number}" if event.version_number else event.model_name
    if is_subject_known and event.version_number:
        subject = f"version {event.version_number}"
    person = data.get("person", "")
    match Action(event.action):
        case Action.REQUEST_CREATED if data.get("kind") == "rollback":
            return f"asked to roll {target} back to {subject}"
        case Action.REQUEST_CREATED if data.get("kind") == "break_glass":
            return f"wanted {subject} in {target} at once, without approvals"
        case Action.REQUEST_CREATED:
            return f"asked for {subject} to reach {target}"
        case Action.REQUEST_RESUBMITTED if "policy" in data:
            return f"submitted {subject} again under the policy for {data['policy'] or 'everything else'}"
        case Action.REQUEST_RESUBMITTED:
            changed = data.get("changed") or []
            return "submitted the request again" + (f"; changed since: {_listed(changed)}" if changed else "")
        case Action.REQUEST_WITHDRAWN:
            return "withdrew the request"
        case Action.REQUEST_EXPIRED:
            return "let the request expire"
        case Action.REQUEST_COMMENTED:
            return "commented"
        case Action.REQUEST_CHECKED:
            return _checked(data)
        case Action.REQUEST_REOPENED:
            voided, kept = data.get("voided", []), data.get("kept", [])
            void = f"; void: {_names(voided)}" if voided else ""
            stays = f"; kept: {_names(kept)}" if kept else ""
            return f"sent the request back to review{void}{stays}"
        case Action.REQUEST_ESCALATED:
            return f"escalated the request to {data.get('group', '')}"
        case Action.CHECK_ANSWERED if data.get("said_by") == "Countersign":
            return f"gave up waiting for the check {data.get('check', '')}"
        case Action.CHECK_ANSWERED:
            return f"answered the check {data.get('check', '')}: {'pass' if data.get('passed') else 'fail'}"
        case Action.CHECK_OVERRIDDEN:
            return f"overrode the failed check {data.get('check', '')}"
        case Action.FINDING_CLOSED:
            return f"closed the finding “{data.get('text', '')}”"
        case Action.REVIEW_APPROVED:
            count = len(data.get("findings", ()))
            findings = f" with {count} finding{'' if count == 1 else 's'}" if count else ""
            return f"approved {subject} for {target}{findings}{_after_reading(data)}"
        case Action.REVIEW_REJECTED:
            return f"rejected {subject} for {target}"
        case Action.REVIEW_CHANGES_REQUESTED:
            return "asked for changes"
        case Action.REQUEST_APPROVED if data.get("alone"):
            return "needed no approval for it; delivery to MLflow began"
        case Action.REQUEST_APPROVED:
            return "gave the last missing approval; delivery to MLflow began"
        case Action.DELIVERY_RETRIED:
            return "retried the delivery"
        case Action.DELIVERY_FAILED:
            return f"could not deliver {subject} to {target}"
        case Action.DELIVERY_HALFWAY:
            reached = " and ".join(data.get("reached", ())) or "nothing"
            return f"delivered half of {subject} to {target}: {reached} yes, {' and '.join(data.get('missing', ()))} no"
        case Action.DELIVERY_ENDED if data.get("how") == "accept":
            return f"accepted the half delivery of {subject} to {target} as it is"
        case Action.DELIVERY_ENDED:
            return f"had the half delivery of {subject} to {target} put back"
        case Action.DELIVERY_HELD:
            held = f"held the delivery of {subject} to {target}"
            if not data.get("freeze"):
                return held
            until = datetime.fromisoformat(data["until"]).astimezone(UTC)
            return f"{held} until {until:%Y-%m-%d %H:%M} UTC: the freeze “{data['freeze']}” is on"
        case Action.VERSION_PROMOTED:
            replaced = data.get("replaced")
            done = f"promoted {subject} to {target}"
            if data.get("kind") == "rollback":
                done = f"rolled {target} back to {subject}"
            elif data.get("kind") == "break_glass":
                done = f"promoted {subject} to {target} without approvals (break-glass)"
            return done + (f", replacing version {replaced}" if replaced else "")
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
            return f"added the policy {target} of {_pattern(data.get('after', {}))}"
        case Action.POLICY_CHANGED:
            return f"changed the policy {target} of {_pattern(data.get('after', {}))}"
        case Action.POLICY_RETIRED:
            return f"retired the policy {target} of {_pattern(data.get('before', {}))}"
        case Action.POLICY_REORDERED:
            return f"reordered the policies of {target}"
        case Action.FREEZE_CREATED:
            return f"added the freeze {data.get('after', {}).get('name', '')}"
        case Action.FREEZE_CHANGED:
            return f"changed the freeze {data.get('after', {}).get('name', '')}"
        case Action.FREEZE_RETIRED:
            return f"retired the freeze {data.get('before', {}).get('name', '')}"
        case Action.PERSON_INVITED:
            return f"invited {person}"
        case Action.PERSON_CHANGED:
            before, after = _listed(data.get("before", [])), _listed(data.get("after", []))
            return f"changed the roles of {person} from {before} to {after}"
        case Action.PERSON_IDENTIFIED:
            owner = data.get("after", {}).get("owner", "")
            if owner != data.get("before", {}).get("owner", ""):
                return f"made {owner} the owner of {person}" if owner else f"took the owner of {person} away"
            return f"changed what {person} is called in MLflow, or what kind of account it is"
        case Action.PERSON_DEACTIVATED:
            return f"deactivated {person}"
        case Action.PERSON_REACTIVATED:
            return f"reactivated {person}"
        case Action.GROUP_CREATED:
            return f"added the group {data.get('group', '')}"
        case Action.HISTORY_EXPORTED:
            return "exported the history"
        case Action.VERSION_RESTORED if event.version_number is None:
            return f"emptied {data.get('place', target)} of {subject} again: nothing was approved there"
        case _:
            return _beside_the_gate(Action(event.action), data, subject, target)


def _beside_the_gate(  # noqa: PLR0912  one case per action
    action: Action, data: Mapping[str, Any], subject: str, target: str
) -> str:
    """The same for what happened without a delivery, after one, or to the record itself."""
    match action:
        case Action.VERSION_RESTORED:
            return f"put {subject} back into {data.get('place', target)}"
        case Action.TENURE_FOUND if data.get("is_gone"):
            return f"found {subject} gone from {data.get('place', target)}, to which it was promoted"
        case Action.TENURE_FOUND:
            return f"found {subject} in {data.get('place', target)}: held before the gate, approver unknown"
        case Action.INCIDENT_OPENED if data.get("kind") in ("prompt", "hidden"):
            marked = "marked as a prompt in MLflow" if data["kind"] == "prompt" else "hidden from MLflow's search"
            return f"found {subject} or its model {marked}"
        case Action.INCIDENT_OPENED:
            return f"found a change outside the gate: {data.get('place', '')} of {subject}"
        case Action.INCIDENT_RESOLVED:
            return f"resolved incident #{data.get('incident')}"
        case Action.GLASS_BROKEN:
            return f"broke the glass: {subject} goes to {target} without approvals"
        case Action.REVIEWED_AFTERWARDS:
            return f"reviewed the break-glass promotion: {str(data.get('verdict', '')).replace('_', ' ')}"
        case Action.AFTERWARDS_OVERDUE:
            return "called out that the break-glass promotion has not been reviewed in time"
        case Action.PROBATION_STARTED:
            return f"put {subject} on probation in {target} for {data.get('hours')} hours"
        case Action.PROBATION_ENDED:
            return f"ended the probation of {subject}: {str(data.get('outcome', '')).replace('_', ' ')}"
        case Action.HEALTH_REPORTED:
            return f"reported {subject} {'healthy' if data.get('healthy') else 'not healthy'}"
        case Action.PERSON_RENAMED:
            return f"changed the name of {data.get('before', '')} to {data.get('after', '')}"
        case Action.PERSON_PSEUDONYMISED:
            return f"pseudonymised {data.get('person', '')}"
        case Action.HISTORY_IMPORTED:
            return f"imported {data.get('count', 0)} rows of earlier history"
        case Action.EVIDENCE_EXPORTED:
            return "exported audit evidence"
        case Action.PERSON_JOINED:
            return f"made an account for {data.get('person', '')}, who signed up"
        case Action.ROWS_SEALED:
            return "recorded how things were left"
        case Action.KEY_CHANGED:
            return "changed the key that signs the checkpoints"
        case Action.DELETIONS_CONFIRMED:
            models, versions = data.get("models", 0), data.get("versions", 0)
            return f"confirmed that {models} models and {versions} more versions are missing from MLflow"
        case Action.REGISTRY_ACCEPTED:
            return f"accepted the registry at {data.get('after', {}).get('address', '')} as the one that is mirrored"
        case Action.CUT_ACKNOWLEDGED:
            return f"acknowledged that the ledger was cut off after event {data.get('ends_at')}"
        case _:
            raise ValueError(f"There is no sentence for {action}.")


def _checked(data: Mapping[str, Any]) -> str:
    checks = data.get("checks", [])
    failed = sum(each.get("outcome") == "fail" for each in checks)
    words = f"ran {len(checks)} {'check' if len(checks) == 1 else 'checks'}"
    words += f", {failed} failed" if failed else ""
    return f"{words}; reviewers are asked" if data.get("asked") else f"{words}; the request is blocked"


def _after_reading(data: Mapping[str, Any]) -> str:
    """` after having it open for 4 minutes`; "" where that is not known."""
    seconds = data.get("seconds_on_page")
    if seconds is None:
        return ""
    if seconds < 60:
        return f" after having it open for {seconds} second{'' if seconds == 1 else 's'}"
    minutes = round(seconds / 60)
    many, unit = (minutes, "minute") if minutes < 120 else (round(minutes / 60), "hour")
    return f" after having it open for {many} {unit}{'' if many == 1 else 's'}"


def _pattern(policy: Mapping[str, Any]) -> str:
    """Events from before policies had versions carry the pattern at the top."""
    return str(policy.get("terms", policy).get("model_pattern", ""))


def _names(labels: Sequence[str]) -> str:
    return ", ".join(label.partition(" <")[0] for label in labels)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) if words else "none"
