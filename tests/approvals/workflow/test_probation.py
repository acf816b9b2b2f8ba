"""Probation on the real delivery code: begun, confirmed, expired, reported on, superseded; and killed anywhere."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from approvals import delivery, ledger, notifications, workflow
from approvals.checks import signing
from approvals.evidence import approval_note
from approvals.models import (
    Action,
    Kind,
    Notification,
    OutboxEntry,
    Probation,
    PromotionRequest,
    RequestKind,
    Status,
    Target,
    Tenure,
)
from approvals.policy import ProbationRule
from approvals.selectors import note_claims
from approvals.webhooks import health_reports
from approvals.workflow import probation as verbs
from tests.support.factories import make_person, make_policy
from tests.support.fakes import FakeRegistry
from tests.support.world import (
    MODEL,
    REASON,
    break_glass,
    deliver,
    freeze,
    in_production,
    make_registry,
    model,
    promote,
    version,
)

pytestmark = pytest.mark.django_db
BAD = {"healthy": False, "reason": "p95 latency 4.2 s.", "reported_by": "Grafana"}
GOOD = {"healthy": True, "reported_by": "Grafana"}


@pytest.fixture
def provisional(production: Target) -> None:
    make_policy("*", production, (1, None), probation=ProbationRule(24))


@pytest.fixture
def first(registry: FakeRegistry, rita: User, remy: User, production: Target) -> PromotionRequest:
    return promote(registry, 1, production, by=rita, approvers=(remy,))


@pytest.fixture(scope="module")
def kept_registry(kept: None) -> FakeRegistry:
    fake, production = make_registry(), Target.objects.get(name="Production")
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer")
    make_policy("*", production, (1, None))
    promote(fake, 1, production, by=rita, approvers=(remy,))
    make_policy("*", production, (1, None), probation=ProbationRule(24))
    promote(fake, 2, production, by=rita, approvers=(remy,))
    return fake


@pytest.fixture
def asked(db: None, kept_registry: FakeRegistry) -> PromotionRequest:
    """Version 1 was there before; version 2 is on probation."""
    return PromotionRequest.objects.get(version__number=2)


def probation(request: PromotionRequest) -> Probation:
    return Probation.objects.get(request=request)


def pass_time(request: PromotionRequest) -> None:
    Probation.objects.filter(request=request).update(ends_at=timezone.now() - timedelta(seconds=1))


def rollbacks() -> list[PromotionRequest]:
    return list(PromotionRequest.objects.filter(kind=RequestKind.ROLLBACK).order_by("pk"))


def post(
    request: PromotionRequest, said: Any, *, message_id: str = "report-1", secret: str = "", **headers: str
) -> Any:
    """A report as a monitoring system sends it."""
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    signed = signing.sign(body, secret or health_reports.secret_for(MODEL), message_id=message_id, now=timezone.now())
    address = reverse("approvals:health_callback", args=[probation(request).token])
    return Client().post(address, body, content_type="application/json", headers={**signed, **headers})


# --- Beginning --------------------------------------------------------------------------------------------------------


def test_a_promotion_whose_policy_says_so_is_provisional(asked: PromotionRequest) -> None:
    found = probation(asked)
    assert timedelta(hours=23.9) < found.ends_at - timezone.now() <= timedelta(hours=24)
    event = asked.events.get(action=Action.PROBATION_STARTED)
    assert (event.data["hours"], event.data["ends_at"]) == (24, found.ends_at.isoformat())
    assert len(found.token) >= 32


def test_a_break_glass_promotion_is_provisional_too_and_a_roll_back_is_not(
    registry: FakeRegistry, asked: PromotionRequest, production: Target
) -> None:
    otto = make_person("Otto Reyes", "responder")
    deliver(break_glass(3, production, by=otto), registry)
    assert Probation.objects.running().get().request.version.number == 3
    assert probation(asked).outcome == "superseded"
    deliver(workflow.roll_back(model(), production, by=otto, reason=REASON), registry)
    assert not Probation.objects.running().exists()
    assert Probation.objects.count() == 2


# --- Confirming -------------------------------------------------------------------------------------------------------


def test_a_reviewer_confirms_and_it_stays(registry: FakeRegistry, asked: PromotionRequest, remy: User) -> None:
    workflow.confirm_probation(asked, by=remy, comment="A day without complaints.")
    found = probation(asked)
    assert (found.outcome, found.closed_by, found.reason) == ("confirmed", remy, "A day without complaints.")
    pass_time(asked)
    assert workflow.end_due_probations() == 0
    assert in_production(registry) == [2]
    with pytest.raises(workflow.NotAllowed, match="not on probation"):
        workflow.confirm_probation(asked, by=remy, comment="Again.")


def test_who_asked_and_who_may_not_review_cannot_confirm(asked: PromotionRequest, rita: User, vera: User) -> None:
    with pytest.raises(workflow.NotAllowed, match="You requested this promotion"):
        workflow.confirm_probation(asked, by=rita, comment="Fine.")
    with pytest.raises(workflow.NotAllowed, match="Only reviewers can confirm"):
        workflow.confirm_probation(asked, by=vera, comment="Fine.")


def test_a_confirmation_says_why_and_comes_in_time(asked: PromotionRequest, remy: User) -> None:
    with pytest.raises(workflow.Invalid):
        workflow.confirm_probation(asked, by=remy, comment=" ")
    pass_time(asked)
    with pytest.raises(workflow.Conflict, match="is over"):
        workflow.confirm_probation(asked, by=remy, comment="A second late.")


# --- Falling back -----------------------------------------------------------------------------------------------------


def test_unconfirmed_at_the_end_it_is_rolled_back_by_itself(registry: FakeRegistry, asked: PromotionRequest) -> None:
    assert workflow.end_due_probations() == 0
    pass_time(asked)
    assert workflow.end_due_probations() == 1
    (back,) = rollbacks()
    found = probation(asked)
    assert (found.outcome, found.rollback, found.reason) == ("rolled_back", back, "It was not confirmed in time.")
    assert (back.version.number, back.status) == (1, Status.APPROVED)
    assert back.justification == f"Probation of request #{asked.pk}: It was not confirmed in time."
    freeze()  # holds nothing of this
    assert deliver(back, registry) == "applied"
    assert in_production(registry) == [1]
    allowed = f"probation of request #{asked.pk}"
    assert {
        e.allowed_by for e in back.events.filter(action__in=[Action.REQUEST_APPROVED, Action.VERSION_PROMOTED])
    } == {allowed}
    ended = asked.events.get(action=Action.PROBATION_ENDED)
    assert (ended.data["outcome"], ended.data["rollback"]) == ("rolled_back", back.pk)
    line = approval_note.notes(registry.version(MODEL, 1).description)[-1]
    assert line.startswith(f"Rolled back into Production by {allowed} · ")
    assert [each.doubt for each in note_claims.check(version(1))] == ["", ""]
    assert ledger.verify().is_intact


def test_the_programs_own_account_is_made_once_and_nobody_can_sign_in_as_it(
    registry: FakeRegistry, asked: PromotionRequest
) -> None:
    pass_time(asked)
    workflow.end_due_probations()
    account = User.objects.countersign()
    assert rollbacks()[0].requester == account
    assert (account.is_active, account.is_service_account, account.has_usable_password()) == (False, True, False)
    assert User.objects.countersign() == account
    assert account not in User.objects.people()


def test_without_an_approved_earlier_holder_it_stays_and_says_so(
    registry: FakeRegistry, rita: User, remy: User, ada: User, production: Target
) -> None:
    make_policy("*", production, (1, None), probation=ProbationRule(1))
    request = promote(registry, 1, production, by=rita, approvers=(remy,))
    pass_time(request)
    assert workflow.end_due_probations() == 1
    found = probation(request)
    assert (found.outcome, found.rollback) == ("stayed", None)
    assert "no approved earlier version" in found.reason
    assert in_production(registry) == [1]
    notifications.collect()
    rows = Notification.objects.filter(kind=Kind.PROBATION, title__contains="nothing to roll back to")
    assert {row.recipient.name for row in rows if row.recipient} == {"Ada Brandt", "Rita Sanz", "Remy Ortiz"}


def test_a_holder_from_before_the_gate_is_not_gone_back_to_by_itself(
    registry: FakeRegistry, asked: PromotionRequest
) -> None:
    Tenure.objects.filter(version_number=1).update(origin=Tenure.Origin.FOUND, request=None)
    pass_time(asked)
    workflow.end_due_probations()
    assert probation(asked).outcome == "stayed"


def test_a_later_promotion_ends_it_as_superseded(
    registry: FakeRegistry, asked: PromotionRequest, rita: User, remy: User, production: Target
) -> None:
    later = promote(registry, 3, production, by=rita, approvers=(remy,))
    found = probation(asked)
    assert (found.outcome, found.reason) == ("superseded", f"Request #{later.pk} replaced it.")
    assert Probation.objects.running().get().request == later


def test_a_person_who_rolls_back_ends_it(registry: FakeRegistry, asked: PromotionRequest, production: Target) -> None:
    otto = make_person("Otto Reyes", "responder")
    back = workflow.roll_back(model(), production, by=otto, reason=REASON)
    deliver(back, registry)
    found = probation(asked)
    assert (found.outcome, found.rollback, found.closed_by, found.reason) == ("rolled_back", back, otto, REASON)


def test_the_end_joins_a_roll_back_that_is_under_way(asked: PromotionRequest, production: Target) -> None:
    otto = make_person("Otto Reyes", "responder")
    back = workflow.roll_back(model(), production, by=otto, reason=REASON)
    pass_time(asked)
    assert workflow.end_due_probations() == 1
    assert (rollbacks(), probation(asked).rollback) == ([back], back)


def test_what_was_changed_outside_is_not_rolled_back(registry: FakeRegistry, asked: PromotionRequest) -> None:
    from mirror import sync

    registry.set_stage(MODEL, 4, "Production", archive_existing=True)
    sync.sweep(registry)
    pass_time(asked)
    workflow.end_due_probations()
    found = probation(asked)
    assert found.outcome == "superseded"
    assert "Version 4 holds Production by now." in found.reason
    assert rollbacks() == []


@pytest.mark.parametrize("step", ["make_rollback", "_close"])
def test_a_worker_killed_in_the_middle_leaves_nothing_half_done(
    asked: PromotionRequest, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Killed(BaseException):
        pass

    def dying(*args: Any, **kwargs: Any) -> Any:
        done(*args, **kwargs)
        raise Killed

    where = verbs.rollbacks if step == "make_rollback" else verbs
    done = getattr(where, step)
    pass_time(asked)
    with monkeypatch.context() as patch:
        patch.setattr(where, step, dying)
        with pytest.raises(Killed):
            workflow.end_due_probations()
    assert (rollbacks(), probation(asked).outcome) == ([], "")
    assert workflow.end_due_probations() == 1
    assert len(rollbacks()) == 1


# --- Health reports ---------------------------------------------------------------------------------------------------


def test_a_bad_report_rolls_back_at_once(registry: FakeRegistry, asked: PromotionRequest) -> None:
    answer = post(asked, BAD)
    assert (answer.status_code, answer.json()) == (
        200,
        {"detail": "The report is recorded, and the probation ends with it."},
    )
    assert probation(asked).reason == "Grafana reported that it is not healthy: p95 latency 4.2 s."
    event = asked.events.get(action=Action.HEALTH_REPORTED)
    assert (event.actor_label, event.data["healthy"], event.data["reason"]) == ("Grafana", False, "p95 latency 4.2 s.")
    assert delivery.drain(registry) == 1
    assert in_production(registry) == [1]


def test_good_reports_are_recorded_and_confirm_nothing(registry: FakeRegistry, asked: PromotionRequest) -> None:
    for number in range(3):
        assert post(asked, GOOD, message_id=f"report-{number}").status_code == 200
    assert asked.events.filter(action=Action.HEALTH_REPORTED).count() == 3
    assert probation(asked).closed_at is None
    pass_time(asked)
    assert workflow.end_due_probations() == 1


def test_the_same_report_twice_and_two_bad_ones_roll_back_once(asked: PromotionRequest) -> None:
    assert [post(asked, BAD, message_id=each).status_code for each in ("a", "a", "b")] == [200, 200, 409]
    assert asked.events.filter(action=Action.HEALTH_REPORTED).count() == 1
    assert len(rollbacks()) == 1


def test_a_worker_killed_between_report_and_roll_back_is_made_up_for(
    asked: PromotionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "fall_back", lambda _: None)
    assert post(asked, BAD).status_code == 200
    monkeypatch.undo()
    assert rollbacks() == []
    assert workflow.end_due_probations() == 1
    assert rollbacks()[0].justification.endswith("Grafana reported that it is not healthy: p95 latency 4.2 s.")


def test_reports_are_bounded_but_a_bad_one_is_always_heard(
    asked: PromotionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "MOST_REPORTS", 2)
    assert [post(asked, GOOD, message_id=f"r{n}").status_code for n in range(3)] == [200, 200, 429]
    assert post(asked, BAD, message_id="bad").status_code == 200
    assert len(rollbacks()) == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"[]", 400),
        (b"{", 400),
        (b'{"healthy": "no"}', 400),
        (b'{"healthy": false}', 400),
        (b'{"healthy": false, "reason": 7}', 400),
        (b"[" * 8000, 400),
        (b"\xff\xfe", 400),
        (b" " * 17000, 413),
    ],
)
def test_what_is_no_report_changes_nothing(asked: PromotionRequest, said: bytes, status: int) -> None:
    assert post(asked, said).status_code == status
    assert not asked.events.filter(action=Action.HEALTH_REPORTED).exists()


def test_what_is_not_signed_for_this_model_changes_nothing(asked: PromotionRequest) -> None:
    for secret in (health_reports.secret_for("another_model"), signing.secret_for(MODEL)):
        assert post(asked, BAD, secret=secret).status_code == 401
    old = {"webhook-timestamp": str(int(timezone.now().timestamp()) - 3600)}
    assert post(asked, BAD, **old).status_code == 401
    assert Client().post("/callbacks/health/nonsense/", b"{}", content_type="application/json").status_code == 404
    assert Client().get(reverse("approvals:health_callback", args=[probation(asked).token])).status_code == 405
    assert probation(asked).closed_at is None


def test_strange_characters_become_one_line(asked: PromotionRequest) -> None:
    post(asked, {"healthy": False, "reason": "two\nlines\u0000and \u202e", "reported_by": "x\ty" * 200})
    data = asked.events.get(action=Action.HEALTH_REPORTED).data
    assert data["reason"] == "two lines and"
    assert len(data["reported_by"]) == 120


def test_the_command_prints_the_secret_of_a_model() -> None:
    out = StringIO()
    call_command("health_secret", MODEL, stdout=out)
    assert out.getvalue().strip() == health_reports.secret_for(MODEL)
    assert health_reports.secret_for(MODEL) != signing.secret_for(MODEL)


def test_a_roll_back_that_cannot_be_delivered_is_told_to_those_who_can_help(
    registry: FakeRegistry, asked: PromotionRequest, ada: User
) -> None:
    registry.change_file(MODEL, 1, "model.skops", b"another model")
    post(asked, BAD)
    delivery.drain(registry)
    (back,) = rollbacks()
    assert back.status == Status.FAILED
    assert OutboxEntry.objects.open().count() == 0
    notifications.collect()
    names = {row.recipient.name for row in Notification.objects.filter(kind=Kind.FAILED) if row.recipient}
    assert names == {"Ada Brandt", "Remy Ortiz"}
