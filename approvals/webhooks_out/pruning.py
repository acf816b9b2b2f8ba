"""The log of attempts, taken away after a time."""

from datetime import timedelta

from approvals.models import WebhookAttempt
from approvals.workflow.outbox import in_portions
from mirror import clock

KEPT = timedelta(days=30)


def prune() -> int:
    """Takes away attempts of more than 30 days ago; returns how many."""
    over = WebhookAttempt.objects.filter(created_at__lt=clock.now() - KEPT)
    return sum(WebhookAttempt.objects.filter(pk__in=some).delete()[0] for some in in_portions(over))
