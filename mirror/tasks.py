"""Celery tasks of the mirror: thin; each gives way when another worker is at it, or MLflow is to rest: see `pace`."""

from functools import cache

import structlog
from celery import current_app, shared_task

from mirror import sync
from mirror.connect import connect
from mirror.leases import held
from mirror.models import MirrorState
from mirror.port import Registry, RegistryError
from mirror.sweep import Doubtful

log = structlog.get_logger(__name__)


@cache
def _registry() -> Registry:
    """One a process: it remembers when it was last confirmed to be the one that is mirrored."""
    return connect()


@shared_task(name="mirror.pull")
def pull() -> None:
    if not MirrorState.objects.is_due("pull_due_at"):
        return
    with held("pulling_until") as is_ours:
        report = sync.pull(_registry()) if is_ours else sync.PullReport()
    if report.error:
        log.warning("pull failed", error=report.error)
    elif report.changed:
        log.info("pulled", changed=report.changed, facts=report.facts)
        _wake_watch()


@shared_task(name="mirror.follow_hints")
def follow_hints() -> int:
    """What MLflow's webhook named is read anew; beside the look of the watch, which must not wait for it."""
    if followed := sync.follow_hints(connect()):
        _wake_watch()
    return followed


@shared_task(name="mirror.sweep")
def sweep() -> None:
    if not MirrorState.objects.is_due("sweep_due_at"):
        return
    try:
        with held("sweeping_until") as is_ours:
            report = sync.sweep(_registry()) if is_ours else None
    except RegistryError as error:
        log.warning("sweep failed", error=error.message)
        if isinstance(error, Doubtful):  # what was listed is stored, and there may be something to compare
            _wake_watch()
        return
    if report is None:
        return
    _wake_watch()
    log.info(
        "swept",
        versions=report.versions,
        added=report.added,
        changed=report.changed,
        deleted=report.deleted,
        facts=report.facts,
        seconds=round(report.seconds, 2),
    )


def _wake_watch() -> None:
    """Says by name that there may be something to compare: the mirror knows nothing of who listens. A hint only, the
    schedule comes by anyway."""
    try:
        current_app.send_task("approvals.watch_registry", expires=60)
    except Exception as error:  # whatever the broker's library raises
        log.warning("broker.unreachable", task="approvals.watch_registry", error=str(error))
