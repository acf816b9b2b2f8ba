"""The line with *Undo* after a verdict."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from approvals import workflow
from approvals.models import OutboxEntry, PromotionRequest, Review, Status, Target
from approvals.selectors import undoing
from tests.support.factories import approve, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _ten_seconds(settings: Any) -> None:
    settings.UNDO_SECONDS = 10


@pytest.fixture
def asked(rita: User, production: Target) -> PromotionRequest:
    """Two approvals needed."""
    make_policy("*", production, (2, None))
    return make_request(make_version(), production, by=rita)


def decide(client: Client, person: User, request: PromotionRequest, verdict: str = "approve") -> str:
    """The page after it, with single spaces and without tags."""
    client.force_login(person)
    posted = {"verdict": verdict, "comment": "Looked at.", "fingerprint": request.fingerprint}
    answer = client.post(reverse("approvals:request_review", args=[request.pk]), posted, follow=True)
    assert answer.status_code == 200
    return words(answer.content.decode())


def words(page: str) -> str:
    return re.sub(r"(<[^>]+>|\s)+", " ", page)


def undo(client: Client, request: PromotionRequest) -> Any:
    given = {"review": request.reviews.latest("pk").pk}
    return client.post(reverse("approvals:request_undo", args=[request.pk]), given, follow=True)


def over() -> None:
    for review in Review.objects.all():
        Review.objects.filter(pk=review.pk).update(created_at=review.created_at - timedelta(seconds=10))


def test_after_an_approval_its_page_offers_to_undo_it(
    asked: PromotionRequest, remy: User, rosa: User, client: Client
) -> None:
    shown = decide(client, remy, asked)
    assert "churn_predictor v1: approved, 1 of 2. Undo" in shown
    assert "Your approval is recorded" not in shown
    client.force_login(rosa)
    assert "Undo" not in words(client.get(asked.get_absolute_url()).content.decode())
    client.force_login(remy)
    answer = undo(client, asked)
    assert "Your decision is undone. You can decide again." in words(answer.content.decode())
    assert 'value="approve"' in answer.content.decode()
    assert not asked.reviews.live().exists()


def test_the_last_approval_is_undone_on_the_page(
    asked: PromotionRequest, remy: User, rosa: User, client: Client
) -> None:
    approve(asked, remy)
    shown = decide(client, rosa, asked)
    assert "churn_predictor v1: approved, 2 of 2. Delivery begins in a few seconds. Undo" in shown
    assert "Approved. Delivery begins in a few seconds." in shown
    undo(client, asked)
    asked.refresh_from_db()
    assert asked.status == Status.PENDING
    assert not OutboxEntry.objects.open().exists()


@pytest.mark.parametrize(
    ("verdict", "sentence"), [("reject", "rejected. Undo"), ("request_changes", "changes requested. Undo")]
)
def test_other_verdicts_are_undone_on_the_page(
    asked: PromotionRequest, remy: User, client: Client, verdict: str, sentence: str
) -> None:
    assert f"churn_predictor v1: {sentence}" in decide(client, remy, asked, verdict)
    undo(client, asked)
    asked.refresh_from_db()
    assert asked.status == Status.PENDING


def test_the_offer_goes_by_itself_when_it_is_over(asked: PromotionRequest, remy: User, client: Client) -> None:
    decide(client, remy, asked, "reject")
    page = client.get(asked.get_absolute_url()).content.decode()
    seen = re.search(r'id="seen" name="seen" value="([^"]+)"', page)
    assert seen
    address = reverse("approvals:request_live", args=[asked.pk])
    assert client.get(address, {"seen": seen[1]}).status_code == 204
    over()
    answer = client.get(address, {"seen": seen[1]})
    assert answer.status_code == 286
    assert ">Undo<" not in answer.content.decode()
    assert undoing.newest_of(remy) is None


def test_a_click_that_comes_too_late_is_told_so(
    asked: PromotionRequest, remy: User, rosa: User, client: Client
) -> None:
    decide(client, remy, asked)
    client.force_login(rosa)
    answer = undo(client, asked)
    assert answer.status_code == 403
    assert "Only Remy Ortiz can undo this decision." in answer.content.decode()
    over()
    client.force_login(remy)
    answer = undo(client, asked)
    assert answer.status_code == 409
    assert "within 10 seconds, and they are over" in answer.content.decode()
    assert client.post(reverse("approvals:request_undo", args=[asked.pk]), {"review": "x"}).status_code == 422


def test_the_newest_verdict_is_found_on_any_page(
    asked: PromotionRequest, rita: User, remy: User, staging: Target
) -> None:
    approve(asked, remy)
    make_policy("*", staging, (2, None))
    other = approve(make_request(make_version(), staging, by=rita), remy)
    found = undoing.newest_of(remy)
    assert found
    assert (found.request, found.review) == (other, other.reviews.get())
    workflow.undo_review(other, by=remy, review=found.review.pk)
    found = undoing.newest_of(remy)
    assert found
    assert found.request == asked
