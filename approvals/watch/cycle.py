"""One run of the watch, and only one at a time."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Q

from approvals.models import LedgerCut, WatchState
from approvals.watch.closing import follow
from approvals.watch.detection import look
from approvals.watch.restoring import restore_due
from mirror import clock
from mirror.port import Registry


def run(registry: Registry) -> int:
    """Compares, and puts back what is owed; returns how many changes outside Countersign were found."""
    found = compare(registry)
    put_back(registry)
    return found


def put_back(registry: Registry) -> int:
    """Puts back what is owed and looks again: what went back to a stage has left another. Returns how many it tried."""
    tried = restore_due(registry)
    if tried:
        compare(registry)
    return tried


def compare(registry: Registry) -> int:
    """Looks and follows what is open; returns how many changes outside Countersign were found. Gives way when another
    worker is at it. After one that was killed, the next runs when its lease ends."""
    now = clock.now()
    lease = now + timedelta(seconds=settings.DELIVERY_LEASE_SECONDS)
    WatchState.objects.get_or_create(pk=1)
    free = Q(running_until=None) | Q(running_until__lt=now)
    if not WatchState.objects.filter(free, pk=1).update(running_until=lease):
        return 0
    try:
        found = look(registry).found
        # Nothing ends by itself while the ledger is cut off: what would end it may be missing.
        if not LedgerCut.objects.open().exists():
            follow()
    finally:
        WatchState.objects.filter(pk=1, running_until=lease).update(running_until=None)
    return found
