"""Approving several requests at once: which stand in the table, what it says, and what a refusal leaves."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals import workflow
from approvals.models import AuditEvent, CheckResult, PromotionRequest, Review, Target
from tests.support.factories import approve, make_policy, make_request, make_version
from tests.support.pages import text_of
from tests.support.world import hold

pytestmark = pytest.mark.django_db
MODELS = ("churn", "fraud", "pricing")


def ask(model: str, target: Target, rita: User, auc: float = 0.95) -> PromotionRequest:
    hold(make_version(model, metrics={"auc_roc": 0.9}), target)
    return make_request(make_version(model, metrics={"auc_roc": auc}), target, by=rita, justification="Better.\nMore.")


@pytest.fixture
def asked(rita: User, rosa: User, production: Target) -> list[PromotionRequest]:
    """Three, of which the last has one of two approvals."""
    make_policy("*", production, (2, None), batch_approval=True)
    made = [ask(model, production, rita) for model in MODELS]
    approve(made[2], rosa)
    return made


@pytest.fixture
def as_remy(client: Client, remy: User) -> Client:
    client.force_login(remy)
    return client


def read(client: Client, path: str = "/queue/together/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def form_of(html: str) -> dict[str, Any]:
    """What the browser would send."""
    hidden = dict(re.findall(r'name="((?:fingerprint|effect)-\d+)" value="(\w+)"', html))
    return {"pick": re.findall(r'name="pick" value="(\d+)"', html), **hidden}


def test_the_table_says_what_each_is_and_what_its_approval_does(as_remy: Client, asked: list[PromotionRequest]) -> None:
    html = read(as_remy)
    text = text_of(html)
    assert form_of(html)["pick"] == [str(each.pk) for each in asked]
    assert "Promote churn v2 to Production (replaces v1)" in text
    assert "auc_roc 0.95 +0.05 (+5.6 %) better 1 better against v1 Better." in text
    assert f"{asked[0].fingerprint[:8]} approves, 1 of 2" in text
    assert f"{asked[2].fingerprint[:8]} approves and delivers" in text
    assert 'href="/queue/together/"' in read(as_remy, "/queue/")


def test_one_button_gives_each_its_own_review(as_remy: Client, asked: list[PromotionRequest], remy: User) -> None:
    answer = as_remy.post("/queue/together/?sort=model", form_of(read(as_remy)))
    assert answer["Location"] == "/queue/?sort=model&done=3"
    assert "3 requests approved together: churn v2, fraud v2, pricing v2." in text_of(read(as_remy, answer["Location"]))
    assert Review.objects.filter(reviewer=remy).count() == 3
    newest = AuditEvent.objects.filter(action="review.approved", actor=remy).order_by("sequence").last()
    assert newest is not None
    assert newest.data["batch"] == 3


def test_a_refusal_approves_nothing_and_says_why_at_each(
    as_remy: Client, asked: list[PromotionRequest], rosa: User, remy: User
) -> None:
    sent = form_of(read(as_remy)) | {f"fingerprint-{asked[1].pk}": "0" * 64}
    workflow.review(asked[0], by=rosa, verdict="reject", comment="No.")
    answer = as_remy.post("/queue/together/", sent)
    text = text_of(answer.content.decode())
    assert answer.status_code == 409
    assert "Nothing was approved: 2 of the 3 requests cannot be approved together." in text
    assert "The evidence is no longer what you were reading. Read request" in text
    assert "churn v2 : No decision is open: rejected." in text
    assert not Review.objects.filter(reviewer=remy).exists()
    few = as_remy.post("/queue/together/", {"pick": [asked[1].pk, "x", "9" * 30]})
    assert few.status_code == 422
    assert "Choose 2 to 50 requests." in text_of(few.content.decode())


def test_what_needs_a_look_of_its_own_is_not_in_the_table(
    as_remy: Client, asked: list[PromotionRequest], rita: User, production: Target
) -> None:
    worse = ask("worse", production, rita, auc=0.85)
    make_policy("strict", production, (1, None))
    strict = ask("strict", production, rita)
    make_policy("reasoned", production, (1, None), batch_approval=True, requires_reason=True)
    reasoned = ask("reasoned", production, rita)
    CheckResult.objects.create(request=asked[0], key="a", title="A", effect="warn", outcome="warn", reason="Old data.")
    shown = form_of(read(as_remy))["pick"]
    assert shown == [str(each.pk) for each in asked[1:]]
    assert not {str(each.pk) for each in (worse, strict, reasoned)} & set(shown)


def test_without_a_policy_that_allows_it_nothing_is_offered(as_remy: Client, rita: User, production: Target) -> None:
    for model in MODELS:
        ask(model, production, rita)
    assert "/queue/together/" not in read(as_remy, "/queue/")
    assert "Nothing can be approved together." in text_of(read(as_remy))


def test_queries_do_not_grow_with_the_table(
    as_remy: Client, asked: list[PromotionRequest], rita: User, production: Target
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            read(as_remy)
        return len(queries)

    count()
    few = count()
    for number in range(12):
        ask(f"model_{number}", production, rita)
    assert count() == few
