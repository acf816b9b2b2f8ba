"""What can stand in the ledger, each action declared once: icon and tone, how it reads, and whether people are told.

The declaration stands on the enumeration, beside the label, so that an action is added in one place: pages, filters,
notifications and exports ask it. Who is told and in which words says the rule in `approvals.notifications.rules`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import models


class Facts(dict[str, Any]):
    """What a sentence is made of: an event's data, with its `subject` (`churn_predictor version 7`) and `target`."""

    def __missing__(self, _key: str) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class EventType:
    """What is the same of every event with one action."""

    name: str
    """As it stands in the ledger; what stands before the dot is its kind."""

    label: str
    icon: str
    """Its name in the sprite."""

    sentence: str | Callable[[Facts], str]
    """What happened, after the actor's name: starts with the verb, without a full stop. A text is filled with facts."""

    tone: str = ""
    """`good`, `bad`, `waiting`, or "" for what is neither."""

    said: str = ""
    """Which key of the data is what somebody said with it; "" where nothing is said."""

    is_told: bool = False
    """Whether there is a rule of notifications for it."""

    webhooks: tuple[str, ...] = ()
    """Which messages of WEBHOOKS it makes, in their order. Add at the end alone: a message's number is its place."""

    def happened(self, facts: Facts) -> str:
        """The sentence. Facts that are missing are left out; those of another shape raise what Python raises."""
        return self.sentence.format_map(facts) if isinstance(self.sentence, str) else self.sentence(facts)


# --- Requests, checks and reviews -------------------------------------------------------------------------------------


def _requested(facts: Facts) -> str:
    match facts["kind"]:
        case "rollback":
            return "requested a rollback of {target} to {subject}".format_map(facts)
        case "break_glass":
            return "requested an emergency promotion of {subject} to {target}".format_map(facts)
        case _:
            return "requested {subject} for {target}".format_map(facts)


def _resubmitted(facts: Facts) -> str:
    if "policy" in facts:
        return f"submitted {facts['subject']} again under the policy for {facts['policy'] or 'everything else'}"
    changed = facts["changed"]
    return "submitted the request again" + (f"; changed since: {_listed(changed)}" if changed else "")


def _checked(facts: Facts) -> str:
    checks = facts.get("checks", [])
    failed = sum(each.get("outcome") == "fail" for each in checks)
    words = f"ran {len(checks)} {'check' if len(checks) == 1 else 'checks'}"
    words += f", {failed} failed" if failed else ""
    return f"{words}; ready for review" if facts["asked"] else f"{words}; the request is blocked"


def _nominated(facts: Facts) -> str:
    people, group = facts["people"], facts["group"]
    return f"asked {_names(people) if people else f'the group {group}'} to review"


def _nomination_taken_back(facts: Facts) -> str:
    people, group = facts["people"], facts["group"]
    return f"no longer asks {_names(people) if people else f'the group {group}'} to review"


def _reopened(facts: Facts) -> str:
    void = f"; void: {_names(facts['voided'])}" if facts["voided"] else ""
    kept = f"; kept: {_names(facts['kept'])}" if facts["kept"] else ""
    return f"sent the request back to review{void}{kept}"


def _answered(facts: Facts) -> str:
    if facts["said_by"] == "Countersign":
        return f"gave up waiting for the check {facts['check']}"
    return f"answered the check {facts['check']}: {'pass' if facts['passed'] else 'fail'}"


def _approved(facts: Facts) -> str:
    count = len(facts["findings"])
    findings = f" with {count} finding{'' if count == 1 else 's'}" if count else ""
    batch = f", in a batch of {facts['batch']}" if facts["batch"] else ""
    when = _after_reading(facts.get("seconds_on_page"))
    return f"approved {facts['subject']} for {facts['target']}{findings}{batch}{when}"


def _after_reading(seconds: int | None) -> str:
    """` 4 minutes after opening it`; "" where that is not known."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f" {seconds} second{'' if seconds == 1 else 's'} after opening it"
    minutes = round(seconds / 60)
    many, unit = (minutes, "minute") if minutes < 120 else (round(minutes / 60), "hour")
    return f" {many} {unit}{'' if many == 1 else 's'} after opening it"


def _undone(facts: Facts) -> str:
    undid = {"approve": "approval", "reject": "rejection"}.get(facts["verdict"], "request for changes")
    stopped = "; it was not delivered" if facts["stopped"] else ""
    return f"undid their {undid} of {facts['subject']} for {facts['target']}{stopped}"


def _approved_by_all(facts: Facts) -> str:
    how = "needed no approval" if facts["alone"] else "gave the last approval"
    return f"{how}; delivery to MLflow started"


# --- Delivery, versions, and what happened outside the gate -----------------------------------------------------------


def _half_delivered(facts: Facts) -> str:
    reached, missing = " and ".join(facts["reached"]) or "nothing", " and ".join(facts["missing"])
    return f"partly delivered {facts['subject']} to {facts['target']}: {reached} done, {missing} missing"


def _half_ended(facts: Facts) -> str:
    half = "the partial delivery of {subject} to {target}".format_map(facts)
    return f"accepted {half} as it is" if facts["how"] == "accept" else f"undid {half}"


def _held(facts: Facts) -> str:
    held = "held the delivery of {subject} to {target}".format_map(facts)
    if not facts["freeze"]:
        return held
    until = datetime.fromisoformat(facts["until"]).astimezone(UTC)
    return f"{held} until {until:%Y-%m-%d %H:%M} UTC: the freeze “{facts['freeze']}” is on"


def _promoted(facts: Facts) -> str:
    match facts["kind"]:
        case "rollback":
            done = "rolled {target} back to {subject}".format_map(facts)
        case "break_glass":
            done = "promoted {subject} to {target} without approval (emergency)".format_map(facts)
        case _:
            done = "promoted {subject} to {target}".format_map(facts)
    return done + (f", replacing version {facts['replaced']}" if facts["replaced"] else "")


def _replaced(facts: Facts) -> str:
    how = facts.get("how", "replaced")
    became = "was archived" if how == "archived" else how
    return f"replaced {facts['subject']} by version {facts.get('by')}: it {became}"


def _restored(facts: Facts) -> str:
    if facts["version"] is None:
        return f"removed {facts['subject']} from {_place(facts)} again: it was not approved there"
    return f"restored {facts['subject']} in {_place(facts)}"


def _found(facts: Facts) -> str:
    found = f"found {facts['subject']}"
    if facts["is_gone"]:
        return f"{found} gone from {_place(facts)}, to which it was promoted"
    return f"{found} in {_place(facts)}: held before Countersign, approver unknown"


def _changed_outside(facts: Facts) -> str:
    if facts["kind"] == "opened":
        return "found that the operator of MLflow had opened its gate"
    if facts["kind"] == "unenforced":
        return "found that MLflow does not enforce {place}".format_map(facts)
    if facts["kind"] not in ("prompt", "hidden"):
        return "found a change outside Countersign: {place} of {subject}".format_map(facts)
    marked = "marked as a prompt in MLflow" if facts["kind"] == "prompt" else "hidden from MLflow's search"
    return f"found {facts['subject']} or its model {marked}"


# --- MLflow's own gate ------------------------------------------------------------------------------------------------


def _refused_there(facts: Facts) -> str:
    return f"refused {_tried(facts)}"


def _passed_there(facts: Facts) -> str:
    return f"let {_tried(facts)} pass, which it only observes"


def _tried(facts: Facts) -> str:
    """`Rita Meyer's attempt to move churn_predictor version 7 to Production`"""
    who = str(facts["who"]).partition(" <")[0]
    return f"{who}’s attempt to {facts['attempt']}" if who else f"an attempt to {facts['attempt']}"


# --- Policies and people ----------------------------------------------------------------------------------------------


def _target_changed(facts: Facts) -> str:
    after = _part(facts, "after", "enforcement")
    changed = "changed the target {target}".format_map(facts)
    if not after or after == _part(facts, "before", "enforcement"):
        return changed
    return f"{changed}: {({'off': 'not enforced', 'observe': 'observed', 'enforce': 'enforced'})[after]} in MLflow"


def _on_policy(verb: str, side: str) -> Callable[[Facts], str]:
    def sentence(facts: Facts) -> str:
        policy = facts.get(side, {})
        pattern = policy.get("terms", policy).get("model_pattern", "")  # at the top before policies had versions
        return f"{verb} the policy {facts['target']} of {pattern}"

    return sentence


def _metrics_changed(facts: Facts) -> str:
    whose = f"the metrics of record of {facts['subject']}"
    return f"set {whose}: {'; '.join(facts['said'])}" if facts["said"] else f"removed {whose}"


def _on_freeze(verb: str, side: str) -> Callable[[Facts], str]:
    return lambda facts: f"{verb} the freeze {_part(facts, side, 'name')}"


def _on_webhook(verb: str, side: str) -> Callable[[Facts], str]:
    return lambda facts: f"{verb} the webhook {_part(facts, side, 'name')}"


def _roles_changed(facts: Facts) -> str:
    return f"changed the roles of {facts['person']} from {_listed(facts['before'])} to {_listed(facts['after'])}"


def _identified(facts: Facts) -> str:
    person, owner = facts["person"], _part(facts, "after", "owner")
    if owner != _part(facts, "before", "owner"):
        return f"made {owner} the owner of {person}" if owner else f"removed the owner of {person}"
    return f"changed the MLflow names or account type of {person}"


def _on_token(verb: str) -> Callable[[Facts], str]:
    def sentence(facts: Facts) -> str:
        whose = "" if facts["is_own"] else f" of {_names([facts['account']])}"
        return f"{verb} the API token {facts['token']}{whose}"

    return sentence


def _on_publisher(words: str) -> Callable[[Facts], str]:
    def sentence(facts: Facts) -> str:
        where = f" in the environment {facts['environment']}" if facts["environment"] else ""
        return words.format(f"jobs of {facts['repository']} on {facts['ref']}{where}", _names([facts["account"]]))

    return sentence


# --- Words ------------------------------------------------------------------------------------------------------------


def _part(facts: Facts, side: str, key: str) -> str:
    """Of what something was before or is after it, by `side`."""
    return str(facts.get(side, {}).get(key, ""))


def _place(facts: Facts) -> str:
    return str(facts.get("place", facts["target"]))


def _spaced(word: object) -> str:
    return str(word).replace("_", " ")


def _names(labels: Sequence[str]) -> str:
    return ", ".join(label.partition(" <")[0] for label in labels)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) if words else "none"


# --- The list ---------------------------------------------------------------------------------------------------------


class Action(models.TextChoices):
    """The closed list of what can stand in the ledger."""

    type: EventType

    def __new__(cls, event_type: Any) -> "Action":  # an EventType; mypy takes `Action("request.created")` for this too
        action = str.__new__(cls, event_type.name)
        action._value_ = event_type.name
        action.type = event_type
        return action

    @property
    def label(self) -> str:
        return self.type.label

    @property
    def kind(self) -> str:
        """What stands before the dot: a key of `KINDS`."""
        return self.partition(".")[0]

    # A table: one action a line, or two.
    # fmt: off
    REQUEST_CREATED = EventType("request.created", "Promotion requested", "git-pull-request",
        _requested, said="justification", webhooks=("request.created",))
    REQUEST_RESUBMITTED = EventType("request.resubmitted", "Request submitted again", "refresh",
        _resubmitted, said="justification")
    REQUEST_WITHDRAWN = EventType("request.withdrawn", "Request withdrawn", "arrow-back-up",
        "withdrew the request", said="reason", is_told=True, webhooks=("request.withdrawn",))
    REQUEST_EXPIRED = EventType("request.expired", "Request expired", "hourglass",
        "closed the expired request", said="reason", is_told=True, webhooks=("request.expired",))
    REQUEST_COMMENTED = EventType("request.commented", "Comment", "message", "commented", said="comment", is_told=True)
    REQUEST_CHECKED = EventType("request.checked", "Checks finished", "checks", _checked, is_told=True)
    REQUEST_REOPENED = EventType("request.reopened", "Back to review: the evidence changed", "refresh",
        _reopened, tone="waiting", said="reason", is_told=True)
    REQUEST_ESCALATED = EventType("request.escalated", "Escalated", "alert-triangle",
        "escalated the request to {group}", tone="waiting", said="reason", is_told=True)

    REVIEWERS_NOMINATED = EventType("request.reviewers_nominated", "Reviewer asked by name", "user-check",
        _nominated, is_told=True)
    NOMINATION_TAKEN_BACK = EventType("request.nomination_taken_back", "Reviewer no longer asked by name",
        "arrow-back-up", _nomination_taken_back)

    CHECK_ANSWERED = EventType("check.answered", "External check answered", "checks", _answered, said="reason")
    CHECK_OVERRIDDEN = EventType("check.overridden", "Failed check overridden", "alert-triangle",
        "overrode the failed check {check}", tone="waiting", said="reason")
    FINDING_CLOSED = EventType("finding.closed", "Finding closed", "check",
        "closed the finding “{text}”", said="note", is_told=True)

    REVIEW_APPROVED = EventType("review.approved", "Approved by a reviewer", "check",
        _approved, tone="good", said="comment", is_told=True)
    REVIEW_REJECTED = EventType("review.rejected", "Rejected by a reviewer", "x",
        "rejected {subject} for {target}", tone="bad", said="comment", is_told=True, webhooks=("request.rejected",))
    REVIEW_CHANGES_REQUESTED = EventType("review.changes_requested", "Changes requested by a reviewer", "message-2",
        "requested changes", tone="waiting", said="comment", is_told=True)
    REVIEW_UNDONE = EventType("review.undone", "Verdict undone by its reviewer", "arrow-back-up",
        _undone, tone="waiting")
    REQUEST_APPROVED = EventType("request.approved", "All approvals given", "checks",
        _approved_by_all, tone="good", is_told=True, webhooks=("request.approved",))

    DELIVERY_RETRIED = EventType("delivery.retried", "Delivery retried", "rotate-clockwise", "retried the delivery")
    DELIVERY_FAILED = EventType("delivery.failed", "Delivery failed", "alert-triangle",
        "could not deliver {subject} to {target}", tone="bad", said="reason", is_told=True,
        webhooks=("request.failed",))
    DELIVERY_HALFWAY = EventType("delivery.halfway", "Partly delivered", "alert-triangle",
        _half_delivered, tone="bad", said="reason", is_told=True, webhooks=("holder.changed",))
    DELIVERY_ENDED = EventType("delivery.ended", "Partial delivery resolved", "arrow-back-up",
        _half_ended, tone="waiting", said="reason")
    DELIVERY_HELD = EventType("delivery.held", "Delivery held by a freeze", "hourglass",
        _held, tone="waiting", said="reason", is_told=True)

    VERSION_PROMOTED = EventType("version.promoted", "Version promoted", "rocket",
        _promoted, tone="good", is_told=True, webhooks=("request.applied", "holder.changed"))
    VERSION_REPLACED = EventType("version.replaced", "Version replaced", "archive", _replaced)
    VERSION_RESTORED = EventType("version.restored", "Last approved version restored", "arrow-back-up",
        _restored, tone="waiting", webhooks=("holder.changed",))
    TENURE_FOUND = EventType("tenure.found", "Found in place before Countersign", "history", _found)
    INCIDENT_OPENED = EventType("incident.opened", "Change outside Countersign found", "alert-triangle",
        _changed_outside, tone="bad", is_told=True, webhooks=("incident.opened", "holder.changed"))
    INCIDENT_RESOLVED = EventType("incident.resolved", "Incident resolved", "alert-triangle",
        "resolved incident #{incident}", said="reason", is_told=True, webhooks=("incident.resolved", "holder.changed"))

    REFUSED_IN_MLFLOW = EventType("gate.refused", "Refused in MLflow", "shield-x",
        _refused_there, tone="waiting", is_told=True, webhooks=("refused_in_mlflow",))
    PASSED_IN_MLFLOW = EventType("gate.passed", "Let through in MLflow", "shield-x", _passed_there, tone="waiting")

    GLASS_BROKEN = EventType("request.glass_broken", "Emergency promotion", "alert-triangle",
        "started an emergency promotion of {subject} to {target}, without approval",
        tone="bad", said="reason", is_told=True)
    REVIEWED_AFTERWARDS = EventType("request.reviewed_afterwards", "Emergency promotion reviewed", "check",
        lambda facts: f"reviewed the emergency promotion: {_spaced(facts['verdict'])}", said="comment", is_told=True)
    AFTERWARDS_OVERDUE = EventType("request.afterwards_overdue",
        "Review of an emergency promotion overdue", "alert-triangle",
        "flagged the overdue review of the emergency promotion", tone="bad", is_told=True)
    PROBATION_STARTED = EventType("probation.started", "Probation began", "hourglass",
        "put {subject} on probation in {target} for {hours} hours", is_told=True)
    PROBATION_ENDED = EventType("probation.ended", "Probation ended", "hourglass",
        lambda facts: f"ended the probation of {facts['subject']}: {_spaced(facts['outcome'])}",
        said="reason", is_told=True)
    HEALTH_REPORTED = EventType("health.reported", "Health reported", "checks",
        lambda facts: f"reported {facts['subject']} {'healthy' if facts['healthy'] else 'not healthy'}", said="reason")

    TARGET_CREATED = EventType("target.created", "Target added", "target", "added the target {target}")
    TARGET_CHANGED = EventType("target.changed", "Target changed", "target", _target_changed)
    TARGET_RETIRED = EventType("target.retired", "Target retired", "target", "retired the target {target}")
    POLICY_CREATED = EventType("policy.created", "Policy added", "scale", _on_policy("added", "after"))
    POLICY_CHANGED = EventType("policy.changed", "Policy changed", "scale", _on_policy("changed", "after"))
    POLICY_RETIRED = EventType("policy.retired", "Policy retired", "scale", _on_policy("retired", "before"))
    POLICY_REORDERED = EventType("policy.reordered", "Policies reordered", "scale",
        "reordered the policies of {target}")
    METRICS_CHANGED = EventType("metrics.changed", "Metrics of record changed", "scale", _metrics_changed)
    FREEZE_CREATED = EventType("freeze.created", "Freeze added", "hourglass", _on_freeze("added", "after"))
    FREEZE_CHANGED = EventType("freeze.changed", "Freeze changed", "hourglass", _on_freeze("changed", "after"))
    FREEZE_RETIRED = EventType("freeze.retired", "Freeze retired", "hourglass", _on_freeze("retired", "before"))

    WEBHOOK_CREATED = EventType("webhook.created", "Webhook added", "link", _on_webhook("added", "after"))
    WEBHOOK_CHANGED = EventType("webhook.changed", "Webhook changed", "link", _on_webhook("changed", "after"))
    WEBHOOK_ROTATED = EventType("webhook.rotated", "Secret of a webhook rotated", "link",
        "rotated the secret of the webhook {name}")
    WEBHOOK_PAUSED = EventType("webhook.paused", "Webhook paused", "link",
        "paused the webhook {name}", tone="waiting", said="reason", is_told=True)
    WEBHOOK_RESUMED = EventType("webhook.resumed", "Webhook resumed", "link", "resumed the webhook {name}")
    WEBHOOK_REPLAYED = EventType("webhook.replayed", "Webhook replayed", "link",
        "replayed the webhook {name} from event {sequence} on")
    WEBHOOK_RETIRED = EventType("webhook.retired", "Webhook deleted", "link", _on_webhook("deleted", "before"))

    PERSON_INVITED = EventType("person.invited", "Person invited", "user", "invited {person}")
    PERSON_JOINED = EventType("person.joined", "Person signed up", "user",
        "made an account for {person}, who signed up")
    PERSON_CHANGED = EventType("person.changed", "Roles changed", "user", _roles_changed, is_told=True)
    PERSON_IDENTIFIED = EventType("person.identified", "MLflow names or account type changed", "user",
        _identified, is_told=True)
    PERSON_DEACTIVATED = EventType("person.deactivated", "Person deactivated", "user",
        "deactivated {person}", is_told=True)
    PERSON_REACTIVATED = EventType("person.reactivated", "Person reactivated", "user", "reactivated {person}")
    PERSON_RENAMED = EventType("person.renamed", "Name or e-mail address changed", "user",
        "changed the name of {before} to {after}")
    PERSON_PSEUDONYMISED = EventType("person.pseudonymised", "Person pseudonymised", "user",
        "pseudonymised {person}", said="reason")
    SERVICE_ACCOUNT_MADE = EventType("person.service_account_made", "Service account added", "user",
        "added the service account {person}, which {owner} owns")
    TOKEN_MADE = EventType("token.made", "API token made", "key", _on_token("made"))
    TOKEN_REVOKED = EventType("token.revoked", "API token revoked", "key", _on_token("revoked"))
    TOKEN_EXCHANGED = EventType("token.exchanged", "API token given to a pipeline", "key",
        "got an API token for 15 minutes, for a job of {repository}")
    PUBLISHER_ADDED = EventType("token.publisher_added", "Trusted publisher added", "key",
        _on_publisher("trusted {} to act as {}"))
    PUBLISHER_RETIRED = EventType("token.publisher_retired", "Trusted publisher retired", "key",
        _on_publisher("no longer trusts {} to act as {}"))
    GROUP_CREATED = EventType("group.created", "Group added", "users", "added the group {group}")

    HISTORY_EXPORTED = EventType("history.exported", "History exported", "download", "exported the history")
    HISTORY_IMPORTED = EventType("history.imported", "Earlier history imported", "history",
        "imported {count} rows of earlier history")
    EVIDENCE_EXPORTED = EventType("evidence.exported", "Audit evidence exported", "download", "exported audit evidence")
    ROWS_SEALED = EventType("rows.sealed", "Rows sealed", "link", "sealed the current rows")
    DELETIONS_CONFIRMED = EventType("mirror.deletions_confirmed", "Deletions in MLflow confirmed", "trash",
        "confirmed that {models} models and {versions} more versions are missing from MLflow")
    REGISTRY_ACCEPTED = EventType("registry.accepted", "Another registry accepted", "link",
        lambda facts: f"accepted the registry at {_part(facts, 'after', 'address')} as the one to mirror")
    CUT_ACKNOWLEDGED = EventType("ledger.cut_acknowledged", "Cut-off ledger acknowledged", "alert-triangle",
        "acknowledged that the ledger was cut off after event {ends_at}")
    KEY_CHANGED = EventType("checkpoint.key_changed", "Key of the checkpoints changed", "link",
        "changed the key that signs the checkpoints")
    # fmt: on


KINDS = {
    "request": "Requests",
    "check": "Checks",
    "review": "Reviews",
    "finding": "Findings",
    "delivery": "Delivery",
    "version": "Versions",
    "tenure": "Tenures",
    "incident": "Incidents",
    "gate": "MLflow’s gate",
    "probation": "Probation",
    "health": "Health",
    "target": "Targets",
    "policy": "Policies",
    "metrics": "Metrics of record",
    "freeze": "Freezes",
    "webhook": "Webhooks",
    "person": "People",
    "token": "API tokens",
    "group": "Groups",
    "history": "Exports and imports",
    "evidence": "Audit evidence",
    "checkpoint": "Checkpoints",
    "ledger": "Ledger cut off",
    "rows": "Rows sealed",
    "registry": "Registry",
    "mirror": "Deletions in MLflow",
}
"""What stands before the dot of an action; each can be filtered by as a whole."""

WEBHOOKS = {
    "request.created": "A promotion was requested",
    "request.approved": "All approvals were given",
    "request.rejected": "A reviewer rejected the request",
    "request.withdrawn": "The request was withdrawn",
    "request.expired": "The request expired",
    "request.applied": "The version reached its target in MLflow",
    "request.failed": "The delivery to MLflow failed",
    "holder.changed": "Another version holds a target, or none does",
    "incident.opened": "A change outside Countersign was found",
    "incident.resolved": "An incident was resolved",
    "refused_in_mlflow": "MLflow refused a change that was not approved",
}
"""Types of outgoing webhooks, as receivers know them: names are for years. Which events make them stands above."""
