"""What workers owe: the mirror, the watch, checks, deliveries and notifications; and the broker that wakes them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from approvals import administration
from approvals.models import Assessment, Notification, NotificationState, OutboxEntry, WatchState
from approvals.models.notifications import LONGEST
from mirror import pace
from mirror.models import MirrorState, RegisteredModel
from registry_ui import health, rhythm
from registry_ui.health import NO_MODEL
from registry_ui.system.part import BAD, GOOD, QUEUE, SLOW, Part

NOTES_SHOWN = 10


def clocks(mirror: MirrorState) -> Part:
    check = health.clocks(mirror)
    if check["ok"]:
        return Part("Clocks", GOOD, "OK", check["detail"])
    remedy = "Synchronize all hosts with NTP. Due times follow the database's clock."
    return Part("Clocks", BAD, "Out of sync", check["detail"], remedy=remedy)


def worker(mirror: MirrorState) -> Part:
    """A pull that MLflow did not answer is a sign of life of the worker as well."""
    moments = (mirror.pulled_at, mirror.swept_at, mirror.failed_at, mirror.sweep_failed_at)
    seen = max((at for at in moments if at), default=None)
    remedy = "Start worker and beat (docs/operations.md names the commands), or check their logs if they are running."
    if seen is None:
        return Part("Worker", BAD, "Never seen", "No worker with beat has started yet.", remedy=remedy)
    if (timezone.now() - seen).total_seconds() > pace.stale_after(mirror):
        return Part("Worker", BAD, "Silent", "Last seen", seen, remedy=remedy)
    hosts = sorted(mirror.workers(timezone.now()))
    there = f"On {', '.join(hosts)} in the last 10 minutes; last pull" if len(hosts) > 1 else "Last pull"
    return Part("Worker", GOOD, "OK", there, seen)


def mirror(mirror: MirrorState) -> Part:
    if mirror.pulled_at is None:
        return Part(
            "Mirror",
            BAD,
            "Empty" if mirror.swept_at is None else "Not pulled",
            "No data from MLflow yet." if mirror.swept_at is None else "No pull has finished yet.",
            remedy="The mirror fills once a worker runs and MLflow responds.",
        )
    if (timezone.now() - mirror.pulled_at).total_seconds() > pace.stale_after(mirror):
        return Part(
            "Mirror",
            BAD,
            "Stale",
            "Pages show data from",
            mirror.pulled_at,
            remedy="It catches up when MLflow and the worker are back.",
        )
    return Part("Mirror", GOOD, "Fresh", f"{rhythm.pulls(mirror)} Last pull", mirror.pulled_at)


def sweep(mirror: MirrorState) -> Part:
    if mirror.is_stopped:
        return Part(
            "Sweep",
            BAD,
            "Stopped",
            "Too much is missing from MLflow at once. Updates are still mirrored; deletions wait for "
            "confirmation. Since",
            mirror.sweep_failing_since,
            error=mirror.sweep_error,
            remedy="Check that MLflow, and any proxy in front of it, returns complete answers. If what is missing "
            "was deleted, an "
            "administrator confirms it here or with manage.py sweep --confirm-deletions REASON.",
            standstill=administration.DELETIONS,
        )
    if mirror.sweep_failing_since:
        return Part(
            "Sweep",
            BAD,
            "Fails",
            "No sweep has finished since",
            mirror.sweep_failing_since,
            error=mirror.sweep_error,
            remedy="Only a sweep sees deletions, tags and aliases. manage.py sweep runs one now.",
        )
    progress = mirror.sweep_progress
    if progress and mirror.sweeping_until and mirror.sweeping_until > timezone.now():
        counted = f"{progress.get('models', 0):,} models and {progress.get('versions', 0):,} versions so far"
        return Part("Sweep", GOOD, "Running", f"{counted}; last one finished", mirror.swept_at)
    if mirror.swept_at is None:
        return Part(
            "Sweep",
            SLOW,
            "Not yet",
            "No full sweep has finished yet.",
            remedy="manage.py sweep runs one now and shows its progress.",
        )
    if (timezone.now() - mirror.swept_at).total_seconds() > pace.sweep_late_after(mirror):
        return Part(
            "Sweep",
            SLOW,
            "Late",
            "Last one finished",
            mirror.swept_at,
            remedy="Only a sweep sees deletions, tags and aliases. manage.py sweep runs one now.",
        )
    if mirror.sweep_notes:
        count = len(mirror.sweep_notes)
        return Part(
            "Sweep",
            SLOW,
            "Incomplete",
            f"{count} item{'' if count == 1 else 's'} could not be read or stored; last one finished",
            mirror.swept_at,
            error="\n".join(mirror.sweep_notes[:NOTES_SHOWN]),
            remedy="Everything else is mirrored. Grant the service account the missing rights.",
        )
    if not RegisteredModel.objects.exists():
        return Part(
            "Sweep",
            SLOW,
            "No models",
            f"{NO_MODEL} Last one finished",
            mirror.swept_at,
            remedy="If MLflow has models, the service account cannot read them, or uses another workspace.",
        )
    return Part("Sweep", GOOD, "On time", f"{rhythm.sweeps(mirror)} Last one finished", mirror.swept_at)


def watch(mirror: MirrorState) -> Part:
    if mirror.swept_at is None:
        return Part("Watch", SLOW, "Not yet", "Starts after the first sweep.")
    looked_at = WatchState.objects.filter(pk=1).values_list("looked_at", flat=True).first()
    detail = f"MLflow is compared with what was approved every {settings.DRAIN_SECONDS} seconds; last"
    if (timezone.now() - (looked_at or mirror.swept_at)).total_seconds() > settings.STALE_AFTER_SECONDS:
        return Part("Watch", BAD, "Late", detail if looked_at else "No check yet.", looked_at, remedy=QUEUE)
    if looked_at is None:
        return Part("Watch", SLOW, "Not yet", "Starts in a moment: the first sweep has finished.")
    return Part("Watch", GOOD, "On time", detail, looked_at)


def checks() -> Part:
    """Requests whose files and checks the worker owes a look."""
    now = timezone.now()
    owed = Assessment.objects.due(now).order_by("due_at")
    oldest = owed.first()
    if oldest is None:
        return Part("Checks", GOOD, "None waiting", "No checks are waiting.")
    detail = f"{owed.count():,} waiting; the oldest is of request #{oldest.request_id}, due"
    if (now - oldest.due_at).total_seconds() > settings.STALE_AFTER_SECONDS:
        return Part("Checks", SLOW, "Late", detail, oldest.due_at, error=oldest.last_error, remedy=QUEUE)
    return Part("Checks", GOOD, "In progress", detail, oldest.due_at, error=oldest.last_error)


def broker(check: Mapping[str, Any]) -> Part:
    if check["ok"]:
        return Part("Broker", GOOD, "OK", check["detail"])
    return Part(
        "Broker",
        SLOW,
        "Unreachable",
        check["detail"],
        remedy="Check CELERY_BROKER_URL and that the broker is running. "
        f"Approvals still count; the worker looks for them every {settings.DRAIN_SECONDS} seconds.",
    )


def outbox() -> Part:
    now = timezone.now()
    halves = OutboxEntry.objects.open().exclude(half=None).order_by("pk")
    if half := halves.first():
        others = halves.count() - 1
        more = f", and {others} more" if others else ""
        return Part(
            "Deliveries",
            BAD,
            "Partly delivered",
            f"MLflow applied only part of request #{half.request_id}{more}, without {' and '.join(half.missing)}, "
            "since",
            half.waiting_since,
            error=half.last_error,
            remedy="Countersign keeps retrying. Fix the error from MLflow, or end the request on its page.",
        )
    waiting = OutboxEntry.objects.owed(now)
    oldest = waiting.first()
    if oldest is None and (held := OutboxEntry.objects.open().count()):
        words = "1 approved request is" if held == 1 else f"{held:,} approved requests are"
        return Part("Deliveries", GOOD, "Held", f"{words} waiting for a freeze to end.")
    if oldest is None:
        return Part("Deliveries", GOOD, "None waiting", "Every approved request is delivered.")
    count = waiting.count()
    waiting_words = "1 approved request waits" if count == 1 else f"{count:,} approved requests wait"
    tries = {0: "not tried yet", 1: "tried once"}.get(oldest.attempts, f"tried {oldest.attempts} times")
    detail = f"{waiting_words}; the oldest (request #{oldest.request_id}, {tries}) was approved"
    is_late = (now - oldest.owed_since).total_seconds() > settings.STALE_AFTER_SECONDS
    if not is_late:
        return Part("Deliveries", GOOD, "On their way", detail, oldest.created_at, error=oldest.last_error)
    return Part(
        "Deliveries",
        BAD,
        "Delayed",
        detail,
        oldest.created_at,
        error=oldest.last_error,
        remedy="Countersign delivers them as soon as a worker runs and MLflow responds; no new approval is needed.",
    )


def _next_try(at: datetime | None) -> str:
    return f"Next try at {at:%H:%M} UTC. " if at and at > timezone.now() else ""


def notifications() -> Part:
    """Mail alone has a server that is looked after; chats are tried one by one."""
    now = timezone.now()
    state = NotificationState.objects.first() or NotificationState()
    waiting = Notification.objects.open().filter(is_digest=False)
    count, oldest = waiting.count(), waiting.order_by("created_at").first()
    lost = Notification.objects.filter(is_undelivered=True, dropped_at__gt=now - timedelta(days=7)).count()
    words = f"{count:,} notification{'' if count == 1 else 's'} wait{'s' if count == 1 else ''}"
    if state.mail_failing_since:
        return Part(
            "Notifications",
            BAD,
            "Mail waits",
            f"{words}; the mail server has not taken any since",
            state.mail_failing_since,
            error=state.mail_error,
            remedy=f"{_next_try(state.mail_paused_until)}Check EMAIL_URL and the mail server; manage.py sendtestemail "
            f"tries it out. Mail that cannot be sent within {LONGEST.days} days is dropped; nothing else waits for it.",
        )
    if oldest and (now - oldest.due_at).total_seconds() > settings.STALE_AFTER_SECONDS:
        remedy = "They are sent as soon as a worker runs. Refused ones are retried."
        return Part(
            "Notifications", SLOW, "Delayed", f"{words}; since", oldest.due_at, error=oldest.last_error, remedy=remedy
        )
    if lost:
        remedy = "The people whose mail was refused see it under Preferences, Notifications. Check their addresses."
        return Part(
            "Notifications", SLOW, "Refused", f"{lost:,} in the last 7 days were refused permanently.", remedy=remedy
        )
    return Part("Notifications", GOOD, "On time", f"{words}." if count else "All notifications are sent.")
