"""What time brings: reminders, near expiry, escalation, findings that are due. Time passes by moving what is stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import User
from approvals import notifications, workflow
from approvals.models import Action, Finding, Kind, Notification, PromotionRequest, Status, Target
from approvals.notifications import audience, reminding
from approvals.workflow.findings import FindingInput, close_finding
from tests.support.factories import approve, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`now(hours)` sets the clock that far from the real one."""

    def later(hours: float) -> datetime:
        moment = datetime.now(UTC) + timedelta(hours=hours)
        monkeypatch.setattr(reminding.timezone, "now", lambda: moment)
        return moment

    return later


def reminded(*kinds: Kind) -> list[str]:
    """Runs the reminders and collects what they led to; the first names of who is told, of these kinds."""
    notifications.remind()
    notifications.collect()
    rows = Notification.objects.filter(kind__in=kinds or [Kind.REMINDER], recipient__isnull=False)
    return sorted(row.recipient.name.split()[0] for row in rows.select_related("recipient") if row.recipient)


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    request = make_request(make_version(number=7), production, by=rita)
    notifications.collect()
    return request


def with_reminders(request: PromotionRequest, **terms: Any) -> PromotionRequest:
    reminders = {"first_after_hours": 24, "every_hours": 48, "escalate_after_hours": None, "escalate_to": None} | terms
    PromotionRequest.objects.filter(pk=request.pk).update(rule={**request.rule, "reminders": reminders})
    request.refresh_from_db()
    return request


def test_those_who_are_waited_for_are_reminded_on_the_schedule(asked: PromotionRequest, now: Any) -> None:
    now(23.9)
    assert reminded() == []
    now(24.1)
    assert reminded() == ["Remy", "Rosa"]
    row = Notification.objects.filter(kind=Kind.REMINDER)[0]
    assert row.title.startswith("Review still needed: churn_predictor v7 to Production, by ")
    assert "waiting for review" in row.text
    assert notifications.remind() == 0  # once
    now(71.9)
    assert reminded() == ["Remy", "Rosa"]
    now(72.1)
    assert reminded() == ["Remy", "Remy", "Rosa", "Rosa"]


def test_reminders_that_were_missed_become_one(asked: PromotionRequest, now: Any) -> None:
    now(24 + 48 * 3 + 1)
    assert reminded() == ["Remy", "Rosa"]


def test_who_has_approved_is_not_reminded_and_a_waiting_reminder_is_moot(
    asked: PromotionRequest, remy: User, rosa: User, now: Any
) -> None:
    approve(asked, remy)
    now(25)
    assert reminded() == ["Rosa"]
    approve(asked, rosa)
    assert audience.is_moot(Kind.REMINDER, asked, rosa.pk, audience.waited_for(asked))
    now(80)
    assert reminded() == ["Rosa"]


def test_the_requester_is_reminded_of_what_came_back(asked: PromotionRequest, remy: User, now: Any) -> None:
    workflow.review(asked, by=remy, verdict="request_changes", comment="Say which cutoff.")
    now(25)
    assert reminded() == ["Rita"]


def test_the_requester_is_reminded_of_a_failed_delivery(
    asked: PromotionRequest, remy: User, rosa: User, now: Any
) -> None:
    approve(asked, remy, rosa)
    PromotionRequest.objects.filter(pk=asked.pk).move(Status.FAILED)
    now(25)
    assert reminded() == ["Rita"]


def test_nobody_is_reminded_of_what_the_worker_still_does(rita: User, remy: User, staging: Target, now: Any) -> None:
    make_request(make_version(), staging, by=rita, is_checked=False)
    now(100)
    assert reminded() == []


def test_near_its_end_everybody_hears_once(asked: PromotionRequest, now: Any) -> None:
    with_reminders(asked, first_after_hours=10_000)
    days = asked.rule["open_for_days"]
    now(24 * (days - 2) - 1)
    assert reminded() == []
    now(24 * (days - 2) + 1)
    assert reminded() == ["Remy", "Rita", "Rosa"]
    assert (
        Notification.objects.filter(title__startswith="Expires soon: churn_predictor v7 to Production, by ").count()
        == 3
    )
    now(24 * days - 1)
    assert reminded() == ["Remy", "Rita", "Rosa"]
    now(24 * days + 1)
    assert reminded() == ["Remy", "Rita", "Rosa"]


# --- Escalation


def escalating(request: PromotionRequest, *members: User) -> PromotionRequest:
    group = Group.objects.create(name="leads")
    for person in members:
        person.groups.add(group)
    return with_reminders(request, first_after_hours=10_000, escalate_after_hours=48, escalate_to="leads")


def escalations(request: PromotionRequest) -> int:
    return request.events.filter(action=Action.REQUEST_ESCALATED).count()


def test_what_waits_too_long_is_handed_to_the_fallback_group_once(
    asked: PromotionRequest, vera: User, now: Any
) -> None:
    escalating(asked, vera)
    now(47)
    assert reminded(Kind.ESCALATED) == []
    now(49)
    assert reminded(Kind.ESCALATED) == ["Vera"]
    now(200)
    assert reminded(Kind.ESCALATED) == ["Vera"]
    assert escalations(asked) == 1
    assert "Not decided within 48 hours." in asked.events.get(action=Action.REQUEST_ESCALATED).data["reason"]


def test_without_a_group_in_the_policy_nothing_is_escalated(asked: PromotionRequest, now: Any) -> None:
    with_reminders(asked, escalate_after_hours=1)
    now(100)
    assert reminded(Kind.ESCALATED) == []
    assert escalations(asked) == 0


def test_what_does_not_wait_for_reviewers_is_not_escalated(
    asked: PromotionRequest, vera: User, remy: User, now: Any
) -> None:
    escalating(asked, vera)
    workflow.review(asked, by=remy, verdict="request_changes", comment="Say which cutoff.")
    now(100)
    assert reminded(Kind.ESCALATED) == []


def test_one_request_that_cannot_be_read_keeps_no_other_from_its_reminder(
    asked: PromotionRequest, rita: User, staging: Target, now: Any
) -> None:
    make_request(make_version(), staging, by=rita)
    PromotionRequest.objects.filter(pk=asked.pk).update(rule={"nonsense": True})
    now(25)
    assert reminded() == ["Remy", "Rosa"]


# --- Findings


def test_a_finding_is_told_before_it_is_due_after_and_every_week_until_it_is_closed(
    rita: User, remy: User, staging: Target, now: Any
) -> None:
    make_policy("*", staging, (1, None), allows_findings=True)
    request = make_request(make_version(), staging, by=rita)
    today = timezone.now().date()
    finding = FindingInput("Document the cutoff.", rita, today + timedelta(days=5))
    workflow.review(request, by=remy, verdict="approve", findings=[finding])
    notifications.collect()
    Notification.objects.all().delete()

    def titles(days: int) -> list[str]:
        now(24 * days)
        reminded()
        return list(Notification.objects.filter(kind=Kind.FINDING).order_by("pk").values_list("title", flat=True))

    due, over = (f"A finding on churn_predictor v1 to Staging is {word}" for word in ("due", "overdue"))
    assert titles(3) == []
    assert titles(4) == titles(5) == [due]
    assert titles(6) == titles(12) == [due, over]
    assert titles(13) == [due, over, over]
    assert Notification.objects.latest("pk").said == "Document the cutoff."
    assert set(Notification.objects.values_list("recipient", flat=True)) == {rita.pk}
    close_finding(Finding.objects.get(), by=remy, note="It is documented.")
    assert titles(40) == [due, over, over, "A finding on churn_predictor v1 to Staging is closed"]
