"""Celery's side of the gate: thin tasks that connect to the registry and make one call each."""

import threading
from functools import cache

from celery import shared_task

from approvals import (
    administration,
    assessment,
    delivery,
    external_checks,
    notifications,
    watch,
    workflow,
)
from registry_ui.mirror import registry, sync


@cache
def _registry() -> registry.Registry:
    return registry.connect()


@shared_task(name="approvals.assess")
def assess(request_id: int) -> str:
    return assessment.assess(request_id, _registry())


@shared_task(name="approvals.assess_due")
def assess_due() -> int:
    return assessment.drain(_registry())


@shared_task(name="approvals.watch")
def watch_requests() -> int:
    return assessment.watch()


_calling = threading.Lock()


@shared_task(name="approvals.call_checks")
def call_checks() -> int:
    """One at a time in this process: services that hang take one of the worker's threads, not all of them."""
    if not _calling.acquire(blocking=False):
        return 0
    try:
        return external_checks.call_due()
    finally:
        _calling.release()


@shared_task(name="approvals.deliver")
def deliver(entry_id: int) -> str:
    return delivery.deliver(entry_id, _registry())


@shared_task(name="approvals.drain")
def drain() -> int:
    return delivery.drain(_registry())


@shared_task(name="approvals.expire")
def expire() -> int:
    return workflow.expire_due()


@shared_task(name="approvals.end_probations")
def end_probations() -> int:
    return workflow.end_due_probations()


@shared_task(name="approvals.call_out_overdue")
def call_out_overdue() -> int:
    return workflow.call_out_overdue()


_sending = threading.Lock()


@shared_task(name="approvals.send_notifications")
def send_notifications() -> int:
    """One at a time in this process: mail and chat servers that hang take one of the worker's threads, not all."""
    if not _sending.acquire(blocking=False):
        return 0
    try:
        return notifications.send()
    finally:
        _sending.release()


@shared_task(name="approvals.collect_notifications")
def collect_notifications() -> int:
    return notifications.collect()


@shared_task(name="approvals.remind")
def remind() -> int:
    return notifications.remind()


@shared_task(name="approvals.watch_registry")
def watch_registry() -> int:
    """First what MLflow's webhook hinted at; then the look over everything, which is cheap when nothing changed."""
    sync.follow_hints(_registry())
    return watch.run(_registry())


_reading = threading.Lock()


@shared_task(name="approvals.check_holder_files")
def check_holder_files() -> int:
    """One at a time in this process: a large model must not take all of the worker's threads."""
    if not _reading.acquire(blocking=False):
        return 0
    try:
        return watch.check_files(_registry())
    finally:
        _reading.release()


_verifying = threading.Lock()


@shared_task(name="approvals.verify_ledger")
def verify_ledger() -> str:
    """One at a time in this process: it takes long, and the others of the worker's threads have work to do."""
    if not _verifying.acquire(blocking=False):
        return "busy"
    try:
        return administration.verify_if_due()
    finally:
        _verifying.release()


@shared_task(name="approvals.checkpoint")
def checkpoint() -> int | None:
    return administration.checkpoint_if_due()
