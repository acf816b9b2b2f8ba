"""Several rooms. What goes wrong with one thing stays with that thing: in each round of the worker, the others are
done."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from accounts.models import User
from approvals import assessment, delivery, notifications, watch, workflow
from approvals.models import (
    Action,
    Assessment,
    AuditEvent,
    Incident,
    Kind,
    Notification,
    NotificationState,
    OutboxEntry,
    PromotionRequest,
    Status,
    Target,
)
from approvals.notifications import audience, chat, collecting, messages
from approvals.selectors import frozen_evidence
from approvals.watch import classification, closing, restoring
from mirror import sync
from mirror.isolation import alone, counting
from mirror.models import ModelVersion, RefreshHint
from tests.support.factories import approve, make_incident, make_person, make_policy, make_request, make_version
from tests.support.fakes import FakeRegistry
from tests.support.world import observe

pytestmark = pytest.mark.django_db


class Odd(Exception):
    pass


@pytest.fixture
def registry() -> FakeRegistry:
    """`first`, `odd` and `third`, each with version 1 in Production and version 2."""
    fake = FakeRegistry()
    for name in ("first", "odd", "third"):
        for _ in range(2):
            fake.create_version(name, run_id=fake.log_run({"auc": 0.9}))
        fake.set_stage(name, 1, "Production", archive_existing=False)
    sync.sweep(fake)
    return fake


def odd_where(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, is_odd: Callable[..., bool], error: Exception | None = None
) -> None:
    """Makes one function raise for one thing."""
    real = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if is_odd(*args, **kwargs):
            raise error or Odd("It is odd.")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)


def asked(by: User, target: Target, *, is_checked: bool = True) -> dict[str, PromotionRequest]:
    versions = ModelVersion.objects.select_related("model").filter(number=2).order_by("model__name")
    return {row.model.name: make_request(row, target, by=by, is_checked=is_checked) for row in versions}


def statuses() -> dict[str, str]:
    return dict(PromotionRequest.objects.values_list("version__model__name", "status"))


def test_what_goes_wrong_is_counted_and_a_database_that_is_away_is_not_hidden() -> None:
    with counting() as failed:
        for number in range(3):
            with alone("test.odd", number=number):
                _ = 1 // (number - 1)
    assert failed == ["test.odd: integer division or modulo by zero"]
    with pytest.raises(OperationalError), alone("test.odd"):
        raise OperationalError("The server is gone.")


def test_deliveries(
    registry: FakeRegistry, rita: User, remy: User, production: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_policy("*", production, (1, None), files_limit_mb=0)
    for request in asked(rita, production, is_checked=False).values():
        assert assessment.assess(request.pk, registry) == "concluded"
        approve(PromotionRequest.objects.get(pk=request.pk), remy)
    odd_where(monkeypatch, registry, "set_stage", lambda model, *_, **__: model == "odd")
    assert delivery.drain(registry) == 3
    assert statuses() == {"first": "applied", "odd": "approved", "third": "applied"}
    assert OutboxEntry.objects.open().get().last_error.startswith("Delivery met an error of its own (Odd)")


def test_an_urgent_delivery_overtakes_the_others(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    make_policy("*", production, (1, None), files_limit_mb=0)
    for request in asked(rita, production, is_checked=False).values():
        assert assessment.assess(request.pk, registry) == "concluded"
        approve(PromotionRequest.objects.get(pk=request.pk), remy)
    OutboxEntry.objects.filter(model_name="third").update(is_urgent=True)
    assert delivery.drain(registry, limit=1) == 1
    assert statuses()["third"] == Status.APPLIED
    assert delivery.drain(registry, is_over=lambda: True) == 0


def test_inspections(registry: FakeRegistry, rita: User, production: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(rita, production, is_checked=False)
    odd_where(monkeypatch, workflow, "conclude", lambda request, **_: request.version.model.name == "odd")
    assert assessment.drain(registry) == 3
    owed = Assessment.objects.get(is_owed=True)
    assert owed.request.version.model.name == "odd"
    assert "error of their own (Odd)" in owed.last_error
    assert set(statuses().values()) == {"pending", "checking"}


def test_requests_whose_content_changed(
    registry: FakeRegistry, rita: User, production: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(rita, production)
    for name in ("first", "odd", "third"):
        registry.set_description(name, 2, "Something else.")
    sync.sweep(registry)
    odd_where(monkeypatch, frozen_evidence, "changes", lambda request: request.version.model.name == "odd")
    assert assessment.watch() == 2
    monkeypatch.undo()
    assert assessment.watch() == 1


def test_requests_that_expire(
    registry: FakeRegistry, rita: User, production: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = asked(rita, production)
    PromotionRequest.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    odd = requests["odd"].pk
    PromotionRequest.objects.filter(pk=odd).update(rule={"version": "from another world"})
    assert workflow.expire_due() == 2
    assert statuses() == {"first": "expired", "odd": "pending", "third": "expired"}
    assert AuditEvent.objects.filter(action=Action.REQUEST_EXPIRED).count() == 2


def test_models_that_were_changed(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert observe(registry) == 0
    for name in ("first", "odd", "third"):
        registry.set_stage(name, 2, "Production", archive_existing=True)
    odd_where(monkeypatch, classification, "judge", lambda key, *_: key.model == "odd")
    assert observe(registry) == 2
    assert watch.look(registry).passed == ("odd",)
    monkeypatch.undo()
    assert observe(registry) == 1
    assert set(Incident.objects.values_list("model_name", flat=True)) == {"first", "odd", "third"}


def test_incidents_that_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "odd", "third"):
        make_incident(name, kind=Incident.Kind.FILES, details={"version": 2})  # which holds nothing any more
    odd_where(monkeypatch, closing, "_over", lambda incident, *_: incident.model_name == "odd")
    assert watch.follow() == 2
    assert Incident.objects.open().get().model_name == "odd"


def test_put_backs(registry: FakeRegistry, production: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    make_policy("*", production, (1, None), on_bypass="put_back")
    assert observe(registry) == 0
    for name in ("first", "odd", "third"):
        registry.set_stage(name, 2, "Production", archive_existing=True)
    assert observe(registry) == 3
    odd_where(monkeypatch, restoring._Job, "look", lambda job: job.name == "odd")
    assert watch.restore_due(registry) == 3
    assert Incident.objects.open().get().model_name == "odd"


def test_hints_of_the_webhook(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "odd", "third"):
        sync.hint(name)
        registry.set_description(name, 1, "New.")
    odd_where(monkeypatch, registry, "model", lambda name: name == "odd")
    assert sync.follow_hints(registry) == 3
    assert not RefreshHint.objects.exists()
    new = ModelVersion.objects.filter(number=1, description="New.").order_by("model__name")
    assert list(new.values_list("model__name", flat=True)) == ["first", "third"]


def test_events_that_cannot_be_told_of(rita: User, remy: User, production: Target, monkeypatch: Any) -> None:
    notifications.collect()
    for number in (1, 2, 3):
        make_request(make_version(f"model_{number}"), production, by=rita)
    events = AuditEvent.objects.filter(action=Action.REQUEST_CHECKED).order_by("sequence")
    poison = events[1].sequence
    odd_where(
        monkeypatch, collecting, "store", lambda rows: any(row.event.sequence == poison for row in rows if row.event)
    )
    while notifications.collect():
        pass
    waits = Notification.objects.filter(kind=Kind.WAITS, recipient=remy)
    assert {row.request.version.model.name for row in waits if row.request} == {"model_1", "model_3"}
    assert NotificationState.objects.get().sequence == AuditEvent.objects.latest("sequence").sequence


def test_mails_that_cannot_be_written(remy: User, mailoutbox: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("first", "odd", "third"):
        Notification.objects.create(key=key, recipient=remy, kind=Kind.COMMENTED, title=key)
    odd_where(monkeypatch, messages, "single", lambda row: row.key == "odd")
    assert notifications.send() == 2
    assert len(mailoutbox) == 2
    left = Notification.objects.open().get()
    assert (left.key, left.attempts, left.is_undelivered) == ("odd", 1, False)


def test_chats_that_cannot_be_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CHAT_URLS = ["json://127.0.0.1:9/first", "json://127.0.0.1:9/odd", "json://127.0.0.1:9/third"]
    for name in chat.addresses():
        Notification.objects.create(key=name, chat=name, kind=Kind.COMMENTED, title="News")
    monkeypatch.setattr(chat, "say", lambda *_: True)
    odd_where(monkeypatch, chat, "say", lambda address, _: address.endswith("odd"))
    assert notifications.send() == 2
    assert Notification.objects.open().get().attempts == 1


def test_a_request_that_nobody_understands_holds_up_no_mail(
    rita: User, production: Target, mailoutbox: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request(make_version(), production, by=rita)
    person = make_person("Nina New", "reviewer")
    for key, about in (("one", request), ("two", None)):
        Notification.objects.create(key=key, recipient=person, kind=Kind.WAITS, request=about, title=key)
    odd_where(monkeypatch, audience, "waited_for", lambda *_: True)
    assert notifications.send() == 2
    assert len(mailoutbox) == 2
