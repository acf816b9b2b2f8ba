"""Celery tasks of the accounts."""

from datetime import timedelta
from typing import Any

import structlog
from allauth.usersessions.models import UserSession
from celery import shared_task
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.utils import timezone

log = structlog.get_logger(__name__)


@shared_task(name="accounts.prune_sessions")
def prune_sessions() -> int:
    """Deletes sessions that ended longer ago than COUNTERSIGN_PRUNE_SESSIONS_HOURS; what was typed in them goes along.
    Returns how many. Counts of tries whose time is over go, too."""
    cache: Any = caches["default"]
    cache.drop_expired()
    ended = timezone.now() - timedelta(hours=settings.PRUNE_SESSIONS_HOURS)
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()
    pruned = Session.objects.filter(expire_date__lt=ended).delete()[0]
    if pruned:
        log.info("sessions_pruned", sessions=pruned)
    return pruned
