"""What a person has seen of their notifications on the pages. Only for the bell; nothing is decided on it."""

from django.utils import timezone

from accounts.models import User
from approvals.models import Notification, PromotionRequest
from approvals.models.notifications import NotificationQuerySet


def mark_read_of(person: User, request: PromotionRequest) -> int:
    """All that this person was told of the request, whose page they see; returns how many were new. One query."""
    return _mark(Notification.objects.filter(recipient=person, request=request))


def mark_read(person: User, number: int) -> Notification | None:
    """The one of this number, as it was; None where this person has none such."""
    found = Notification.objects.with_subject().filter(recipient=person, pk=number).first()
    if found is not None:
        _mark(Notification.objects.filter(pk=found.pk))
    return found


def mark_all_read(person: User, *, up_to: int) -> int:
    """All that stood on the page whose newest had the number `up_to`: what came since stays new. Returns how many."""
    return _mark(Notification.objects.filter(recipient=person, pk__lte=up_to))


def _mark(rows: NotificationQuerySet) -> int:
    return rows.filter(read_at=None).update(read_at=timezone.now())
