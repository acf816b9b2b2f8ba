"""Celery tasks of the mirror: thin, and each gives way when another worker is at it."""

import structlog
from celery import shared_task

from registry_ui.mirror import sync
from registry_ui.mirror.models import MirrorState
from registry_ui.mirror.registry import RegistryError, connect
from registry_ui.mirror.sweep import LEASE_SECONDS

log = structlog.get_logger(__name__)

PULL_LEASE_SECONDS = 60


@shared_task(name="mirror.pull")
def pull() -> None:
    if not MirrorState.objects.claim("pulling_until", seconds=PULL_LEASE_SECONDS):
        return
    try:
        report = sync.pull(connect())
    finally:
        MirrorState.objects.record(pulling_until=None)
    if report.error:
        log.warning("pull failed", error=report.error)
    elif report.changed:
        log.info("pulled", changed=report.changed, facts=report.facts)


@shared_task(name="mirror.sweep")
def sweep() -> None:
    if not MirrorState.objects.claim("sweeping_until", seconds=LEASE_SECONDS):
        return
    try:
        report = sync.sweep(connect())
    except RegistryError as error:
        log.warning("sweep failed", error=error.message)
        return
    log.info(
        "swept",
        versions=report.versions,
        added=report.added,
        changed=report.changed,
        deleted=report.deleted,
        facts=report.facts,
        seconds=round(report.seconds, 2),
    )
