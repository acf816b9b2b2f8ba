"""The verbs of the request page: who sees which button or reason, and what each click does."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import Comment, OutboxEntry, PromotionRequest, Review, Status, Target
from mirror.models import ModelVersion
from tests.support.factories import approve, check, make_policy, make_request, make_version
from tests.support.request_pages import MODEL, buttons, decide, make_asked, read, see, send
from tests.support.world import settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    return make_asked(rita, production)


def failed(request: PromotionRequest, *, plan: dict[str, Any] | None = None) -> PromotionRequest:
    PromotionRequest.objects.filter(pk=request.pk).move(Status.FAILED, status_reason="MLflow refused: locked.")
    OutboxEntry.objects.filter(request=request).update(closed_at=timezone.now(), outcome="failed", plan=plan)
    request.refresh_from_db()
    return request


# --- Who sees what ----------------------------------------------------------------------------------------------------

PENDING = {
    "rita": ({"comment", "withdraw"}, ["You requested this promotion, so another person must review it."]),
    "remy": (
        {"approve", "changes", "reject", "comment"},
        ["Your time on this page is kept for auditors."],
    ),
    "vera": (
        set(),
        ["Only reviewers can decide on requests.", "Only requesters and reviewers can comment."],
    ),
    "ada": (
        set(),
        ["Only reviewers can decide on requests.", "Only requesters and reviewers can comment."],
    ),
}
RETRY = "Reviewers and administrators can retry a delivery that failed or waits."
FAILED = {
    "rita": (
        {"comment", "withdraw", "resubmit"},
        ["Reviewers and administrators can retry a delivery that failed or waits."],
    ),
    "remy": ({"comment", "retry"}, []),
    "vera": (set(), [RETRY]),
    "ada": ({"retry"}, ["Only requesters and reviewers can comment."]),
}
APPLIED: dict[str, tuple[set[str], list[str]]] = {
    "rita": ({"comment"}, []),
    "remy": ({"comment"}, []),
    "vera": (set(), ["Only requesters and reviewers can comment."]),
    "ada": (set(), ["Only requesters and reviewers can comment."]),
}


@pytest.mark.parametrize(
    ("stage", "name", "expected", "reasons"),
    [
        (stage, name, *row)
        for stage, table in {"pending": PENDING, "failed": FAILED, "applied": APPLIED}.items()
        for name, row in table.items()
    ],
)
def test_each_role_sees_its_buttons_and_the_reasons_for_the_others(
    client: Client,
    asked: PromotionRequest,
    request: pytest.FixtureRequest,
    remy: User,
    rosa: User,
    stage: str,
    name: str,
    expected: set[str],
    reasons: list[str],
) -> None:
    person: User = request.getfixturevalue(name)
    if stage == "failed":
        failed(approve(asked, remy, rosa))
    if stage == "applied":
        settle(asked, remy, rosa)
    html = see(client, person, asked)
    assert buttons(html) == expected
    for reason in reasons:
        assert reason in read(html)
    for elsewhere in ("Not open to you", "Only the requester can"):
        assert elsewhere not in read(html)
    assert ("Your time on this page is kept" in html) is ("reject" in expected)
    assert "disabled" not in re.sub(r"<head>.*?</head>", "", html, flags=re.DOTALL)


def test_someone_who_decided_reads_so(client: Client, asked: PromotionRequest, remy: User) -> None:
    approve(asked, remy)
    html = see(client, remy, asked)
    assert buttons(html) == {"comment"}
    assert "You have already decided: approved." in read(html)


def test_a_reviewer_outside_the_missing_group_may_reject_and_reads_why_not_approve(
    client: Client, rita: User, remy: User, production: Target
) -> None:
    make_policy("churn_*", production, (1, "risk"))
    request = make_request(make_version(MODEL), production, by=rita)
    html = see(client, remy, request)
    assert buttons(html) == {"changes", "reject", "comment"}
    assert "The missing approvals must come from others: 1 approval from risk." in read(html)


# --- What a click does ------------------------------------------------------------------------------------------------


def test_approving_redirects_and_the_page_names_the_approver(
    client: Client, asked: PromotionRequest, remy: User
) -> None:
    answer = decide(client, remy, asked, "approve", "Checked segment B.")
    assert answer.status_code == 302
    review = Review.objects.get()
    assert (review.reviewer, review.verdict, review.comment) == (remy, "approve", "Checked segment B.")
    text = read(see(client, remy, asked))
    assert "Your approval is recorded." in text
    assert re.search(r"Remy Ortiz approved .{1,30} 1 approval needed from Rosa Lind", text)
    assert "Remy Ortiz approved version 2 for Production" in text
    assert "Checked segment B." in text


@pytest.mark.parametrize("verdict", ["reject", "request_changes"])
def test_a_refusal_without_a_comment_is_asked_for_one(
    client: Client, asked: PromotionRequest, remy: User, verdict: str
) -> None:
    answer = decide(client, remy, asked, verdict, "   ")
    html = answer.content.decode()
    assert answer.status_code == 422
    assert 'id="id_comment_error"' in html
    assert "Enter a reason; the requester and auditors read it." in html
    assert "approve" in buttons(html)
    assert not Review.objects.exists()


def test_a_policy_may_ask_for_a_comment_with_every_approval(
    client: Client, rita: User, remy: User, production: Target
) -> None:
    make_policy("churn_*", production, (1, None), requires_reason=True)
    request = make_request(make_version(MODEL), production, by=rita)
    answer = decide(client, remy, request, "approve")
    assert answer.status_code == 422
    assert "The policy requires a comment with every approval." in answer.content.decode()


def test_what_was_typed_survives_a_mistake(client: Client, asked: PromotionRequest, remy: User) -> None:
    answer = decide(client, remy, asked, "approve", "long " * 1000)
    assert answer.status_code == 422
    assert "long long long" in answer.content.decode()
    assert not Review.objects.exists()


@pytest.mark.parametrize("verdict", ["reject", "request_changes"])
def test_a_refusal_with_a_comment_ends_it_and_shows_the_words(
    client: Client, asked: PromotionRequest, rita: User, remy: User, verdict: str
) -> None:
    assert decide(client, remy, asked, verdict, "Recall **fell**.").status_code == 302
    asked.refresh_from_db()
    assert asked.status == {"reject": "rejected", "request_changes": "changes_requested"}[verdict]
    html = see(client, rita, asked)
    assert "Recall <strong>fell</strong>." in html
    assert ("resubmit" in buttons(html)) is (verdict == "request_changes")


def test_the_slower_of_two_reads_what_happened_and_keeps_the_text(
    client: Client, asked: PromotionRequest, remy: User, rosa: User
) -> None:
    workflow.review(asked, by=remy, verdict="reject", comment="No.")
    answer = decide(client, rosa, asked, "approve", "My long thoughts.")
    text = read(answer.content.decode())
    assert answer.status_code == 403
    assert "Nothing was recorded. No decision is open: rejected." in text
    assert "Last: Remy Ortiz rejected version 2 for Production" in text
    assert re.search(r"<textarea[^>]*name=\"body\"[^>]*>\s*My long thoughts\.", answer.content.decode())
    assert Review.objects.count() == 1


def test_a_second_click_has_the_same_clear_end(client: Client, asked: PromotionRequest, remy: User) -> None:
    assert decide(client, remy, asked, "approve").status_code == 302
    answer = decide(client, remy, asked, "approve")
    assert answer.status_code == 403
    assert "You have already decided: approved." in read(answer.content.decode())
    assert Review.objects.count() == 1


def test_a_stale_page_cannot_approve_and_the_next_click_can(
    client: Client, asked: PromotionRequest, rita: User, remy: User, rosa: User
) -> None:
    workflow.review(asked, by=rosa, verdict="request_changes", comment="Log the cutoff.")
    ModelVersion.objects.filter(pk=asked.version_id).update(tags={"training_cutoff": "2026-10-31"})
    asked.version.refresh_from_db()
    workflow.resubmit(asked, by=rita)
    check(asked)
    old = PromotionRequest(pk=asked.pk, fingerprint="0" * 64)
    answer = decide(client, remy, old, "approve", "As read.")
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "The evidence has changed since you opened it." in read(html)
    assert re.search(r"<textarea[^>]*name=\"comment\"[^>]*>\s*As read\.", html)
    asked.refresh_from_db()
    assert f'name="fingerprint" value="{asked.fingerprint}"' in html
    assert decide(client, remy, asked, "approve", "As read.").status_code == 302


@pytest.mark.parametrize("name", ["rita", "vera", "ada"])
def test_people_without_a_say_are_refused_by_the_server_too(
    client: Client, asked: PromotionRequest, request: pytest.FixtureRequest, name: str
) -> None:
    person: User = request.getfixturevalue(name)
    answer = decide(client, person, asked, "approve", "Mine.")
    assert answer.status_code == 403
    assert "Nothing was recorded." in read(answer.content.decode())
    assert not Review.objects.exists()


def test_comments_join_the_discussion(client: Client, asked: PromotionRequest, remy: User, vera: User) -> None:
    answer = send(client, remy, asked, "comment", body="How was *B* sampled?")
    assert answer["Location"] == f"/requests/{asked.pk}/#latest"
    assert "How was <em>B</em> sampled?" in see(client, vera, asked)
    empty = send(client, remy, asked, "comment", body=" ")
    assert empty.status_code == 422
    assert 'id="id_body_error"' in empty.content.decode()
    refused = send(client, vera, asked, "comment", body="Hello.")
    assert refused.status_code == 403
    assert Comment.objects.count() == 1


def test_the_requester_withdraws_and_submits_again(
    client: Client, asked: PromotionRequest, rita: User, remy: User
) -> None:
    workflow.review(asked, by=remy, verdict="request_changes", comment="Log the cutoff.")
    assert send(client, rita, asked, "resubmit", justification="Logged it.").status_code == 302
    asked.refresh_from_db()
    assert (asked.status, asked.justification) == ("checking", "Logged it.")
    text = read(see(client, rita, asked))
    assert "Remy Ortiz: requested changes" in text
    assert "Void: The request was submitted again." in text
    assert send(client, rita, asked, "withdraw", reason="Found a leak.").status_code == 302
    text = read(see(client, rita, asked))
    assert "Withdrawn by Rita Sanz. Found a leak." in text
    again = send(client, rita, asked, "withdraw", reason="Once more.")
    assert again.status_code == 403
    assert "It can no longer be withdrawn: withdrawn." in read(again.content.decode())


def test_a_failed_delivery_says_what_was_done_and_can_be_retried(
    client: Client, asked: PromotionRequest, remy: User, rosa: User
) -> None:
    failed(approve(asked, remy, rosa))
    text = read(see(client, remy, asked))
    assert "Delivery failed. MLflow refused: locked." in text
    assert "Approved by 2 of 2; the approvals remain valid." in text
    assert "Version 2 was not promoted" in text
    assert send(client, remy, asked, "retry").status_code == 302
    asked.refresh_from_db()
    assert asked.status == "approved"
    assert send(client, remy, asked, "retry").status_code == 403
