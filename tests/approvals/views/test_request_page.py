"""What the page of a request says and shows, what it folds, and what it costs."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import AuditEvent, PromotionRequest, Target
from approvals.policy import CheckRule, MetricRule
from mirror.models import ModelVersion
from tests.support.factories import approve, check, make_person, make_policy, make_request, make_version
from tests.support.request_pages import MODEL, buttons, make_asked, read, see
from tests.support.world import hold

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    return make_asked(rita, production)


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
