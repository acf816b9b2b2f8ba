"""Who is told of what, in which words: the ledger's events become what people are owed."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals import administration, ledger, notifications, workflow
from approvals.models import (
    Action,
    CheckResult,
    Finding,
    How,
    Kind,
    Notification,
    NotificationState,
    PromotionRequest,
    Target,
)
from approvals.notifications import audience, collecting, preferences, rules
from approvals.workflow.findings import FindingInput, close_finding
from mirror.models import ModelVersion
from tests.support.factories import approve, check, make_person, make_policy, make_request, make_version
from tests.support.world import settle

pytestmark = pytest.mark.django_db


def told(kind: Kind | None = None) -> dict[str, list[str]]:
    """Collects, and returns the titles by the first name of who is told them; of chats by `chat`. Forgets the rest."""
    notifications.collect()
    found: dict[str, list[str]] = {}
    rows = Notification.objects.select_related("recipient").order_by("pk")
    for row in rows if kind is None else rows.filter(kind=kind):
        found.setdefault(row.recipient.name.split()[0] if row.recipient else "chat", []).append(row.title)
    return found


def only(kind: Kind) -> list[str]:
    return sorted(told(kind))


def forget() -> None:
    notifications.collect()
    Notification.objects.all().delete()


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, vera: User, ada: User, production: Target) -> PromotionRequest:
    """Two approvals are needed; remy and rosa may give them."""
    return make_request(make_version(number=7), production, by=rita, justification="Better on the holdout.")


# --- Asked


def test_those_who_may_give_a_missing_approval_are_asked(asked: PromotionRequest) -> None:
    title = f"Review needed: churn_predictor v7 to Production, by {asked.expires_at:%-d %B}"
    assert told() == {"Remy": [title], "Rosa": [title]}
    row = Notification.objects.all()[0]
    assert row.text.startswith(
        "Rita Sanz requested promotion of churn_predictor v7 to Production. It needs 2 approvals"
    )
    assert (row.said, row.kind, row.is_digest) == ("Better on the holdout.", Kind.WAITS, False)


def test_nobody_is_asked_before_the_checks_are_done(rita: User, remy: User, staging: Target) -> None:
    request = make_request(make_version(), staging, by=rita, is_checked=False)
    assert told() == {}
    check(request)
    assert only(Kind.WAITS) == ["Remy"]


def test_only_the_group_that_is_missing_is_asked(rita: User, remy: User, rosa: User, staging: Target) -> None:
    make_policy("*", staging, (1, "risk"))
    rosa.groups.add(Group.objects.get(name="risk"))
    make_request(make_version(), staging, by=rita)
    assert only(Kind.WAITS) == ["Rosa"]


def test_one_approval_of_two_tells_nobody_again_and_takes_nothing_from_the_other(
    asked: PromotionRequest, remy: User, rosa: User
) -> None:
    forget()
    approve(asked, remy)
    assert told() == {}
    waiting = audience.waited_for(asked)
    assert waiting == {rosa.pk}
    assert audience.is_moot(Kind.WAITS, asked, remy.pk, waiting)
    assert not audience.is_moot(Kind.WAITS, asked, rosa.pk, waiting)
    assert not audience.is_moot(Kind.WAITS, asked, None, waiting)


def test_what_was_asked_is_moot_once_the_request_is_closed(asked: PromotionRequest, rita: User, rosa: User) -> None:
    workflow.withdraw(asked, by=rita, reason="A better one comes.")
    asked.refresh_from_db()
    waiting = audience.waited_for(asked)
    for kind in (Kind.WAITS, Kind.REMINDER, Kind.ESCALATED, Kind.BLOCKED):
        assert audience.is_moot(kind, asked, rosa.pk, waiting)
        if kind != Kind.REMINDER:
            assert audience.is_moot(kind, asked, None, waiting)
    assert not audience.is_moot(Kind.WITHDRAWN, asked, rosa.pk, waiting)


def test_submitted_again_they_are_asked_again(asked: PromotionRequest, rita: User, remy: User) -> None:
    forget()
    workflow.review(asked, by=remy, verdict="request_changes", comment="Say which cutoff.")
    assert only(Kind.DECIDED) == ["Rita"]
    forget()
    workflow.resubmit(asked, by=rita, justification="The cutoff is October.")
    check(asked)
    assert only(Kind.WAITS) == ["Remy", "Rosa"]


def test_service_accounts_and_those_who_are_deactivated_are_told_nothing(asked: PromotionRequest, remy: User) -> None:
    User.objects.filter(pk=remy.pk).update(is_active=False)
    robot = make_person("Robby Bot", "requester", is_service_account=True, owner=User.objects.get(name="Rita Sanz"))
    make_request(make_version(), Target.objects.get(name="Staging"), by=robot)
    workflow.expire_due()
    request = PromotionRequest.objects.get(requester=robot)
    workflow.review(request, by=User.objects.get(name="Rosa Lind"), verdict="reject", comment="No.")
    assert set(told()) == {"Rita", "Rosa"}  # Rita answers for the robot


# --- Said and decided


def test_a_comment_is_told_to_those_who_take_part_but_not_to_its_author(
    asked: PromotionRequest, rita: User, remy: User, rosa: User
) -> None:
    approve(asked, rosa)
    forget()
    workflow.comment(asked, by=remy, body="Which cutoff was it?\nBcc: eve@example.com")
    assert told() == {name: ["Remy Ortiz commented on churn_predictor v7 to Production"] for name in ("Rita", "Rosa")}
    assert Notification.objects.all()[0].said.startswith("Which cutoff was it?")
    forget()
    workflow.comment(asked, by=rita, body="October.")
    assert only(Kind.COMMENTED) == ["Remy", "Rosa"]


@pytest.mark.parametrize(
    ("verdict", "title"),
    [
        ("reject", "churn_predictor v7 to Production was rejected"),
        ("request_changes", "Rosa Lind requested changes: churn_predictor v7 to Production"),
    ],
)
def test_a_refusal_is_told_to_the_requester_and_who_reviewed(
    asked: PromotionRequest, remy: User, rosa: User, verdict: str, title: str
) -> None:
    approve(asked, remy)
    forget()
    workflow.review(asked, by=rosa, verdict=verdict, comment="The cutoff is wrong.")
    assert told() == {"Rita": [title], "Remy": [title]}
    row = Notification.objects.all()[0]
    assert (row.kind, row.said) == (Kind.DECIDED, "The cutoff is wrong.")


def test_the_last_approval_is_told_to_the_requester_and_the_other_approvers(
    asked: PromotionRequest, remy: User, rosa: User
) -> None:
    forget()
    approve(asked, remy, rosa)
    title = "churn_predictor v7 to Production was approved"
    assert told() == {"Rita": [title], "Remy": [title]}


def test_a_delivery_is_told_to_the_requester_and_the_approvers(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, remy, rosa)
    forget()
    settle(asked)
    title = "churn_predictor v7 reached Production"
    assert told() == {name: [title] for name in ("Rita", "Remy", "Rosa")}
    assert "promoted churn_predictor version 7 to Production." in Notification.objects.all()[0].text


def test_a_failed_delivery_says_why(asked: PromotionRequest, remy: User, rosa: User) -> None:
    approve(asked, remy, rosa)
    forget()
    ledger.record(Action.DELIVERY_FAILED, actor=None, request=asked, data={"reason": "MLflow refused: 403."})
    assert told() == {
        name: ["Delivery of churn_predictor v7 to Production failed"] for name in ("Rita", "Remy", "Rosa")
    }
    assert Notification.objects.all()[0].said == "MLflow refused: 403."


def test_what_a_freeze_holds_names_it_and_its_end(asked: PromotionRequest) -> None:
    forget()
    until = datetime(2027, 1, 2, 7, tzinfo=UTC)
    data = {"freeze": "Christmas", "freeze_id": 1, "until": until.isoformat()}
    ledger.record(Action.DELIVERY_HELD, actor=None, request=asked, data=data)
    assert told() == {"Rita": ["Delivery of churn_predictor v7 to Production is held"]}
    assert "The freeze “Christmas” holds it until 2 January 2027, 07:00 UTC" in Notification.objects.get().text


def test_a_withdrawal_is_told_to_those_who_were_asked(asked: PromotionRequest, rita: User) -> None:
    notifications.collect()
    workflow.withdraw(asked, by=rita, reason="A better one comes.")
    assert only(Kind.WITHDRAWN) == ["Remy", "Rosa"]
    assert Notification.objects.filter(kind=Kind.WITHDRAWN)[0].is_digest


def test_what_is_withdrawn_before_anybody_was_told_of_it_is_told_to_nobody(asked: PromotionRequest, rita: User) -> None:
    workflow.withdraw(asked, by=rita, reason="A better one comes.")
    assert told() == {}  # nobody was asked yet


def test_an_expired_request_is_told_to_everybody_who_had_to_do_with_it(asked: PromotionRequest) -> None:
    notifications.collect()
    PromotionRequest.objects.filter(pk=asked.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    workflow.expire_due()
    assert only(Kind.EXPIRED) == ["Remy", "Rita", "Rosa"]


# --- Checks and changes


def blocked_request(rita: User, staging: Target) -> PromotionRequest:
    return make_request(make_version(), staging, by=rita, is_checked=False)


def test_blocked_by_checks_is_told_to_the_requester_alone(rita: User, remy: User, ada: User, staging: Target) -> None:
    request = blocked_request(rita, staging)
    check(request, files={"digest": "d" * 64, "bytes": 0, "count": 0, "manifest": []})
    assert told() == {"Rita": ["Blocked by checks: churn_predictor v1 to Staging"]}
    assert "Model files are hashed: MLflow lists no files for this version." in Notification.objects.get().text
    request.refresh_from_db()
    waiting = audience.waited_for(request)
    assert waiting == {rita.pk}
    assert not audience.is_moot(Kind.BLOCKED, request, rita.pk, waiting)
    forget()
    workflow.override(request, CheckResult.objects.get(request=request), by=ada, reason="They are known.")
    assert only(Kind.WAITS) == ["Remy"]
    request.refresh_from_db()
    assert audience.is_moot(Kind.BLOCKED, request, rita.pk, audience.waited_for(request))


def test_changed_content_tells_whose_approval_is_void_and_asks_the_others(
    asked: PromotionRequest, remy: User, rosa: User
) -> None:
    otto = make_person("Otto Lund", "reviewer")
    approve(asked, remy)
    forget()
    ModelVersion.objects.filter(pk=asked.version_id).update(metrics={"auc_roc": 0.8})
    assert workflow.reopen(asked)
    found = told()
    assert found["Rita"] == ["churn_predictor v7 to Production went back to review"]
    assert found["Remy"] == ["Your approval no longer counts: churn_predictor v7 to Production"]
    for other in ("Rosa", "Otto"):
        assert found[other] == [f"Review needed: churn_predictor v7 to Production, by {asked.expires_at:%-d %B}"]
    mail = Notification.objects.get(recipient=remy)
    assert "sign again" in mail.text
    assert "auc_roc" in mail.said
    assert otto.pk in audience.waited_for(asked)


def test_whoever_wants_changes_in_the_digest_is_asked_at_once_all_the_same(asked: PromotionRequest, remy: User) -> None:
    preferences.save(remy, choices={Kind.VOIDED: How.DIGEST}, hour=8, time_zone="UTC")
    approve(asked, remy)
    forget()
    ModelVersion.objects.filter(pk=asked.version_id).update(metrics={"auc_roc": 0.8})
    workflow.reopen(asked)
    notifications.collect()
    own = Notification.objects.filter(recipient=remy).values_list("kind", "is_digest")
    assert sorted(own) == [(Kind.VOIDED, True), (Kind.WAITS, False)]


@pytest.mark.parametrize("how", ["out of the group", "deactivated"])
def test_when_an_approval_stops_counting_others_are_asked_instead_once(
    rita: User, remy: User, rosa: User, ada: User, production: Target, how: str
) -> None:
    make_policy("*", production, (1, "risk"), (1, None))
    risk = Group.objects.get(name="risk")
    otto = make_person("Otto Lund", "reviewer")
    for person in (remy, otto):
        person.groups.add(risk)
    request = make_request(make_version(), production, by=rita)
    approve(request, remy)
    forget()
    if how == "deactivated":
        administration.set_active(remy, is_active=False, by=ada)
    else:
        administration.set_groups(remy, groups=Group.objects.filter(name="auditor"), by=ada)
    found = told()
    assert set(found) == {"Otto", "Rosa"}
    assert "no longer counts" in Notification.objects.all()[0].text
    administration.set_groups(remy, groups=[], by=ada)
    assert told() == found  # once
    assert rosa.pk in audience.waited_for(request)


def test_a_change_of_a_person_that_takes_nothing_away_tells_nobody(
    asked: PromotionRequest, remy: User, ada: User
) -> None:
    approve(asked, remy)
    forget()
    administration.set_groups(remy, groups=Group.objects.filter(name__in=["reviewer", "auditor"]), by=ada)
    assert told() == {}


# --- Findings


def test_owners_hear_of_their_findings_and_of_their_end(rita: User, remy: User, rosa: User, staging: Target) -> None:
    make_policy("*", staging, (1, None), allows_findings=True)
    request = make_request(make_version(), staging, by=rita)
    forget()
    # Remy is told nothing of his own act.
    wanted = [
        FindingInput("Document the cutoff.", rita, date.today() + timedelta(days=14)),  # noqa: DTZ011
        FindingInput("Watch the drift.", remy, date.today() + timedelta(days=14)),  # noqa: DTZ011
    ]
    workflow.review(request, by=remy, verdict="approve", findings=wanted)
    assert told(Kind.FINDING) == {"Rita": ["You own a finding on churn_predictor v1 to Staging"]}
    assert Notification.objects.get(kind=Kind.FINDING).said == "Document the cutoff."
    forget()
    close_finding(Finding.objects.get(owner=rita), by=remy, note="It is documented.")
    assert told() == {"Rita": ["A finding on churn_predictor v1 to Staging is closed"]}


# --- Escalation


def test_the_fallback_group_hears_who_of_it_may_sign(rita: User, remy: User, vera: User, staging: Target) -> None:
    Group.objects.create(name="leads")
    for person in (remy, vera):
        person.groups.add(Group.objects.get(name="leads"))
    rule = {"first_after_hours": 24, "every_hours": 48, "escalate_after_hours": 1, "escalate_to": "leads"}
    request = make_request(make_version(), staging, by=rita)
    forget()
    PromotionRequest.objects.filter(pk=request.pk).update(rule={**request.rule, "reminders": rule})
    request.refresh_from_db()
    since = request.events.filter(action=Action.REQUEST_CHECKED).latest("sequence")
    assert workflow.escalate(request, since=since)
    assert not workflow.escalate(request, since=since)
    assert only(Kind.ESCALATED) == ["Remy", "Vera"]
    of_remy, of_vera = (Notification.objects.get(recipient=person).text for person in (remy, vera))
    assert "may give a missing approval" in of_remy
    assert "You cannot approve it yourself" in of_vera
    assert "escalated the request to leads" in of_vera


# --- Preferences and chats


def test_not_at_all_means_no_row_and_a_digest_waits_for_its_hour(
    asked: PromotionRequest, remy: User, rosa: User
) -> None:
    preferences.save(remy, choices={Kind.WAITS: How.NEVER}, hour=8, time_zone="UTC")
    preferences.save(rosa, choices={Kind.WAITS: How.DIGEST}, hour=9, time_zone="Asia/Tokyo")
    notifications.collect()
    row = Notification.objects.get()
    assert (row.recipient, row.is_digest) == (rosa, True)
    assert row.due_at.astimezone(UTC).hour == 0
    assert row.due_at > timezone.now()


@pytest.mark.parametrize(
    ("zone", "hour", "after", "expected"),
    [
        ("UTC", 8, datetime(2026, 11, 23, 7, 59, tzinfo=UTC), datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("UTC", 8, datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("Europe/Berlin", 8, datetime(2026, 7, 1, 5, tzinfo=UTC), datetime(2026, 7, 1, 6, tzinfo=UTC)),
        ("Europe/Berlin", 2, datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Mars/Olympus", 8, datetime(2026, 11, 23, 7, tzinfo=UTC), datetime(2026, 11, 23, 8, tzinfo=UTC)),
    ],
)
def test_the_hour_of_the_digest(zone: str, hour: int, after: datetime, expected: datetime) -> None:
    assert preferences.next_digest(hour, zone, after) == expected


def test_chats_are_told_of_the_kinds_that_the_installation_names(
    asked: PromotionRequest, rita: User, settings: Settings
) -> None:
    settings.CHAT_URLS, settings.CHAT_KINDS = ["json://127.0.0.1:9/", "json://127.0.0.1:9/other"], ["waits"]
    workflow.comment(asked, by=rita, body="Please look.")
    found = told()
    assert found["chat"] == ["churn_predictor v7 to Production needs 2 approvals from any reviewer"] * 2
    names = Notification.objects.filter(recipient=None).values_list("chat", flat=True)
    assert len(set(names)) == 2
    assert all(len(name) <= 16 for name in names)


def test_hostile_words_stay_on_one_line_and_without_what_no_database_stores(
    rita: User, remy: User, rosa: User, staging: Target
) -> None:
    request = make_request(make_version("churn\r\nBcc: eve@example.com"), staging, by=rita)
    forget()
    ledger.record(Action.DELIVERY_FAILED, actor=None, request=request, data={"reason": "a\x00b" + "x" * 9000})
    notifications.collect()
    row = Notification.objects.all()[0]
    assert "\n" not in row.title + row.text
    assert "\r" not in row.title
    assert "\x00" not in row.said
    assert len(row.said) < 2100


# --- Collecting


def test_collecting_twice_tells_once(asked: PromotionRequest) -> None:
    assert notifications.collect() > 0
    before = set(Notification.objects.values_list("pk", flat=True))
    assert notifications.collect() == 0
    NotificationState.objects.update(sequence=0)  # as if the cursor had been lost
    notifications.collect()
    assert set(Notification.objects.values_list("pk", flat=True)) == before


def test_nothing_new_costs_two_queries(asked: PromotionRequest, django_assert_num_queries: Any) -> None:
    notifications.collect()
    with django_assert_num_queries(2):
        assert notifications.collect() == 0


def test_an_upgrade_tells_nobody_of_what_is_past(asked: PromotionRequest, rita: User) -> None:
    NotificationState.objects.all().delete()
    assert told() == {}
    workflow.comment(asked, by=rita, body="Please look.")
    workflow.withdraw(asked, by=rita, reason="Never mind.")
    assert notifications.collect() == 2


def test_an_event_that_cannot_be_understood_holds_up_nothing(
    asked: PromotionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.record(Action.REQUEST_CHECKED, actor=None, request=asked, data={"asked": False, "checks": [1, None]})
    ledger.record(Action.DELIVERY_HELD, actor=None, request=asked, data={"until": "soon"})
    ledger.record(Action.DELIVERY_FAILED, actor=None, request=asked, data={"reason": "MLflow refused."})
    assert only(Kind.FAILED) == ["Rita"]
    assert only(Kind.WAITS) == ["Remy", "Rosa"]


def test_a_database_that_is_away_loses_nothing(asked: PromotionRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("The connection is lost.")

    with monkeypatch.context() as patch:
        patch.setattr(rules, "of", away)
        with pytest.raises(OperationalError):
            notifications.collect()
    assert only(Kind.WAITS) == ["Remy", "Rosa"]


def test_a_worker_that_fails_while_it_stores_leaves_everything_as_it_was(
    asked: PromotionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = collecting.state().sequence
    real = collecting.store

    def store(rows: list[Notification]) -> None:
        real(rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(collecting, "store", store)
        with pytest.raises(KeyboardInterrupt):
            notifications.collect()
    assert (collecting.state().sequence, Notification.objects.count()) == (before, 0)
    assert only(Kind.WAITS) == ["Remy", "Rosa"]
