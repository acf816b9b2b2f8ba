"""The numbers beside *Inbox* and the bell, the emergency promotions that wait for a review, and the open incidents:
counted lazily, so that pages without the top bar do not pay for them."""

from functools import cache
from typing import Any

from django.db.models import QuerySet, Value
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import second_factor, sessions
from approvals.models import Incident
from approvals.selectors import bell, follow_up
from approvals.selectors import inbox as inbox_queries
from approvals.watch import wording
from mirror import composed

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
    "models": (
        "model",
        "version",
        "approvals:request_new",
        "approvals:break_glass",
        "approvals:roll_back",
        "approvals:model_",
    ),
    "inbox": ("approvals:review_", "approvals:request", "approvals:finding"),
    "history": ("approvals:history_", "approvals:event", "approvals:incident", "approvals:ledger", "approvals:audit"),
    "policies": ("approvals:polic", "approvals:target", "approvals:freeze", "approvals:webhook"),
    "people": ("approvals:person", "approvals:group_"),
}
"""How the names of the pages begin that lie below it; the first that fits."""


def place_of(view_name: str) -> dict[str, str]:
    """What of the navigation is the page itself ("page"), or leads to what lies above it ("true"): for aria-current."""
    for name, page in _PAGES.items():
        if page == view_name:
            return {name: "page"}
    above = next((name for name, below in _BELOW.items() if view_name.startswith(below)), None)
    return {above: "true"} if above else {}


def inbox(request: HttpRequest) -> dict[str, Any]:
    person = getattr(request, "user", None)  # absent where a request is refused before anybody is looked up
    if person is None or not person.is_authenticated:
        return {}
    match = request.resolver_match
    is_unseen = match is None or not getattr(match.func, "login_required", True)
    # Where there is no page, and where anybody may come, no middleware has looked.
    if is_unseen and (sessions.why_over(request) or second_factor.is_owed(request)):
        person.is_held = True
    # One query for what is nothing on most days; what it says more of it is asked for where there is something.
    numbers = cache(lambda: composed.numbers((bell.unread, person.pk), (follow_up.owing,), (_open_incidents,)))
    newest = cache(lambda: _newest_incident(numbers()[2]))
    return {
        "here": place_of(match.view_name if match else ""),
        "inbox_count": SimpleLazyObject(lambda: inbox_queries.waiting_count(person)),
        "unread_count": SimpleLazyObject(lambda: numbers()[0]),
        "unreviewed": SimpleLazyObject(lambda: follow_up.unreviewed() if numbers()[1] else None),
        "open_incidents": SimpleLazyObject(lambda: numbers()[2]),
        "newest_incident": newest,
        "incident_notice": lambda: wording.notice(found) if (found := newest()) else "",
    }


def _newest_incident(total: int) -> Incident | None:
    """Of so many that are open, which it knows as its `total`. One query, where there are any."""
    if not total:
        return None
    found = Incident.objects.open().annotate(total=Value(total))
    return found.order_by("-seen_at", "-pk").first()


def _open_incidents() -> QuerySet[Any, Any]:
    return Incident.objects.open().values(one=Value(1))
