"""Approvals with findings: what may be asked, what is stored, who may say that it is put right."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import Action, AuditEvent, Finding, PromotionRequest, Review, Status, Target
from approvals.workflow.findings import FindingInput, close_finding, may_close
from tests.support.factories import make_person, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db


def today() -> date:
    return timezone.now().date()


def wanted(owner: User, text: str = "Document the cutoff.", days: int = 14) -> FindingInput:
    return FindingInput(text, owner, today() + timedelta(days=days))


@pytest.fixture
def asked(rita: User, remy: User, staging: Target) -> PromotionRequest:
    make_policy("*", staging, (1, None), allows_findings=True)
    return make_request(make_version(), staging, by=rita)


@pytest.fixture
def finding(asked: PromotionRequest, rita: User, remy: User) -> Finding:
    workflow.review(asked, by=remy, verdict="approve", findings=[wanted(rita)])
    return Finding.objects.get()


def test_an_approval_with_findings_counts_and_both_are_recorded(
    asked: PromotionRequest, rita: User, remy: User
) -> None:
    signed = workflow.review(
        asked, by=remy, verdict="approve", findings=[wanted(rita, " Document it. "), wanted(remy, "Watch it.", days=0)]
    )
    asked.refresh_from_db()
    assert asked.status == Status.APPROVED
    assert [(each.text, each.owner, each.due_on) for each in signed.findings.order_by("pk")] == [
        ("Document it.", rita, today() + timedelta(days=14)),
        ("Watch it.", remy, today()),
    ]
    told = AuditEvent.objects.get(action=Action.REVIEW_APPROVED).data["findings"]
    assert [(each["text"], each["owner"]) for each in told] == [
        ("Document it.", rita.label),
        ("Watch it.", remy.label),
    ]


@pytest.mark.parametrize(
    ("text", "days", "message"),
    [("  ", 14, "Enter what to fix."), ("Late.", -1, "The due date is today or later.")],
)
def test_a_finding_that_makes_no_sense_signs_nothing(
    asked: PromotionRequest, rita: User, remy: User, text: str, days: int, message: str
) -> None:
    with pytest.raises(workflow.Invalid, match=message):
        workflow.review(asked, by=remy, verdict="approve", findings=[wanted(rita), wanted(rita, text, days)])
    asked.refresh_from_db()
    assert asked.status == Status.PENDING
    assert not Review.objects.exists()
    assert not Finding.objects.exists()


@pytest.mark.parametrize("fields", [{"is_active": False}, {"is_service_account": True}])
def test_nobody_owns_a_finding_who_cannot_act_on_it(
    asked: PromotionRequest, remy: User, fields: dict[str, Any]
) -> None:
    owner = make_person("Olga Moss", **fields)
    with pytest.raises(workflow.Invalid, match="Olga Moss cannot own a finding"):
        workflow.review(asked, by=remy, verdict="approve", findings=[wanted(owner)])
    assert not Review.objects.exists()


@pytest.mark.parametrize("verdict", ["reject", "request_changes"])
def test_findings_go_with_an_approval_alone(asked: PromotionRequest, rita: User, remy: User, verdict: str) -> None:
    with pytest.raises(workflow.Invalid, match="Findings are part of an approval"):
        workflow.review(asked, by=remy, verdict=verdict, comment="No.", findings=[wanted(rita)])
    assert not Review.objects.exists()


def test_a_policy_that_does_not_allow_findings_gets_none(rita: User, remy: User, staging: Target) -> None:
    make_policy("*", staging, (1, None), allows_findings=False)
    request = make_request(make_version(), staging, by=rita)
    with pytest.raises(workflow.Invalid, match="does not allow approvals with findings"):
        workflow.review(request, by=remy, verdict="approve", findings=[wanted(rita)])
    assert not Review.objects.exists()


def test_whoever_raised_it_closes_it_with_a_note(finding: Finding, remy: User) -> None:
    with pytest.raises(workflow.Invalid, match="Enter what was done"):
        close_finding(finding, by=remy, note="  ")
    close_finding(finding, by=remy, note=" It is documented. ")
    finding.refresh_from_db()
    assert (finding.closed_by, finding.closing_note) == (remy, "It is documented.")
    assert not Finding.objects.open().exists()
    event = AuditEvent.objects.get(action=Action.FINDING_CLOSED)
    assert event.data["note"] == "It is documented."
    with pytest.raises(workflow.NotAllowed, match="already closed"):
        close_finding(finding, by=remy, note="Again.")


def test_its_owner_alone_and_those_who_do_not_review_close_nothing(
    finding: Finding, rita: User, rosa: User, vera: User
) -> None:
    assert "another person" in may_close(finding, rita).reason
    assert "Only reviewers" in may_close(finding, vera).reason
    for person in (rita, vera):
        with pytest.raises(workflow.NotAllowed):
            close_finding(finding, by=person, note="Done.")
    close_finding(finding, by=rosa, note="Seen.")
    assert not Finding.objects.open().exists()


def test_the_overdue_are_open_and_due_before_today(finding: Finding) -> None:
    assert list(Finding.objects.overdue(finding.due_on)) == []
    assert list(Finding.objects.overdue(finding.due_on + timedelta(days=1))) == [finding]
    Review.objects.update(voided_at=timezone.now())
    assert not Finding.objects.open().exists()
