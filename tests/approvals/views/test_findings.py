"""Conditional approval: findings on the decision form, their page, and closing them."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.ledger import sentences
from approvals.models import Action, AuditEvent, Finding, PromotionRequest, Status, Target
from approvals.workflow import FindingInput
from tests.support.factories import make_person, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, staging: Target) -> PromotionRequest:
    """Waits for one approval of remy or rosa."""
    return make_request(make_version(number=7), staging, by=rita)


def in_days(number: int) -> date:
    return timezone.now().date() + timedelta(days=number)


def sent(request: PromotionRequest, *rows: tuple[str, str, Any], verdict: str = "approve") -> dict[str, str]:
    """What the decision form sends; rows are (text, owner's address, date)."""
    found = {
        "verdict": verdict,
        "comment": "See the findings.",
        "fingerprint": request.fingerprint,
        "findings-TOTAL_FORMS": str(max(2, len(rows))),
        "findings-INITIAL_FORMS": "0",
    }
    for place, (text, owner, due) in enumerate([*rows, *[("", "rita@example.com", in_days(14))] * (2 - len(rows))]):
        found |= {
            f"findings-{place}-{name}": str(value)
            for name, value in zip(("text", "owner", "due_on"), (text, owner, due), strict=True)
        }
    return found


def review(client: Client, request: PromotionRequest, data: dict[str, str]) -> Any:
    return client.post(f"/requests/{request.pk}/review/", data)


def raised(request: PromotionRequest, by: User, owner: User, due: date, text: str = "Write the runbook.") -> Finding:
    workflow.review(request, by=by, verdict="approve", findings=[FindingInput(text, owner, due)])
    return Finding.objects.latest("pk")


# --- Raised


def test_an_approval_carries_what_is_to_be_put_right(
    client: Client, asked: PromotionRequest, remy: User, rosa: User
) -> None:
    client.force_login(remy)
    page = client.get(f"/requests/{asked.pk}/").content.decode()
    assert 'value="rita@example.com"' in page  # the requester is proposed as the owner
    assert f'value="{in_days(14)}"' in page
    data = sent(asked, ("Write the runbook.", "Rosa@Example.com", in_days(3)))
    assert review(client, asked, data).status_code == 302
    (finding,) = Finding.objects.all()
    assert (finding.text, finding.owner, finding.due_on) == ("Write the runbook.", rosa, in_days(3))
    asked.refresh_from_db()
    assert asked.status == Status.APPROVED
    page = client.get(f"/requests/{asked.pk}/").content.decode()
    assert "with 1 finding" in page
    assert "Write the runbook." in page
    event = AuditEvent.objects.get(action=Action.REVIEW_APPROVED)
    assert sentences.sentence(event).startswith("approved churn_predictor version 7 for Staging with 1 finding")


def test_rows_without_text_say_nothing(client: Client, asked: PromotionRequest, remy: User) -> None:
    client.force_login(remy)
    assert review(client, asked, sent(asked)).status_code == 302
    assert not Finding.objects.exists()


@pytest.mark.parametrize(
    ("owner", "due", "complaint"),
    [
        ("nobody@example.com", in_days(1), "No person with this address can own it"),
        ("", in_days(1), "This field is required."),
        ("rita@example.com", in_days(-1), "Choose today or a later date."),
        ("rita@example.com", "", "Enter a due date."),
        ("rita@example.com", "soon", "Enter a valid date."),
        ("robot@example.com", in_days(1), "No person with this address can own it"),
        ("gone@example.com", in_days(1), "No person with this address can own it"),
    ],
)
def test_what_makes_no_sense_is_said_at_its_row_and_nothing_is_lost(
    client: Client, asked: PromotionRequest, remy: User, owner: str, due: Any, complaint: str
) -> None:
    make_person("Robot", is_service_account=True)
    make_person("Gone Away", is_active=False)
    client.force_login(remy)
    answer = review(client, asked, sent(asked, ("Fine.", "rita@example.com", in_days(1)), ("Write it.", owner, due)))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert complaint in page
    assert all(text in page for text in ("Fine.", "Write it.", "See the findings."))
    assert not Finding.objects.exists()
    asked.refresh_from_db()
    assert asked.status == Status.PENDING


def test_findings_go_with_an_approval_alone(client: Client, asked: PromotionRequest, remy: User) -> None:
    client.force_login(remy)
    data = sent(asked, ("Write it.", "rita@example.com", in_days(1)), verdict="reject")
    answer = review(client, asked, data)
    assert answer.status_code == 422
    assert "Findings are part of an approval." in answer.content.decode()
    assert "Write it." in answer.content.decode()


def test_a_policy_can_refuse_them(client: Client, rita: User, remy: User, staging: Target) -> None:
    make_policy("churn_*", staging, allows_findings=False)
    asked = make_request(make_version(number=7), staging, by=rita)
    client.force_login(remy)
    assert "Approve with findings" not in client.get(f"/requests/{asked.pk}/").content.decode()
    answer = review(client, asked, sent(asked, ("Write it.", "rita@example.com", in_days(1))))
    assert "does not allow approvals with findings" in answer.content.decode()


def test_more_than_five_are_refused(client: Client, asked: PromotionRequest, remy: User) -> None:
    client.force_login(remy)
    answer = review(client, asked, sent(asked, *[("Write it.", "rita@example.com", in_days(1))] * 6))
    assert answer.status_code == 422
    assert not Finding.objects.exists()


def test_rows_that_were_tampered_with_are_refused_in_words(client: Client, asked: PromotionRequest, remy: User) -> None:
    client.force_login(remy)
    answer = review(client, asked, sent(asked) | {"findings-TOTAL_FORMS": "many"})
    assert answer.status_code == 422
    assert not Finding.objects.exists()


# --- Listed


def test_the_page_calls_out_what_is_overdue_first(
    client: Client, asked: PromotionRequest, rita: User, remy: User, rosa: User, production: Target
) -> None:
    other = make_request(make_version("credit_risk"), production, by=rita)
    late = raised(asked, remy, rita, in_days(0), "Late one.")
    Finding.objects.filter(pk=late.pk).update(due_on=in_days(-3))
    raised(other, remy, rosa, in_days(2), "Later one.")
    client.force_login(rita)
    mine = client.get("/findings/").content.decode()
    assert "Late one." in mine
    assert "Later one." not in mine
    assert "3 days ago" in mine
    every = client.get("/findings/?show=open").content.decode()
    assert every.index("Late one.") < every.index("Later one.")
    assert "Late one." not in client.get("/findings/?show=open&model=credit").content.decode()
    assert "Findings" in client.get("/").content.decode()


def test_empty_tabs_say_so(client: Client, rita: User) -> None:
    client.force_login(rita)
    for show, words in (
        ("mine", "You own no open findings"),
        ("open", "No open findings"),
        ("closed", "No closed findings yet"),
    ):
        assert words in client.get(f"/findings/?show={show}").content.decode()
    assert "No finding matches" in client.get("/findings/?model=x").content.decode()
    assert client.get("/findings/?show=nonsense&page=x").status_code == 200


def test_queries_do_not_grow_with_findings(
    client: Client, asked: PromotionRequest, rita: User, remy: User, django_assert_max_num_queries: Any
) -> None:
    finding = raised(asked, remy, rita, in_days(1))
    for number in range(20):
        Finding.objects.create(review=finding.review, text=f"Thing {number}", owner=rita, due_on=in_days(2))
    client.force_login(remy)
    with django_assert_max_num_queries(16):
        page = client.get("/findings/?show=open").content.decode()
    assert all(f"Thing {number}" in page for number in range(20))


# --- Closed


def test_somebody_else_than_the_owner_closes_it_with_a_note(
    client: Client, asked: PromotionRequest, rita: User, remy: User
) -> None:
    finding = raised(asked, remy, rita, in_days(1))
    client.force_login(rita)
    assert "another person must close it" in client.get("/findings/").content.decode()
    client.post(f"/findings/{finding.pk}/close/", {"note": "Done."})
    finding.refresh_from_db()
    assert finding.closed_at is None
    client.force_login(remy)
    answer = client.post(f"/findings/{finding.pk}/close/", {"note": " "})
    assert answer.status_code == 422
    assert "Enter what was done." in answer.content.decode()
    client.post(f"/findings/{finding.pk}/close/", {"note": "The runbook is at /wiki/7."})
    finding.refresh_from_db()
    assert finding.closed_by == remy
    assert AuditEvent.objects.filter(action=Action.FINDING_CLOSED).count() == 1
    assert "The runbook is at" in client.get("/findings/?show=closed").content.decode()
    again = client.post(f"/findings/{finding.pk}/close/", {"note": "Twice."})
    assert again.status_code == 403
    assert "It is already closed." in again.content.decode()
    assert client.post("/findings/999/close/", {"note": "x"}).status_code == 404


def test_the_certificate_names_the_findings(client: Client, asked: PromotionRequest, rita: User, remy: User) -> None:
    raised(asked, remy, rita, in_days(1))
    client.force_login(remy)
    assert "Finding: Write the runbook." in client.get(f"/requests/{asked.pk}/certificate/").content.decode()
