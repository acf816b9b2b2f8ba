"""What the bell in the top bar shows: how many notifications of a person are new, and the list of them."""

from typing import Any

from django.db.models import QuerySet, Value

from accounts.models import User
from approvals.models import Notification
from approvals.models.notifications import NotificationQuerySet
from mirror import composed

MOST = 99
"""More than this are not counted, so that the number costs the same on every page."""


def unread_count(user: User) -> int:
    """At most MOST + 1. One query over an index of what is unread."""
    return composed.sums(unread, user.pk)[0]


def unread(person: int) -> QuerySet[Notification, Any]:
    """For `composed`: a one for each."""
    return Notification.objects.filter(recipient=person).unread().order_by().values(one=Value(1))[: MOST + 1]


def of(user: User, *, unread_only: bool = False) -> NotificationQuerySet:
    """Newest first, with what a row shows."""
    found = Notification.objects.filter(recipient=user).with_subject().defer("request__evidence")
    return (found.unread() if unread_only else found).order_by("-pk")
