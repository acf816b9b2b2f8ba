"""The request page: who sees which button or reason, the evidence, the outcome of each click, and live delivery."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import AuditEvent, Comment, OutboxEntry, PromotionRequest, Review, Status, Target
from approvals.policy import CheckRule, MetricRule
from mirror.models import ModelVersion
from tests.support.factories import approve, check, make_person, make_policy, make_request, make_version
from tests.support.pages import note_of, text_of
from tests.support.world import hold, settle

pytestmark = pytest.mark.django_db
MODEL = "churn_predictor"
BUTTONS = {
    "approve": "Approve",
    "changes": "Request changes",
    "reject": "Reject",
    "comment": "Comment",
    "withdraw": "Withdraw request",
    "resubmit": "Submit again for Production",
    "retry": "Retry the delivery",
}


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    """Version 1 holds Production; version 2 is asked for."""
    hold(
        make_version(
            MODEL, metrics={"auc_roc": 0.9, "log_loss": 0.3}, params={"max_depth": "8", "seed": "1"}, description="Old."
        ),
        production,
    )
    two = make_version(
        MODEL,
        metrics={"auc_roc": 0.95, "log_loss": 0.4},
        params={"max_depth": "9", "seed": "1"},
        description="New **one**.",
    )
    return make_request(two, production, by=rita, justification="Better on segment B.")


def read(page: str) -> str:
    """What a person reads: without the spaces that a tag leaves before a comma or full stop."""
    return re.sub(r" (?=[.,;:])", "", text_of(page))


def see(client: Client, person: User, request: PromotionRequest, query: str = "") -> str:
    client.force_login(person)
    answer = client.get(f"{request.get_absolute_url()}{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def send(client: Client, person: User, request: PromotionRequest, what: str, **fields: str) -> HttpResponse:
    client.force_login(person)
    return client.post(f"{request.get_absolute_url()}{what}/", fields)  # type: ignore[return-value]


def decide(client: Client, person: User, request: PromotionRequest, verdict: str, comment: str = "") -> HttpResponse:
    return send(client, person, request, "review", verdict=verdict, comment=comment, fingerprint=request.fingerprint)


def buttons(html: str) -> set[str]:
    shown = [read(each) for each in re.findall(r"<button\b[^>]*>.*?</button>", html, re.DOTALL)]
    return {key for key, words in BUTTONS.items() if any(each.startswith(words) for each in shown)}


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


# --- What it says -----------------------------------------------------------------------------------------------------


def test_the_page_says_what_is_asked_and_compares(client: Client, asked: PromotionRequest, remy: User) -> None:
    html = see(client, remy, asked)
    text = read(html)
    assert "Promote churn_predictor v2 to Production (replaces v1) Waiting for review Requested by Rita Sanz" in text
    assert "Requested Approvals 0 of 2 Delivery In Production" in text
    assert "Checks passed 1 better, 1 worse Data cutoff not known Code not known Metrics Compare side by side" in text
    assert "log_loss lower is better 0.3 0.4 +0.1 (+33.3 %) worse" in text
    assert "auc_roc higher is better 0.9 0.95 +0.05 (+5.6 %) better" in text
    assert html.count('class="bar-better"') == html.count('class="bar-worse"') == 1
    assert "What else changed 3 of 10 sections changed" in text
    assert "Parameters 1 of 2 differs: max_depth 8 → 9." in text
    assert "Descriptions The description (1 line added, 1 line removed) differs." in text
    assert "<strong>one</strong>" in html
    assert f"Evidence {asked.fingerprint[:8]} " in text
    assert f'data-copy="{asked.fingerprint}"' in html
    assert "2 approvals needed from Remy Ortiz, Rosa Lind" in text
    assert "The policy for * applied to churn_predictor: the only one that matched." in text
    assert "style=" not in html


def test_the_frozen_evidence_is_shown_whatever_the_mirror_says_now(
    client: Client, asked: PromotionRequest, remy: User
) -> None:
    ModelVersion.objects.filter(pk=asked.version_id).update(metrics={"auc_roc": 0.11}, params={})
    text = read(see(client, remy, asked))
    assert "0.95" in text
    assert "0.11" not in text
    assert "This changed in MLflow since the request: metric auc_roc, metric log_loss" in text


def test_a_change_that_was_just_seen_is_called_out_and_only_rejecting_is_open(
    client: Client, asked: PromotionRequest, rita: User, remy: User, production: Target
) -> None:
    hold(make_version(MODEL), production)
    html = see(client, remy, asked)
    assert "This changed in MLflow since the request: champion (version 1 → version 3)." in read(html)
    assert buttons(html) == {"changes", "reject", "comment"}
    assert buttons(see(client, rita, asked)) == {"comment", "withdraw"}


def test_a_first_promotion_has_no_champion_columns(client: Client, rita: User, remy: User, production: Target) -> None:
    request = make_request(make_version("new_model"), production, by=rita)
    html = see(client, remy, request)
    text = read(html)
    assert "First promotion. Nothing held Production when this was asked" in text
    assert "replacing" not in text
    assert "Champion" not in text
    assert "auc_roc higher is better 0.9" in text


def test_numbers_that_are_none_are_shown_and_not_compared(
    client: Client, rita: User, remy: User, production: Target
) -> None:
    hold(make_version(MODEL, metrics={"auc_roc": 0.9, "f1": "Infinity"}), production)
    request = make_request(
        make_version(MODEL, metrics={"auc_roc": "NaN", "f1": 0.5, "ndcg": 1e300}), production, by=rita
    )
    text = read(see(client, remy, request))
    assert "auc_roc higher is better 0.9 NaN not comparable" in text
    assert "f1 higher is better ∞ 0.5 not comparable" in text
    assert "ndcg higher is better – 1e300 new" in text


def test_thousands_of_values_stay_usable(client: Client, rita: User, remy: User, production: Target) -> None:
    old = {f"param_{number:04}": "1" for number in range(2000)}
    hold(make_version(MODEL, params=old), production)
    request = make_request(make_version(MODEL, params=old | {"param_1234": "2"}), production, by=rita)
    html = see(client, remy, request)
    assert "1 of 2,000 differs: param_1234 1 → 2." in read(html)
    assert len(html) < 60_000


def test_a_deleted_version_stays_readable(client: Client, asked: PromotionRequest, remy: User) -> None:
    ModelVersion.objects.filter(pk=asked.version_id).update(deleted_at=timezone.now())
    text = read(see(client, remy, asked))
    assert "Deleted in MLflow" in text
    assert "log_loss lower is better 0.3 0.4" in text


def test_a_shortage_is_called_out(client: Client, asked: PromotionRequest, remy: User, rosa: User) -> None:
    rosa.is_active = False
    rosa.save()
    assert "This policy cannot be met: it needs 2 approvals from any reviewer (1 eligible)" in read(
        see(client, remy, asked)
    )


def test_hostile_text_stays_text(client: Client, remy: User, rosa: User, production: Target) -> None:
    eve = make_person("<script>alert(1)</script> \u202eevil", "requester")
    evil = '"><script>alert(2)</script>'
    name = f"{evil}مرحبا{'x' * 150}"
    hold(make_version(name, params={evil: evil}, tags={evil: evil}, description=evil), production)
    two = make_version(
        name,
        metrics={evil: 0.5},
        params={evil: "x"},
        tags={evil: "javascript:alert(3)"},
        description=f"[a](javascript:alert(4)) {evil}",
    )
    request = make_request(two, production, by=eve, justification=evil)
    workflow.comment(request, by=remy, body=f"{evil} [b](javascript:alert(5)) ![c](http://example.com/x.png)")
    workflow.review(request, by=rosa, verdict="reject", comment=evil)
    html = see(client, remy, request)
    assert "<script>alert" not in html
    assert 'href="javascript:' not in html
    assert "<img" not in html
    assert html.count("alert(2)") >= 8


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


# --- Delivery that moves by itself ------------------------------------------------------------------------------------


@pytest.fixture
def approved(asked: PromotionRequest, remy: User, rosa: User) -> PromotionRequest:
    return approve(asked, remy, rosa)


@pytest.fixture
def live(client: Client, approved: PromotionRequest, remy: User) -> Callable[..., HttpResponse]:
    client.force_login(remy)

    def get(seen: str = "") -> HttpResponse:
        return client.get(f"{approved.get_absolute_url()}live/", {"seen": seen}, headers={"HX-Request": "true"})  # type: ignore[return-value]

    return get


def entry_is(request: PromotionRequest, **fields: Any) -> None:
    OutboxEntry.objects.filter(request=request).update(**fields)


def test_the_page_asks_for_news_only_while_a_delivery_runs(
    client: Client, approved: PromotionRequest, remy: User
) -> None:
    html = see(client, remy, approved)
    assert f'hx-get="/requests/{approved.pk}/live/" hx-trigger="every 1s"' in html
    assert 'aria-live="polite"' in html
    assert f'<noscript><p><a href="/requests/{approved.pk}/">Refresh</a></p></noscript>' in html
    settle(approved)
    html = see(client, remy, approved)
    assert f"/requests/{approved.pk}/live/" not in html
    assert "every 1s" not in html


def test_nothing_is_sent_while_nothing_has_changed(
    live: Callable[..., HttpResponse], approved: PromotionRequest
) -> None:
    first = live()
    assert first.status_code == 200
    seen = re.search(r'name="seen" value="([^"]+)"', first.content.decode())
    assert seen
    assert live(seen[1]).status_code == 204
    entry_is(approved, lease_expires_at=timezone.now() + timedelta(minutes=1), attempts=1)
    assert live(seen[1]).status_code == 200


def test_the_end_stops_the_asking_and_swaps_every_part(
    live: Callable[..., HttpResponse], approved: PromotionRequest
) -> None:
    settle(approved)
    ModelVersion.objects.filter(pk=approved.version_id).update(
        description=f"New.\n\n<!-- countersign:begin -->\n{note_of(approved).line}\n<!-- countersign:end -->"
    )
    hold(approved.version, approved.target)
    answer = live()
    html = answer.content.decode()
    assert answer.status_code == 286
    for part in ("request-head", "request-aside", "request-timeline"):
        assert re.search(rf'id="{part}" hx-swap-oob="true"', html)
    text = read(html)
    assert re.search(r"Version 2 holds Production since \d\d:\d\d", text)
    assert read(note_of(approved).line.replace("<", "&lt;").replace(">", "&gt;")) in text
    assert "Countersign worker promoted version 2 to Production" in text
    assert "<html" not in html


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Countersign is about to update MLflow."),
        ({"lease_expires_at": timedelta(minutes=1), "attempts": 1}, "Countersign is updating MLflow."),
        (
            {
                "waiting_since": timedelta(minutes=-4),
                "available_at": timedelta(minutes=2),
                "last_error": "Connection refused.",
            },
            r"Waiting for MLflow since TIME; next try at TIME\..* Connection refused\.",
        ),
        ({"available_at": timedelta(minutes=-4)}, r"Delivery is delayed: no worker has picked it up since TIME\."),
        (
            {"available_at": timedelta(minutes=-4), "lease_expires_at": timedelta(minutes=-1)},
            r"Delivery is delayed: no worker has picked it up since TIME\.",
        ),
    ],
)
def test_the_delivery_is_told_in_words(
    live: Callable[..., HttpResponse], approved: PromotionRequest, fields: dict[str, Any], sentence: str
) -> None:
    now = timezone.now()
    entry_is(approved, **{key: now + value if isinstance(value, timedelta) else value for key, value in fields.items()})
    answer = live()
    assert answer.status_code == 200
    text = read(answer.content.decode())
    assert re.search(sentence.replace("TIME", r"(?:\d+ \w{3} )?\d\d:\d\d"), text)


def test_a_delivery_behind_another_names_it(
    client: Client, approved: PromotionRequest, rita: User, remy: User, rosa: User, production: Target
) -> None:
    second = approve(make_request(make_version(MODEL), production, by=rita), remy, rosa)
    text = read(see(client, remy, second))
    assert f"Delivery waits for request #{approved.pk}, which goes first." in text


def test_what_was_applied_and_replaced_since_says_so(
    client: Client, approved: PromotionRequest, remy: User, production: Target
) -> None:
    settle(approved)
    hold(make_version(MODEL), production)
    text = read(see(client, remy, approved))
    assert re.search(r"Version 2 reached Production at \d\d:\d\d; version 3 is there now\.", text)
    assert "The approval note is not in MLflow's description." in text


def test_an_unknown_request_is_not_found(client: Client, remy: User) -> None:
    client.force_login(remy)
    for path in ("/requests/999/", "/requests/999/live/"):
        assert client.get(path).status_code == 404


# --- What is folded ---------------------------------------------------------------------------------------------------


def test_checks_are_folded_while_all_passed_and_open_otherwise(
    client: Client, asked: PromotionRequest, rita: User, remy: User, staging: Target
) -> None:
    assert '<details class="card-fold">' in see(client, remy, asked)
    warns = CheckRule("description_present", "warn")
    make_policy("*", staging, (1, None), checks=(warns,))
    html = see(client, remy, make_request(make_version("plain"), staging, by=rita))
    assert '<details class="card-fold" open>' in html
    assert "1 check warned" in read(html)


def test_what_is_the_same_is_folded_and_nothing_is_left_out(
    client: Client, asked: PromotionRequest, remy: User
) -> None:
    html = see(client, remy, asked)
    shown, _, folded = html[html.index('id="evidence"') : html.index('id="request-checks"')].partition("<details")
    assert "Parameters 1 of 2 differs" in read(shown)
    assert "Signature and packaging" not in read(shown)
    for words in (
        "Signature and packaging",
        "Files",
        "Figures and tables",
        "Description of version 2",
        "What is signed",
    ):
        assert words in read(folded)


def test_the_line_above_the_evidence_follows_the_checks(
    client: Client, asked: PromotionRequest, remy: User, rosa: User
) -> None:
    client.force_login(remy)
    approve(asked, rosa)
    told = client.get(f"{asked.get_absolute_url()}live/?seen=pending-1").content.decode()
    assert '<li id="decision-checks" hx-swap-oob="true">' in told
    assert 'href="#request-checks"' in told


# --- Cost -------------------------------------------------------------------------------------------------------------


def queries(client: Client, request: PromotionRequest, part: str = "") -> int:
    with CaptureQueriesContext(connection) as found:
        assert client.get(f"{request.get_absolute_url()}{part}").status_code in (200, 286)
    return len(found)


def test_queries_do_not_grow_with_events_reviewers_slots_or_values(
    client: Client, rita: User, remy: User, rosa: User, production: Target
) -> None:
    client.force_login(remy)
    small = approve(make_request(make_version("small"), production, by=rita), rosa)
    few, few_live = queries(client, small), queries(client, small, "live/")
    crowd = [make_person(f"P{number} Reviewer", "reviewer", f"group_{number % 5}") for number in range(12)]
    make_policy("large", production, *[(2, f"group_{number}") for number in range(5)], (1, None))
    values = {f"metric_{number}": 0.5 for number in range(100)}
    large = make_request(
        make_version("large", metrics=values, params=values, tags={str(n): "x" for n in range(50)}), production, by=rita
    )
    for number in range(30):
        workflow.comment(large, by=rita, body=f"Comment {number}")
    approve(large, *crowd[:9])
    User.objects.filter(pk__in=[person.pk for person in crowd[:4]]).update(is_active=False)
    assert AuditEvent.objects.filter(request=large).count() == 41
    assert queries(client, large) == few
    assert queries(client, large, "live/") == few_live


@pytest.mark.parametrize("how", ["withdrawn", "expired"])
def test_a_check_that_still_waited_when_the_request_closed_says_so(
    client: Client, rita: User, remy: User, staging: Target, how: str
) -> None:
    external = CheckRule("external", settings={"name": "CI", "url": "https://ci.example.com/gate"})
    make_policy("*", staging, (1, None), checks=(external,))
    request = make_request(make_version(), staging, by=rita)
    page = see(client, remy, request)
    assert "1 waiting for an answer" in page
    assert "Not answered" not in page
    if how == "withdrawn":
        workflow.withdraw(request, by=rita, reason="Too slow.")
    else:
        PromotionRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        workflow.expire_due()
    page = see(client, remy, request)
    assert "1 not answered" in page
    assert "Not answered before the request closed." in page
    assert "waiting for an answer" not in page
    assert "then it has failed" not in page


def test_what_is_within_tolerance_is_neither_better_nor_worse(
    client: Client, rita: User, remy: User, production: Target
) -> None:
    metrics = (MetricRule("recall", "higher", "0.5 %"), MetricRule("*", "", "1 %"))
    make_policy("churn_*", production, (2, None), metrics=metrics)
    hold(make_version(MODEL, metrics={"auc": 0.9, "f1": 0.7, "recall": 0.5, "gini": 0.4}), production)
    made = make_request(
        make_version(MODEL, metrics={"auc": 0.972, "f1": 0.749, "recall": 0.499, "gini": "NaN"}), production, by=rita
    )
    html = see(client, remy, check(made))
    text = read(html).replace("\N{NO-BREAK SPACE}", " ")
    assert "2 better, 1 within tolerance, 1 not comparable" in text
    assert "recall, metric of record higher is better · ±0.5 % 0.5 0.499 −0.001 (−0.2 %) within tolerance" in text
    assert text.index("recall") < text.index("gini") < text.index("auc")
    assert "gini higher is better · ±1 % 0.4 NaN not comparable" in text
    assert "worse" not in text.replace("worse · better", "")
