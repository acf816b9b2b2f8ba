"""What was told, taken away after a time: the ledger has what happened, and nothing is told twice for it."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from approvals.models import Notification
from approvals.models.requests import OPEN
from approvals.workflow.outbox import in_portions


def prune() -> int:
    """Takes away what was sent or given up more than COUNTERSIGN_KEEP_NOTIFICATIONS_DAYS ago; returns how many. Not
    what belongs to a request that is open: what was said of it is not said again."""
    before = timezone.now() - timedelta(days=settings.KEEP_NOTIFICATIONS_DAYS)
    over = Notification.objects.filter(Q(sent_at__lt=before) | Q(dropped_at__lt=before))
    over = over.exclude(request__isnull=False, request__status__in=OPEN)
    return sum(Notification.objects.filter(pk__in=some).delete()[0] for some in in_portions(over))
