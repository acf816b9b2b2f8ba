"""How the installation is, in numbers: all of it from the database, in one transaction, along indexes.

Ages are seconds; what never happened is infinitely long ago, so that a rule with a limit fires. What a rule has to know
of this installation's settings is a number too.
"""

import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Max, Min, Q, TextChoices
from django.db.models.functions import Coalesce, Greatest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from approvals.models import (
    Assessment,
    AuditEvent,
    ChainHead,
    Checkpoint,
    CheckResult,
    Enforcement,
    Incident,
    Notification,
    NotificationState,
    OutboxEntry,
    PolicyFeed,
    Probation,
    PromotionRequest,
    Target,
    Verification,
    WatchState,
    Webhook,
)
from approvals.models.assessment import Outcome
from approvals.models.event_types import Action
from approvals.models.requests import OPEN
from approvals.models.webhooks import PER_EVENT
from components.version import VERSION
from mirror import clock, pace
from mirror.models import MirrorState, ModelVersion, RegisteredModel

logger = structlog.get_logger(__name__)

KEPT_SECONDS = 5
LONGEST_SECONDS = 5
PREFIX = "countersign_"
NEVER = math.inf

OUTCOMES = {
    "applied": Action.VERSION_PROMOTED,
    "failed": Action.DELIVERY_FAILED,
    "reopened": Action.REQUEST_REOPENED,
}
"""Of deliveries: by which events they are counted."""


class Kept:
    """The numbers for `KEPT_SECONDS`, so that several scrapers, or a careless one, cost the database what one costs."""

    def __init__(self) -> None:
        self._lock, self._at, self._found = threading.Lock(), -math.inf, list[Metric]()

    def collect(self) -> list[Metric]:
        """Raises DatabaseError where the database cannot be used, or does not answer in time."""
        with self._lock:
            if time.monotonic() - self._at >= KEPT_SECONDS:
                self._found = list(numbers())
                self._at = time.monotonic()
            return self._found

    def forget(self) -> None:
        self._at = -math.inf


kept = Kept()


def numbers() -> Iterator[Metric]:
    """Raises DatabaseError as above; with a line in the log where the time was up."""
    started = time.monotonic()
    try:
        with _in_time():
            now = clock.now()
            mirror: MirrorState = MirrorState.objects.current()
            head = ChainHead.objects.filter(pk=1).values_list("sequence", flat=True).first() or 0
            sections = (
                _mirror(mirror, now),
                _gate(mirror, now),
                _requests(now),
                _outbox(now),
                _checks(now),
                _follow_up(now),
                _notifications(now),
                _webhooks(head, now),
                _ledger(head, now),
            )
            for section in sections:
                yield from section
    except DatabaseError as error:
        if time.monotonic() - started >= LONGEST_SECONDS:
            logger.warning("metrics.too_slow", seconds=round(time.monotonic() - started, 1), error=str(error)[:200])
        raise


@contextmanager
def _in_time() -> Iterator[None]:
    """On PostgreSQL one transaction, of which no query takes longer than LONGEST_SECONDS. On SQLite a transaction would
    hold up who writes."""
    if connection.vendor != "postgresql":
        ends = time.monotonic() + LONGEST_SECONDS
        connection.ensure_connection()
        raw = connection.connection
        raw.set_progress_handler(lambda: time.monotonic() > ends, 100_000)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{LONGEST_SECONDS}s"])
        yield


# --- What they are made of


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, words, value=value)


def _by(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, words, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _counted(kinds: Iterable[TextChoices], found: Mapping[str, float]) -> dict[str, float]:
    """With a nothing for each of the closed list that was not found: a series that comes and goes says less."""
    return {str(kind): found.get(str(kind), 0) for kind in kinds}


def _age(at: datetime | None, now: datetime, *, none: float) -> float:
    """Seconds; `none` where there is no moment. Never a little below nothing, as of two clocks that agree."""
    return none if at is None else max((now - at).total_seconds(), 0.0)


# --- The numbers


def _mirror(mirror: MirrorState, now: datetime) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        PREFIX + "build_info",
        "Versions of Countersign and of the MLflow server; always 1.",
        labels=["version", "mlflow_version"],
    )
    info.add_metric([VERSION, mirror.server_version or "unknown"], 1)
    yield info
    yield _gauge(
        "mlflow_up", "Whether MLflow answered the last pull.", mirror.seen_at is not None and not mirror.is_failing
    )
    yield _gauge(
        "mlflow_failing_seconds",
        "How long MLflow has not answered; 0 while it does.",
        _age(mirror.failing_since, now, none=0),
    )
    yield _gauge(
        "mirror_pull_age_seconds", "Since the last pull that MLflow answered.", _age(mirror.pulled_at, now, none=NEVER)
    )
    yield _gauge(
        "mirror_pull_late_after_seconds",
        "From which age on a pull is late, by the pace that MLflow allows.",
        pace.stale_after(mirror),
    )
    yield _gauge(
        "mirror_sweep_age_seconds", "Since the last sweep that came to its end.", _age(mirror.swept_at, now, none=NEVER)
    )
    yield _gauge("mirror_sweep_late_after_seconds", "The same of sweeps.", pace.sweep_late_after(mirror))
    yield _gauge(
        "sweep_failing", "Whether the last sweep failed or was stopped.", mirror.sweep_failing_since is not None
    )
    yield _gauge(
        "registry_refused", "Whether another registry than the mirrored one answered lately.", mirror.is_refusing
    )
    yield _gauge("deliveries_halted", "Whether nothing is written to MLflow until a person says so.", bool(mirror.halt))
    looked_at = WatchState.objects.filter(pk=1).values_list("looked_at", flat=True).first()
    moments = (mirror.pulled_at, mirror.swept_at, mirror.failed_at, mirror.sweep_failed_at, looked_at)
    yield _gauge(
        "worker_seen_age_seconds",
        "Since a worker last left a sign of its work.",
        _age(max((at for at in moments if at), default=None), now, none=NEVER),
    )
    yield _gauge("mirror_models", "Models that are mirrored.", RegisteredModel.objects.filter(deleted_at=None).count())
    # All, which an index counts, without the few that are deleted, which another one does.
    deleted = ModelVersion.objects.filter(deleted_at__isnull=False).count()
    yield _gauge("mirror_versions", "Versions that are mirrored.", ModelVersion.objects.count() - deleted)


def _gate(mirror: MirrorState, now: datetime) -> Iterator[Metric]:
    """Of the gate in MLflow. Nothing on it where no target is to be enforced or observed."""
    current = Target.objects.current().values_list("enforcement").annotate(Count("pk")).order_by()
    modes = _counted((Enforcement.OBSERVE, Enforcement.ENFORCE), dict(current))
    yield _by("gate_targets", "Targets that MLflow's gate is to observe or to enforce.", "mode", modes)
    yield _gauge(
        "gate_trouble",
        "Whether MLflow does not enforce what Countersign has it enforce.",
        bool(mirror.gate.get("trouble")),
    )
    if any(modes.values()):
        feed = PolicyFeed.objects.current()
        yield _gauge(
            "gate_policy_age_seconds", "Since the policy for MLflow was signed.", _age(feed.issued_at, now, none=NEVER)
        )
        yield _gauge(
            "gate_policy_fetch_age_seconds", "Since MLflow last fetched it.", _age(feed.fetched_at, now, none=NEVER)
        )


def _requests(now: datetime) -> Iterator[Metric]:
    rows = PromotionRequest.objects.open().values_list("status").annotate(Count("pk"), Min("created_at")).order_by()
    found = {status: (count, _age(oldest, now, none=0)) for status, count, oldest in rows}
    counts = {status: count for status, (count, _) in found.items()}
    ages = {status: age for status, (_, age) in found.items()}
    yield _by("requests", "Open requests.", "status", _counted(OPEN, counts))
    yield _by(
        "request_oldest_seconds",
        "Since the oldest open request was made; 0 without one.",
        "status",
        _counted(OPEN, ages),
    )


def _outbox(now: datetime) -> Iterator[Metric]:
    since = Greatest("created_at", Coalesce("held_until", "created_at"))
    owed = OutboxEntry.objects.owed(now).order_by().aggregate(n=Count("pk"), since=Min(since), tries=Max("attempts"))
    other = OutboxEntry.objects.open().aggregate(
        held=Count("pk", Q(held_until__gt=now)), half=Count("pk", Q(half__isnull=False))
    )
    yield _gauge("outbox_owed", "Approved requests that are not delivered yet.", owed["n"])
    yield _gauge(
        "outbox_oldest_seconds", "How long the oldest of them has been owed.", _age(owed["since"], now, none=0)
    )
    yield _gauge("outbox_attempts_max", "Most attempts on one of them.", owed["tries"] or 0)
    yield _gauge("outbox_held", "Approved requests that a freeze holds.", other["held"])
    yield _gauge("outbox_half", "Requests that are partly delivered.", other["half"])
    actions = AuditEvent.objects.filter(action__in=[str(action) for action in OUTCOMES.values()])
    counts = dict(actions.values_list("action").annotate(Count("pk")).order_by())
    family = CounterMetricFamily(PREFIX + "deliveries", "Deliveries, by what came of them.", labels=["outcome"])
    for outcome, action in OUTCOMES.items():
        family.add_metric([outcome], counts.get(str(action), 0))
    yield family


def _checks(now: datetime) -> Iterator[Metric]:
    """What the worker owes a look, and external checks that have not answered."""
    owed = Assessment.objects.filter(is_owed=True).aggregate(
        n=Count("pk"), since=Min(Coalesce("waiting_since", "due_at"))
    )
    waiting = (
        CheckResult.objects.live().filter(outcome=Outcome.WAITING).aggregate(n=Count("pk"), since=Min("checked_at"))
    )
    ages = [_age(each["since"], now, none=0) for each in (owed, waiting)]
    yield _gauge("checks_running", "Checks before review that have not come to an end.", owed["n"] + waiting["n"])
    yield _gauge("check_oldest_seconds", "How long the oldest of them has been under way.", max(ages))


def _follow_up(now: datetime) -> Iterator[Metric]:
    open_incidents = dict(Incident.objects.open().values_list("kind").annotate(Count("pk")).order_by())
    yield _by("incidents_open", "Open incidents.", "kind", _counted(Incident.Kind, open_incidents))
    overdue = Count("pk", Q(afterwards_due_at__lte=now))
    owing = PromotionRequest.objects.owing_review().aggregate(n=Count("pk"), overdue=overdue)
    yield _gauge("afterwards_owed", "Emergency promotions without their review.", owing["n"])
    yield _gauge("afterwards_overdue", "Those whose review is overdue.", owing["overdue"])
    yield _gauge("probations_open", "Promotions on probation.", Probation.objects.running().count())


def _notifications(now: datetime) -> Iterator[Metric]:
    """Without what waits for a daily digest."""
    waiting = Notification.objects.open().filter(is_digest=False).aggregate(n=Count("pk"), since=Min("created_at"))
    state = NotificationState.objects.first() or NotificationState()
    yield _gauge("notifications_waiting", "Notifications that are not sent yet.", waiting["n"])
    yield _gauge(
        "notification_oldest_seconds", "How long the oldest of them has waited.", _age(waiting["since"], now, none=0)
    )
    yield _gauge(
        "mail_failing_seconds",
        "How long the mail server has taken nothing; 0 while it does.",
        _age(state.mail_failing_since, now, none=0),
    )


def _webhooks(head: int, now: datetime) -> Iterator[Metric]:
    """Outgoing ones. Each is sent one message after the other, so the one that is furthest behind has the oldest."""
    running = Q(paused_at=None)
    found = Webhook.objects.current().aggregate(
        paused=Count("pk", ~running),
        failing=Count("pk", running & Q(failing_since__isnull=False)),
        done=Min("done", filter=running),
    )
    behind = 0 if found["done"] is None else max(head - found["done"] // PER_EVENT, 0)
    oldest = (
        AuditEvent.objects.filter(pk=(found["done"] + 1) // PER_EVENT).values_list("at", flat=True).first()
        if behind
        else None
    )
    yield _gauge("webhooks_paused", "Webhooks that are paused.", found["paused"])
    yield _gauge("webhooks_failing", "Webhooks whose receiver did not take the last message.", found["failing"])
    yield _gauge("webhook_events_waiting", "Events that the webhook furthest behind has not got.", behind)
    yield _gauge("webhook_oldest_seconds", "How long ago the oldest of them happened.", _age(oldest, now, none=0))


def _ledger(head: int, now: datetime) -> Iterator[Metric]:
    """Without a verification nothing is said of whether it is intact, and without a checkpoint nothing of those."""
    yield CounterMetricFamily(PREFIX + "ledger_events", "Events in the ledger.", value=head)
    last = Verification.objects.done().only("ended_at", "problem").first()
    if last is not None:
        yield _gauge("ledger_intact", "Whether the last verification found nothing.", last.is_intact)
    yield _gauge(
        "ledger_verified_age_seconds",
        "Since the last verification.",
        _age(last.ended_at if last else None, now, none=NEVER),
    )
    yield _gauge("ledger_verify_every_seconds", "How often it is to be verified.", settings.VERIFY_SECONDS)
    signed = Checkpoint.objects.order_by("-number").values_list("at", "sequence").first()
    if signed is not None:
        yield _gauge("checkpoint_age_seconds", "Since the newest checkpoint was signed.", _age(signed[0], now, none=0))
        yield _gauge("checkpoint_events_unsigned", "Events since then.", max(head - signed[1], 0))
