"""Celery's side of the gate: thin tasks that connect to the registry and make one call each."""

from functools import cache

from celery import shared_task

from approvals import assessment, delivery, workflow
from registry_ui.mirror import registry


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
def watch() -> int:
    return assessment.watch()


@shared_task(name="approvals.deliver")
def deliver(entry_id: int) -> str:
    return delivery.deliver(entry_id, _registry())


@shared_task(name="approvals.drain")
def drain() -> int:
    return delivery.drain(_registry())


@shared_task(name="approvals.expire")
def expire() -> int:
    return workflow.expire_due()
