"""What the numbers say, of nothing and of each thing that may need a person."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from approvals import ledger, workflow
from approvals.models import (
    Action,
    Assessment,
    AuditEvent,
    ChainHead,
    Checkpoint,
    Enforcement,
    Incident,
    Notification,
    OutboxEntry,
    PolicyFeed,
    PromotionRequest,
    Target,
    Verification,
    WatchState,
    Webhook,
)
from approvals.models.webhooks import before
from mirror import health
from mirror.models import MirrorState, ModelVersion
from mirror.port import Refused, Unreachable
from registry_ui.metrics import database
from tests.registry_ui.metrics.scrape import Numbers, values
from tests.support.factories import make_incident, make_request, make_version, make_webhook

pytestmark = [pytest.mark.django_db, pytest.mark.each_database]

HOUR = timedelta(hours=1)
QUERIES = 24
"""With those that tell the time and limit the transaction on PostgreSQL: see MORE."""


def ago(hours: float) -> Any:
    return timezone.now() - hours * HOUR


def about(hours: float) -> Any:
    return pytest.approx(hours * 3600, abs=20)


def test_a_new_installation_has_never_seen_mlflow_or_a_worker(production: Target) -> None:
    found = Numbers()
    assert (found("mlflow_up"), found("mlflow_failing_seconds")) == (0, 0)
    ages = ("mirror_pull_age_seconds", "mirror_sweep_age_seconds", "worker_seen_age_seconds")
    assert [found(name) for name in (*ages, "ledger_verified_age_seconds")] == [math.inf] * 4
    assert not any(map(found.has, ("ledger_intact", "checkpoint_age_seconds", "checkpoint_events_unsigned")))
    assert (found("requests", status="pending"), found("outbox_owed"), found("incidents_open", kind="moved")) == (
        0,
        0,
        0,
    )
    assert found("build_info", version=database.VERSION, mlflow_version="unknown") == 1


def test_mlflow_pull_and_sweep_are_told_apart() -> None:
    health.answered(pulled_at=ago(0.5))
    health.swept(swept_at=ago(2), server_version="3.17.2")
    found = Numbers()
    assert (found("mlflow_up"), found("sweep_failing")) == (1, 0)
    assert (found("mirror_pull_age_seconds"), found("mirror_sweep_age_seconds")) == (about(0.5), about(2))
    assert found("build_info", version=database.VERSION, mlflow_version="3.17.2") == 1
    health.sweep_failed(Refused("Permission denied"))
    health.answered(pulled_at=ago(0))
    found = Numbers()
    assert (found("mlflow_up"), found("sweep_failing")) == (1, 1)
    health.failed(Unreachable("Connection refused."))
    MirrorState.objects.record(failing_since=ago(3))
    found = Numbers()
    assert (found("mlflow_up"), found("mlflow_failing_seconds")) == (0, about(3))


def test_how_late_is_late_follows_the_pace_that_a_slow_mlflow_allows(settings: Any) -> None:
    settings.STALE_AFTER_SECONDS = settings.PULL_SECONDS_MOST = 100
    assert Numbers()("mirror_pull_late_after_seconds") == 100
    MirrorState.objects.record(pull_took=[30.0])
    assert Numbers()("mirror_pull_late_after_seconds") == 300


def test_a_worker_whose_pulls_are_far_apart_is_seen_by_its_watch() -> None:
    health.answered(pulled_at=ago(1))
    assert Numbers()("worker_seen_age_seconds") == about(1)
    WatchState.objects.update_or_create(pk=1, defaults={"looked_at": ago(0)})
    assert Numbers()("worker_seen_age_seconds") == about(0)


def test_deleted_versions_do_not_count(rita: User) -> None:
    version = make_version()
    make_version(version.model, number=version.number + 1)
    assert (Numbers()("mirror_versions"), Numbers()("mirror_models")) == (2, 1)
    ModelVersion.objects.filter(pk=version.pk).update(deleted_at=ago(1))
    assert Numbers()("mirror_versions") == 1


def test_another_registry_and_a_halt_are_told() -> None:
    assert (Numbers()("registry_refused"), Numbers()("deliveries_halted")) == (0, 0)
    MirrorState.objects.record(refused={"words": "Another."}, refused_at=ago(0), halt="The ledger was cut off.")
    assert (Numbers()("registry_refused"), Numbers()("deliveries_halted")) == (1, 1)


def test_the_gate_is_told_of_where_a_target_asks_for_it(production: Target) -> None:
    Target.objects.update(enforcement=Enforcement.OFF)
    MirrorState.objects.record(gate={"trouble": ""})
    found = Numbers()
    assert found("gate_targets", mode="enforce") == found("gate_trouble") == 0
    assert not found.has("gate_policy_age_seconds")
    Target.objects.filter(pk=production.pk).update(enforcement=Enforcement.ENFORCE)
    MirrorState.objects.record(gate={"trouble": "MLflow does not enforce the gate."})
    found = Numbers()
    assert found("gate_targets", mode="enforce") == found("gate_trouble") == 1
    assert found("gate_policy_age_seconds") == found("gate_policy_fetch_age_seconds") == math.inf
    PolicyFeed.objects.create(pk=1, issued_at=ago(1), fetched_at=ago(2))
    found = Numbers()
    assert (found("gate_policy_age_seconds"), found("gate_policy_fetch_age_seconds")) == (about(1), about(2))


@pytest.fixture
def waiting(rita: User, staging: Target) -> PromotionRequest:
    request = make_request(make_version(), staging, by=rita)
    PromotionRequest.objects.update(created_at=ago(4))
    return request


def test_open_requests_by_status(waiting: PromotionRequest) -> None:
    found = Numbers()
    assert (found("requests", status="pending"), found("request_oldest_seconds", status="pending")) == (1, about(4))
    assert (found("requests", status="failed"), found("request_oldest_seconds", status="failed")) == (0, 0)
    assert {"applied", "rejected"}.isdisjoint(str(values(database.numbers())["countersign_requests"]))


def test_what_is_owed_to_mlflow_and_what_is_held(waiting: PromotionRequest, remy: User) -> None:
    workflow.review(waiting, by=remy, verdict="approve")
    OutboxEntry.objects.update(created_at=ago(2), attempts=3)
    found = Numbers()
    assert (found("outbox_owed"), found("outbox_held"), found("outbox_half")) == (1, 0, 0)
    assert (found("outbox_oldest_seconds"), found("outbox_attempts_max")) == (about(2), 3)
    OutboxEntry.objects.update(held_until=timezone.now() + HOUR, held_by="Weekend", half={"missing": []})
    found = Numbers()
    assert (found("outbox_owed"), found("outbox_held"), found("outbox_half")) == (0, 1, 1)
    assert (found("outbox_oldest_seconds"), found("outbox_attempts_max")) == (0, 0)


def test_deliveries_are_counted_by_their_events(waiting: PromotionRequest) -> None:
    def counts() -> dict[str, float]:
        found = Numbers()
        return {outcome: found("deliveries_total", outcome=outcome) for outcome in database.OUTCOMES}

    earlier = counts()
    failed = Action.DELIVERY_FAILED
    for action in (Action.VERSION_PROMOTED, failed, failed, Action.REQUEST_REOPENED, Action.REQUEST_COMMENTED):
        ledger.record(action, actor=None)
    assert {outcome: count - earlier[outcome] for outcome, count in counts().items()} == {
        "applied": 1,
        "failed": 2,
        "reopened": 1,
    }


def test_checks_that_take_long(waiting: PromotionRequest) -> None:
    assert (Numbers()("checks_running"), Numbers()("check_oldest_seconds")) == (0, 0)
    Assessment.objects.update_or_create(
        request=waiting, defaults={"is_owed": True, "waiting_since": ago(2), "due_at": ago(0)}
    )
    assert (Numbers()("checks_running"), Numbers()("check_oldest_seconds")) == (1, about(2))


def test_open_incidents_by_kind() -> None:
    make_incident()
    found = Numbers()
    assert {kind: found("incidents_open", kind=kind) for kind in Incident.Kind.values} == {
        kind: int(kind == Incident.objects.get().kind) for kind in Incident.Kind.values
    }
    Incident.objects.update(resolved_at=ago(0), resolution="explained")
    assert Numbers()("incidents_open", kind=Incident.objects.get().kind) == 0


def test_an_emergency_promotion_owes_its_review(waiting: PromotionRequest) -> None:
    assert (Numbers()("afterwards_owed"), Numbers()("afterwards_overdue")) == (0, 0)
    PromotionRequest.objects.update(kind="break_glass", afterwards_due_at=timezone.now() + HOUR)
    assert (Numbers()("afterwards_owed"), Numbers()("afterwards_overdue")) == (1, 0)
    PromotionRequest.objects.update(afterwards_due_at=ago(1))
    assert (Numbers()("afterwards_owed"), Numbers()("afterwards_overdue")) == (1, 1)


def test_notifications_that_wait_but_not_those_of_a_digest(rita: User) -> None:
    for name, is_digest, hours in (("a", False, 2), ("b", False, 1), ("c", True, 20)):
        Notification.objects.create(
            key=name, recipient=rita, kind="waits", title="t", is_digest=is_digest, created_at=ago(hours)
        )
    found = Numbers()
    assert (found("notifications_waiting"), found("notification_oldest_seconds")) == (2, about(2))
    Notification.objects.update(sent_at=ago(0))
    assert (Numbers()("notifications_waiting"), Numbers()("notification_oldest_seconds")) == (0, 0)


def test_webhooks_are_as_far_as_the_one_furthest_behind(waiting: PromotionRequest) -> None:
    up_to_date, late, _ = make_webhook("up to date"), make_webhook("late"), make_webhook("paused", is_paused=True)
    head = ChainHead.objects.get().sequence
    Webhook.objects.filter(pk=up_to_date.pk).update(done=before(head + 1))
    Webhook.objects.filter(pk=late.pk).update(done=before(head - 1), failing_since=ago(1))
    found = Numbers()
    assert (found("webhooks_paused"), found("webhooks_failing"), found("webhook_events_waiting")) == (1, 1, 2)
    age = (timezone.now() - AuditEvent.objects.get(pk=head - 1).at).total_seconds()
    assert found("webhook_oldest_seconds") == pytest.approx(age, abs=20)
    Webhook.objects.filter(pk=late.pk).update(retired_at=ago(0))
    found = Numbers()
    assert (found("webhooks_failing"), found("webhook_events_waiting"), found("webhook_oldest_seconds")) == (0, 0, 0)


def test_the_ledger_is_as_its_last_verification_found_it() -> None:
    Verification.objects.create(ended_at=ago(3))
    assert (Numbers()("ledger_intact"), Numbers()("ledger_verified_age_seconds")) == (1, about(3))
    Verification.objects.create(ended_at=ago(1), problem="Event 7 does not fit.")
    Verification.objects.create()  # under way
    assert (Numbers()("ledger_intact"), Numbers()("ledger_verified_age_seconds")) == (0, about(1))


def test_events_that_no_checkpoint_has_signed(waiting: PromotionRequest) -> None:
    head = ChainHead.objects.get().sequence
    Checkpoint.objects.create(number=1, sequence=head - 1, hash="", at=ago(2), key="", text="")
    found = Numbers()
    assert (found("checkpoint_age_seconds"), found("checkpoint_events_unsigned")) == (about(2), 1)
    assert found("ledger_events_total") == head


def test_they_are_kept_for_five_seconds(monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any) -> None:
    at = [1000.0]
    monkeypatch.setattr(database.time, "monotonic", lambda: at[0])
    kept = database.Kept()
    first = kept.collect()
    make_incident()
    at[0] += 4.9
    with django_assert_num_queries(0):
        assert kept.collect() is first
    at[0] += 0.2
    assert values(kept.collect())["countersign_incidents_open"] != values(first)["countersign_incidents_open"]


@pytest.mark.parametrize("fill", [lambda: None, lambda: [make_incident() for _ in range(3)]], ids=["empty", "filled"])
def test_it_asks_as_much_whatever_there_is(
    production: Target,
    fill: Callable[[], Any],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    fill()
    with django_assert_max_num_queries(QUERIES + 4):
        list(database.numbers())
