"""The review queue: what is in it, where a verdict leads to, and that forms sent from there come back to it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import PromotionRequest, Reading, Status, Target
from approvals.policy import SignatureRule
from tests.support.factories import approve, make_person, make_policy, make_request, make_version
from tests.support.pages import text_of
from tests.support.world import hold

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Target": "queue"}


@pytest.fixture
def waiting(rita: User, production: Target) -> list[PromotionRequest]:
    """Three that need two approvals each, the first expires first."""
    made = []
    for number, name in enumerate(("fraud_card", "fraud_wire", "credit_limit")):
        hold(make_version(name, metrics={"auc": 0.8}), production)
        request = make_request(make_version(name, metrics={"auc": 0.85}), production, by=rita)
        PromotionRequest.objects.filter(pk=request.pk).update(expires_at=timezone.now() + timedelta(days=number + 3))
        made.append(request)
    return made


@pytest.fixture
def as_remy(client: Client, remy: User) -> Client:
    client.force_login(remy)
    return client


def read(client: Client, path: str, **headers: str) -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def titles(html: str) -> list[str]:
    part = html.partition('class="queue-list"')[2].partition("</ul>")[0]
    return re.findall(r'class="row-model">([^<]+)<', part)


def decide(client: Client, request: PromotionRequest, place: str, verdict: str = "approve", **fields: Any) -> Any:
    data = {"verdict": verdict, "fingerprint": request.fingerprint, "comment": "", **fields}
    return client.post(f"/requests/{request.pk}/review/", data, headers={"Referer": f"http://testserver{place}"})


def test_it_shows_the_first_beside_the_list(as_remy: Client, waiting: list[PromotionRequest]) -> None:
    html = read(as_remy, "/queue/")
    assert titles(html) == ["fraud_card", "fraud_wire", "credit_limit"]
    text = text_of(html)
    assert "1 of 3" in text
    assert "Promote fraud_card v2 to Production (replaces v1)" in text
    assert f'action="/requests/{waiting[0].pk}/review/"' in html
    assert f'href="/queue/{waiting[1].pk}/" data-key="n"' in html
    assert 'rel="prev"' not in html
    assert Reading.objects.get().request_id == waiting[0].pk
    last = read(as_remy, f"/queue/{waiting[2].pk}/?sort=model")
    assert "1 of 3" in text_of(last)  # by the name of the model it is the first
    assert f'href="/queue/{waiting[0].pk}/?sort=model" data-key="n"' in last


def test_the_inbox_leads_there_with_its_filters(as_remy: Client, waiting: list[PromotionRequest], vera: User) -> None:
    html = read(as_remy, "/?model=fraud&sort=age")
    assert re.search(r'href="/queue/\?model=fraud&amp;sort=age" data-key="q">.*Review 3 requests', html, re.DOTALL)
    assert titles(read(as_remy, "/queue/?model=fraud&sort=age")) == ["fraud_card", "fraud_wire"]
    as_remy.force_login(vera)
    assert "Review 3" not in read(as_remy, "/")


def test_after_a_verdict_the_next_one_stands_there(
    as_remy: Client, waiting: list[PromotionRequest], settings: Any
) -> None:
    settings.UNDO_SECONDS = 0
    one, two, three = waiting
    answer = decide(as_remy, one, f"/queue/{one.pk}/?model=fraud")
    assert answer["Location"] == f"/queue/{two.pk}/?model=fraud&done=1"
    text = text_of(read(as_remy, answer["Location"]))
    assert "fraud_card v2: Your approval is recorded." in text
    assert "2 of 2 · 1 decided" in text
    answer = decide(as_remy, two, answer["Location"], "reject", comment="Recall fell.")
    assert answer["Location"] == "/queue/?model=fraud&done=2"
    assert "No request matches the filters." in text_of(read(as_remy, answer["Location"]))
    answer = decide(as_remy, three, f"/queue/{three.pk}/?done=2")
    assert "That was the last one." in text_of(read(as_remy, answer["Location"]))


def test_a_verdict_can_be_undone_from_the_next_one(
    as_remy: Client, waiting: list[PromotionRequest], settings: Any
) -> None:
    settings.UNDO_SECONDS = 10
    one, two, _ = waiting
    place = decide(as_remy, one, "/queue/")["Location"]
    html = read(as_remy, place)
    assert "fraud_card v2: approved, 1 of 2." in text_of(html)
    review = re.search(rf'action="/requests/{one.pk}/undo/".*?name="review" value="(\d+)"', html, re.DOTALL)
    assert review
    undo = {"review": review[1]}
    answer = as_remy.post(f"/requests/{one.pk}/undo/", undo, headers={"Referer": f"http://testserver{place}"})
    assert answer["Location"] == f"/queue/{one.pk}/"
    assert not PromotionRequest.objects.get(pk=one.pk).reviews.live().exists()
    assert titles(read(as_remy, answer["Location"])) == ["fraud_card", "fraud_wire", "credit_limit"]
    assert place.startswith(f"/queue/{two.pk}/")


def test_what_is_skipped_comes_again(as_remy: Client, waiting: list[PromotionRequest]) -> None:
    last = read(as_remy, f"/queue/{waiting[2].pk}/")
    assert "3 of 3" in text_of(last)
    assert f'href="/queue/{waiting[0].pk}/" data-key="n"' in last
    assert f'href="/queue/{waiting[1].pk}/" data-key="p"' in last


def test_htmx_gets_the_part_and_a_step_back_the_page(as_remy: Client, waiting: list[PromotionRequest]) -> None:
    address = f"/queue/{waiting[1].pk}/?sort=age"
    answer = as_remy.get(address, headers=HTMX)
    html = answer.content.decode()
    assert answer["HX-Push-Url"] == address
    assert "<html" not in html
    assert "Promote fraud_wire v2 to Production (replaces v1) · 2 of 3 · Review queue · Countersign" in text_of(html)
    assert html.count('id="queue"') == 1
    again = as_remy.get(address, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in again.content.decode()
    assert "hx-history-elt" in again.content.decode()


def test_what_is_fetched_ahead_is_opened_when_it_is_shown(as_remy: Client, waiting: list[PromotionRequest]) -> None:
    one = waiting[1]
    html = read(as_remy, f"/queue/{one.pk}/", **HTMX, **{"HX-Preloaded": "true"})
    assert not Reading.objects.exists()
    assert f'hx-post="/requests/{one.pk}/opened/" hx-trigger="load"' in html
    assert as_remy.post(f"/requests/{one.pk}/opened/").status_code == 204
    assert Reading.objects.get().request_id == one.pk
    assert "/opened/" not in read(as_remy, f"/queue/{one.pk}/", **HTMX)


def test_a_mistake_stays_in_the_queue_with_what_was_typed(as_remy: Client, waiting: list[PromotionRequest]) -> None:
    answer = decide(as_remy, waiting[0], "/queue/?sort=age", "reject")
    html = answer.content.decode()
    assert answer.status_code == 422
    assert 'id="queue"' in html
    assert "Enter" in text_of(html)
    assert "HX-Push-Url" not in answer


def test_a_request_that_was_decided_meanwhile_says_so_in_the_queue(
    as_remy: Client, waiting: list[PromotionRequest], rosa: User
) -> None:
    one = waiting[0]
    workflow.review(one, by=rosa, verdict="reject", comment="No.")
    answer = decide(as_remy, one, "/queue/", comment="My thoughts.")
    html = answer.content.decode()
    assert answer.status_code == 403
    assert "No decision is open: rejected." in text_of(html)
    assert "My thoughts." in html
    assert "2 left" in text_of(html)
    assert f'href="/queue/{waiting[1].pk}/" data-key="n"' in html


def test_a_question_stays_at_the_request(as_remy: Client, waiting: list[PromotionRequest]) -> None:
    place = f"http://testserver/queue/{waiting[1].pk}/?sort=age"
    data = {"body": "Which cutoff?", "queue": place.removeprefix("http://testserver")}
    answer = as_remy.post(f"/requests/{waiting[1].pk}/comment/", data)
    assert answer["Location"] == f"/queue/{waiting[1].pk}/?sort=age"
    assert "Which cutoff?" in read(as_remy, answer["Location"])


@pytest.mark.parametrize(
    "named",
    [
        "https://evil.example/queue/",
        "//evil.example/queue/",
        "/requests/1/",
        "/queue/999999999999999999999999/",
        "javascript:alert(1)",
        "/queue/\x00",
        "http://[",
    ],
)
def test_another_address_is_no_place_in_the_queue(
    as_remy: Client, waiting: list[PromotionRequest], named: str, settings: Any
) -> None:
    one = waiting[0]
    data = {"verdict": "approve", "fingerprint": one.fingerprint, "queue": named}
    answer = as_remy.post(f"/requests/{one.pk}/review/", data)
    assert answer.status_code == 302
    assert "evil" not in answer["Location"]
    assert answer["Location"].startswith(("/requests/", "/queue/"))


def test_nonsense_in_the_address_is_the_usual_queue(as_remy: Client, waiting: list[PromotionRequest]) -> None:
    html = read(as_remy, "/queue/?sort=nonsense&done=-3&target=%00&requester=x&state=y")
    assert titles(html) == ["fraud_card", "fraud_wire", "credit_limit"]
    assert "1 of 3" in text_of(html)
    assert as_remy.get("/queue/4711/").status_code == 404


def test_only_what_can_be_decided_is_in_it(
    as_remy: Client, waiting: list[PromotionRequest], rita: User, remy: User, production: Target
) -> None:
    make_policy("secret_*", production, (1, "risk"))
    make_request(make_version("secret_model"), production, by=rita)
    workflow.review(waiting[0], by=remy, verdict="request_changes", comment="Cutoff?")
    assert titles(read(as_remy, "/queue/")) == ["fraud_wire", "credit_limit"]
    as_remy.force_login(rita)
    assert "Nothing needs your review." in text_of(read(as_remy, "/queue/"))
    assert PromotionRequest.objects.get(pk=waiting[0].pk).status == Status.CHANGES_REQUESTED


def test_a_proof_of_identity_in_between_leads_back_to_the_queue(
    as_remy: Client, rita: User, production: Target, settings: Any
) -> None:
    settings.UNDO_SECONDS = 0
    make_policy("signed_*", production, (1, None), signature=SignatureRule(reauthenticate=True))
    first, second = (make_request(make_version(f"signed_{name}"), production, by=rita) for name in "ab")
    data = {"verdict": "approve", "fingerprint": first.fingerprint, "last": "yes", "queue": "/queue/?sort=age"}
    answer = as_remy.post(f"/requests/{first.pk}/review/", data)
    assert "/reauthenticate/" in answer["Location"]
    answer = as_remy.post(answer["Location"], {"password": "a-long-enough-password"})
    while answer["Location"] != f"/queue/{second.pk}/?sort=age&done=1":
        answer = as_remy.get(answer["Location"])


def test_queries_do_not_grow_with_the_queue(
    as_remy: Client, waiting: list[PromotionRequest], rita: User, production: Target
) -> None:
    def count(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            read(as_remy, path)
        return len(queries)

    path = f"/queue/{waiting[1].pk}/"
    read(as_remy, path)  # notes that it was opened
    few = count(path)
    for number in range(40):
        approve(
            make_request(make_version(f"model_{number}"), production, by=rita), make_person(f"P{number}", "reviewer")
        )
    assert count(path) == few
