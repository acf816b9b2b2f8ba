"""The pages and actions that the search and the jump dialog lead to, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import User


@dataclass(frozen=True, slots=True)
class Place:
    title: str
    url_name: str
    icon: str
    also: str = ""
    """Other words that people look for it by."""

    permission: str = ""
    """Who lacks it is not led there."""


PLACES: Sequence[Place] = (
    Place("Overview", "overview", "table", "home production everywhere"),
    Place("Inbox", "approvals:inbox", "inbox", "needs my review waiting requests"),
    Place("Review queue", "approvals:review_queue", "checks", "approve reject next", "approvals.review_promotion"),
    Place("Models", "models", "box", "versions registry"),
    Place("Incidents", "approvals:incidents", "alert-triangle", "outside changes bypass"),
    Place("Findings", "approvals:findings", "message-2", "follow-up due"),
    Place("History", "approvals:history", "history", "events ledger", "approvals.view_history"),
    Place("Time travel", "approvals:history_at", "clock", "what held production when", "approvals.view_history"),
    Place("Audit", "approvals:audit", "shield-check", "population sample archive export", "approvals.view_history"),
    Place("Ledger", "approvals:ledger", "link", "verify checkpoint", "approvals.view_history"),
    Place("Policies", "approvals:policies", "adjustments-horizontal", "rules targets freezes approvals"),
    Place("New policy", "approvals:policy_new", "adjustments-horizontal", "add rule", "approvals.manage_policies"),
    Place("Freezes", "approvals:freezes", "hourglass", "window stop deliveries"),
    Place("People", "approvals:people", "users", "accounts roles groups", "accounts.manage_people"),
    Place("Invite a person", "approvals:person_invite", "users", "add user account", "accounts.manage_people"),
    Place("Notifications", "approvals:notifications", "bell", "news unread"),
    Place("Preferences", "preferences", "settings", "theme dark time zone shortcuts"),
    Place("System", "system", "server", "health status worker mirror version"),
)


def places(q: str, user: User) -> list[Place]:
    """Those whose title or other words have every word of `q` as the beginning of one of theirs; the best first."""
    wanted = q.lower().split()
    found = []
    for place in PLACES:
        words = f"{place.title} {place.also}".lower().split()
        fits = wanted and all(any(word.startswith(each) for word in words) for each in wanted)
        if fits and (not place.permission or user.has_perm(place.permission)):
            found.append(place)
    return sorted(found, key=lambda place: not place.title.lower().startswith(q.lower()))
