"""Celery's side of the gate: thin tasks that connect to the registry and make one call each. Which queue and how many
threads each has stands in `registry_ui.lanes`."""

from functools import cache

from celery import shared_task

from approvals import administration, assessment, delivery, notifications, watch, webhooks_out, workflow
from approvals.assessment import external_calls
from approvals.enforcement import feed, probe
from approvals.workflow import outbox
from mirror import connect, port, stopping


@cache
def _registry() -> port.Registry:
    return connect.connect()


@shared_task(name="approvals.assess")
def assess(request_id: int) -> int:
    return assessment.drain(_registry(), first=request_id, is_over=stopping.is_stopping.is_set)


@shared_task(name="approvals.assess_due")
def assess_due() -> int:
    return assessment.drain(_registry(), is_over=stopping.is_stopping.is_set)


@shared_task(name="approvals.watch")
def watch_requests() -> int:
    assessment.reread(_registry())
    return assessment.watch()


@shared_task(name="approvals.call_checks")
def call_checks() -> int:
    return external_calls.call_due()


@shared_task(name="approvals.deliver")
def deliver(entry_id: int) -> int:
    return delivery.drain(_registry(), first=entry_id, is_over=stopping.is_stopping.is_set)


@shared_task(name="approvals.drain")
def drain() -> int:
    return delivery.drain(_registry(), is_over=stopping.is_stopping.is_set)


@shared_task(name="approvals.expire")
def expire() -> int:
    return workflow.expire_due()


@shared_task(name="approvals.end_probations")
def end_probations() -> int:
    return workflow.end_due_probations()


@shared_task(name="approvals.call_out_overdue")
def call_out_overdue() -> int:
    return workflow.call_out_overdue()


@shared_task(name="approvals.send_notifications")
def send_notifications() -> int:
    return notifications.send()


@shared_task(name="approvals.collect_notifications")
def collect_notifications() -> int:
    return notifications.collect()


@shared_task(name="approvals.remind")
def remind() -> int:
    return notifications.remind()


@shared_task(name="approvals.send_webhooks")
def send_webhooks() -> int:
    return webhooks_out.send(is_over=stopping.is_stopping.is_set)


@shared_task(name="approvals.watch_registry")
def watch_registry() -> int:
    return watch.compare(_registry())


@shared_task(name="approvals.put_back")
def put_back() -> int:
    return watch.put_back(_registry())


@shared_task(name="approvals.check_holder_files")
def check_holder_files() -> int:
    return watch.check_files(_registry())


@shared_task(name="approvals.sign_policy")
def sign_policy() -> int | None:
    return feed.sign_if_due(_registry())


@shared_task(name="approvals.probe_gate")
def probe_gate() -> str:
    return probe.probe(_registry())


@shared_task(name="approvals.verify_ledger")
def verify_ledger() -> str:
    return administration.verify_if_due()


@shared_task(name="approvals.checkpoint")
def checkpoint() -> int | None:
    return administration.checkpoint_if_due()


@shared_task(name="approvals.sign_wanted")
def sign_wanted() -> int | None:
    return administration.sign_if_wanted()


@shared_task(name="approvals.prune")
def prune() -> int:
    return outbox.prune() + notifications.prune() + webhooks_out.prune()
