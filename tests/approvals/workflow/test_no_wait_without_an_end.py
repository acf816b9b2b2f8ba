"""Several rooms. Every state that is not final has a way out by itself or by somebody, and its page says which."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import assessment, workflow
from approvals.models import (
    Assessment,
    FreezeWindow,
    Notification,
    NotificationState,
    OutboxEntry,
    PromotionRequest,
    Status,
    Target,
)
from approvals.models.notifications import LONGEST
from approvals.models.requests import CLOSED, MOVES, OPEN
from approvals.notifications import sending
from approvals.selectors import request_state
from approvals.views import progress
from components import times
from mirror.port import Denied, Refused, Unreachable
from registry_ui import system
from tests.support import world
from tests.support.factories import check, make_policy, make_request, make_version
from tests.support.fakes import FakeRegistry

pytestmark = pytest.mark.django_db
CLOCK = r"((\d+ \w{3} )?\d\d:\d\d|\d+ \w{3} \d{4})"
"""With the day unless that is today; in another year, with the year in place of the time."""
EXPIRES = rf"It expires {CLOCK}\. "

WHO = "Rita Sanz can withdraw it; reviewers and administrators can end it."


def text(client: Client, person: User, request: PromotionRequest) -> str:
    client.force_login(person)
    page = client.get(request.get_absolute_url()).content.decode()
    return unescape(re.sub(r"\s+([.,;:])", r"\1", re.sub(r"(<[^>]+>|\s)+", " ", page)))


# --- The machine ------------------------------------------------------------------------------------------------------


def test_every_open_status_leads_to_a_closed_one() -> None:
    reached = set(CLOSED)
    while more := {source for to in reached for source in MOVES[to]} - reached:
        reached |= more
    assert reached == set(Status)
    assert {source for to in CLOSED for source in MOVES[to]} >= set(OPEN)


def _changes(request: PromotionRequest, remy: User) -> PromotionRequest:
    workflow.review(request, by=remy, verdict="request_changes", comment="More.")
    return request


def _failed(request: PromotionRequest, remy: User) -> None:
    workflow.review(request, by=remy, verdict="approve")
    PromotionRequest.objects.filter(pk=request.pk).move(Status.FAILED, status_reason="MLflow refused: No.")
    request.outbox_entries.update(closed_at=timezone.now(), outcome=OutboxEntry.Outcome.FAILED)


STATES: dict[Status, Callable[[PromotionRequest, User], object]] = {
    Status.CHECKING: lambda request, remy: workflow.resubmit(
        _changes(request, remy), by=request.requester, justification="Again."
    ),
    Status.PENDING: lambda request, remy: None,
    Status.CHANGES_REQUESTED: _changes,
    Status.APPROVED: lambda request, remy: workflow.review(request, by=remy, verdict="approve"),
    Status.FAILED: _failed,
}


def test_each_open_status_is_tried_below() -> None:
    assert set(STATES) == set(OPEN)


@pytest.mark.each_database
@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("how", ["withdraw", "end"])
def test_people_end_a_request_in_every_open_status(
    rita: User, remy: User, ada: User, production: Target, status: Status, how: str, client: Client
) -> None:
    make_policy("*", production, (1, None))
    request = make_request(make_version(), production, by=rita)
    STATES[status](request, remy)
    request.refresh_from_db()
    assert request.status == status
    if status != Status.PENDING:
        assert WHO in text(client, ada, request)
    assert "End the request" in text(client, ada, request)
    assert "Withdraw the request" in text(client, rita, request)
    if how == "withdraw":
        workflow.withdraw(request, by=rita, reason="Not needed.")
    else:
        with pytest.raises(workflow.Invalid, match="Enter"):
            workflow.end(request, by=ada, reason="")
        workflow.end(request, by=ada, reason="Nobody works on it.")
    request.refresh_from_db()
    assert request.status == Status.WITHDRAWN
    assert not OutboxEntry.objects.open().exists()
    assert f"Withdrawn by {'Rita Sanz' if how == 'withdraw' else 'Ada Brandt'}." in text(client, ada, request)


@pytest.mark.each_database
@pytest.mark.parametrize("status", [Status.CHECKING, Status.PENDING, Status.CHANGES_REQUESTED])
def test_what_nobody_decides_expires(rita: User, remy: User, production: Target, status: Status) -> None:
    make_policy("*", production, (1, None))
    request = make_request(make_version(), production, by=rita)
    STATES[status](request, remy)
    PromotionRequest.objects.update(expires_at=timezone.now())
    assert workflow.expire_due() == 1
    request.refresh_from_db()
    assert request.status == Status.EXPIRED


def test_who_may_end_and_who_may_not(rita: User, remy: User, vera: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    assert request_state.of(request, remy).actions["end"]
    assert request_state.of(request, rita).actions["end"].reason == "You are the requester: withdraw it instead."
    assert not request_state.of(request, vera).actions["end"]


# --- Delivery ---------------------------------------------------------------------------------------------------------


def _waits(registry: FakeRegistry, request: PromotionRequest) -> None:
    registry.fail_next("version", Unreachable("MLflow answered 503."))
    assert world.deliver(request, registry) == "waiting"


def _denied(registry: FakeRegistry, request: PromotionRequest) -> None:
    registry.fail_next("version", Denied("MLflow does not accept Countersign's credentials (401)."))
    assert world.deliver(request, registry) == "waiting"


def _half(registry: FakeRegistry, request: PromotionRequest) -> None:
    registry.fail_next("set_alias", Refused("No aliases today."))
    assert world.deliver(request, registry) == "waiting"


def _held(registry: FakeRegistry, request: PromotionRequest) -> None:
    world.freeze()
    assert world.deliver(request, registry) == "held"
    assert FreezeWindow.objects.exists()


def _delayed(registry: FakeRegistry, request: PromotionRequest) -> None:
    OutboxEntry.objects.update(available_at=timezone.now() - timedelta(minutes=5))


DELIVERIES: dict[str, tuple[Callable[[FakeRegistry, PromotionRequest], None], str]] = {
    "waiting": (_waits, r"Waiting for MLflow since .*; next try at .* MLflow answered 503\..*" + re.escape(WHO)),
    "denied": (_denied, r"Waiting for MLflow since .*; next try at .*credentials \(401\)\..*" + re.escape(WHO)),
    "half": (_half, r"Partly delivered since .* No aliases today\. .*next try at .*End it without the alias @champion"),
    "held": (_held, r"The freeze “Christmas” holds it until .*" + re.escape(WHO)),
    "delayed": (_delayed, r"no worker has picked it up since .*System shows what is missing.*" + re.escape(WHO)),
    "queued": (lambda registry, request: None, r"The worker takes it within seconds.*" + re.escape(WHO)),
}


@pytest.mark.parametrize("state", DELIVERIES)
def test_an_approved_request_says_what_it_waits_for_and_who_can_end_it(
    registry: FakeRegistry, rita: User, remy: User, production: Target, state: str, client: Client
) -> None:
    make_policy("*", production, (1, None))
    request = world.ask(registry, 1, production, by=rita)
    workflow.review(request, by=remy, verdict="approve")
    prepare, told = DELIVERIES[state]
    prepare(registry, request)
    assert progress.delivery(request).state == ("waiting" if state == "denied" else state)
    assert re.search(told, text(client, remy, request))
    if state == "half":
        workflow.end_half(request, by=remy, how="revert", reason="Back.")
        assert world.deliver(request, registry) == "failed"
    else:
        workflow.end(request, by=remy, reason="Not needed any more.")
        request.refresh_from_db()
        assert request.status == Status.WITHDRAWN
    assert not OutboxEntry.objects.open().exists()


def test_what_is_delivered_in_this_moment_is_not_ended(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    make_policy("*", production, (1, None))
    request = world.ask(registry, 1, production, by=rita)
    workflow.review(request, by=remy, verdict="approve")
    OutboxEntry.objects.update(lease_expires_at=timezone.now() + timedelta(minutes=1))
    with pytest.raises(workflow.Conflict, match="being delivered right now"):
        workflow.withdraw(request, by=rita)
    request.refresh_from_db()
    assert request.status == Status.APPROVED


# --- Checking ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def unchecked(registry: FakeRegistry, rita: User, production: Target) -> PromotionRequest:
    return make_request(world.version(1), production, by=rita, is_checked=False)


def fail(registry: FakeRegistry, request: PromotionRequest) -> str:
    registry.fail_next("version", Unreachable("MLflow answered 503."))
    Assessment.objects.update(due_at=timezone.now())
    return assessment.assess(request.pk, registry)


def test_a_request_in_checks_says_when_it_is_tried_and_given_up(
    registry: FakeRegistry, unchecked: PromotionRequest, remy: User, client: Client
) -> None:
    assert fail(registry, unchecked) == "waiting"
    assert re.search(
        rf"Waiting for MLflow since {CLOCK}; next try at {CLOCK}\. MLflow answered 503\. "
        rf"Tried 1 time\. It stops trying {CLOCK}; this page shows it\. " + EXPIRES + re.escape(WHO),
        text(client, remy, unchecked),
    )


def test_after_a_day_it_ends_with_a_problem_on_the_page(
    registry: FakeRegistry, unchecked: PromotionRequest, rita: User, client: Client
) -> None:
    fail(registry, unchecked)
    Assessment.objects.update(waiting_since=timezone.now() - timedelta(hours=25))
    assert fail(registry, unchecked) == "concluded"
    told = "The model's files could not be read within 24 hours. Last: MLflow answered 503."
    shown = text(client, rita, unchecked)
    assert "Blocked by 1 automatic check" in shown
    assert told in shown
    workflow.resubmit(unchecked, by=rita)
    assert Assessment.objects.get().attempts == 0


def test_a_worker_that_dies_again_and_again_is_no_reason_to_wait(
    registry: FakeRegistry, unchecked: PromotionRequest
) -> None:
    for _ in range(5):
        claimed = Assessment.objects.claim(unchecked.pk, by="killed", lease=timedelta(0))
        assert claimed
    assert assessment.assess(unchecked.pk, registry) == "concluded"
    unchecked.refresh_from_db()
    assert "The inspection ended 5 times without a result" in unchecked.status_reason


def test_an_external_check_says_when_it_is_given_up(rita: User, remy: User, production: Target, client: Client) -> None:
    request = make_request(make_version(), production, by=rita)
    result = request.checks.live().get()
    deadline = timezone.now() + timedelta(minutes=30)
    type(result).objects.filter(pk=result.pk).update(outcome="waiting", deadline_at=deadline)
    PromotionRequest.objects.filter(pk=request.pk).move(Status.CHECKING, sources=[Status.PENDING])
    assert f"It stops waiting {times.brief(deadline)}." in text(client, remy, request)
    assert times.exact(deadline, seconds=True) in client.get(request.get_absolute_url()).content.decode()


def test_what_checks_block_can_be_put_right_ended_and_expires(
    rita: User, remy: User, production: Target, client: Client
) -> None:
    request = make_request(make_version(), production, by=rita, is_checked=False)
    check(request, files={"count": 0})
    shown = text(client, remy, request)
    assert "Blocked by 1 automatic check" in shown
    assert re.search(EXPIRES + re.escape(WHO), shown)


# --- Notifications ----------------------------------------------------------------------------------------------------


def test_what_the_mail_server_never_takes_is_given_up(remy: User) -> None:
    now = timezone.now()
    NotificationState.objects.update_or_create(
        pk=1,
        defaults={
            "mail_failing_since": now - timedelta(days=15),
            "mail_paused_until": now + timedelta(minutes=10),
            "mail_error": "Connection refused",
        },
    )
    old = Notification.objects.create(key="a", recipient=remy, kind="waits", title="A", created_at=now - LONGEST)
    Notification.objects.create(key="b", recipient=remy, kind="waits", title="B")
    part = next(part for part in system.parts() if part.name == "Notifications")
    assert part.error == "Connection refused"
    assert "Next try at" in part.remedy
    assert "within 14 days is dropped" in part.remedy
    sending.send()
    old.refresh_from_db()
    assert (old.is_undelivered, old.last_error) == (True, "It could not be sent within 14 days.")
    assert Notification.objects.open().get().key == "b"
