"""The number beside *Inbox*, the break-glass promotions that wait for a review, and the number of open incidents:
counted lazily, so that pages without the top bar do not pay for them."""

from functools import cache
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from approvals import aftermath
from approvals import inbox as inbox_queries
from approvals.models import Incident


def inbox(request: HttpRequest) -> dict[str, Any]:
    person = getattr(request, "user", None)  # absent where a request is refused before anybody is looked up
    if person is None or not person.is_authenticated:
        return {}
    return {
        "inbox_count": SimpleLazyObject(lambda: inbox_queries.waiting_count(person)),
        "unreviewed": SimpleLazyObject(aftermath.unreviewed),
        "open_incidents": cache(lambda: Incident.objects.open().count()),  # a plain number, as `pluralize` wants it
    }
