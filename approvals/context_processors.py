"""The numbers beside *Inbox* and the bell, the break-glass promotions that wait for a review, and the open incidents:
counted lazily, so that pages without the top bar do not pay for them."""

from functools import cache
from typing import Any

from django.db.models import Count, Window
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from approvals.models import Incident
from approvals.selectors import bell, follow_up
from approvals.selectors import inbox as inbox_queries
from approvals.watch import wording

_PAGES = {
    "overview": "overview",
    "inbox": "approvals:inbox",
    "models": "models",
    "history": "approvals:history",
    "policies": "approvals:policies",
    "people": "approvals:people",
    "search": "search",
    "notifications": "approvals:notifications",
}
_BELOW = {
    "inbox": ("approvals:review_queue", "approvals:review_queue_request", "approvals:review_together"),
    "models": ("model", "version"),
    "history": ("approvals:event",),
    "people": ("approvals:person", "approvals:person_invite", "approvals:person_invite_list"),
}
_HISTORY = ("approvals:history_", "approvals:incident", "approvals:ledger", "approvals:audit")


def _here(view_name: str) -> dict[str, str]:
    """What of the navigation is the page itself ("page"), or leads to what lies above it ("true"): for aria-current."""
    found = {name: "page" for name, page in _PAGES.items() if page == view_name}
    found |= {name: "true" for name, below in _BELOW.items() if view_name in below}
    return found | ({"history": "true"} if view_name.startswith(_HISTORY) else {})


def inbox(request: HttpRequest) -> dict[str, Any]:
    person = getattr(request, "user", None)  # absent where a request is refused before anybody is looked up
    if person is None or not person.is_authenticated:
        return {}
    newest = cache(_newest_incident)
    match = request.resolver_match
    return {
        "here": _here(match.view_name if match else ""),
        "inbox_count": SimpleLazyObject(lambda: inbox_queries.waiting_count(person)),
        "unread_count": SimpleLazyObject(lambda: bell.unread_count(person)),
        "unreviewed": SimpleLazyObject(follow_up.unreviewed),
        "open_incidents": lambda: getattr(newest(), "total", 0),
        "newest_incident": newest,
        "incident_notice": lambda: wording.notice(found) if (found := newest()) else "",
    }


def _newest_incident() -> Incident | None:
    """Of those that are open, with their number as `total`: one query."""
    found = Incident.objects.open().annotate(total=Window(Count("*")))
    return found.order_by("-seen_at", "-pk").first()
