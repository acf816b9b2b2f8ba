"""The inbox: whose work a request is, the difference that matters most, expiry, empty states, live refresh."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import workflow
from approvals.models import CheckResult, PromotionRequest, Target
from approvals.policy import CheckRule
from tests.support.factories import approve, make_person, make_policy, make_request, make_version
from tests.support.pages import text_of
from tests.support.world import hold, settle

pytestmark = pytest.mark.django_db
See = Callable[..., str]


@pytest.fixture
def seen_by(client: Client) -> See:
    def get(person: User, path: str = "/") -> str:
        client.force_login(person)
        answer = client.get(path)
        assert answer.status_code == 200
        return answer.content.decode()

    return get


def asks(rita: User, target: Target, model: str = "churn_predictor") -> PromotionRequest:
    """Version 2 worse in ndcg and better in auc_roc than version 1, which holds the target."""
    hold(make_version(model, metrics={"auc_roc": 0.90, "ndcg": 0.50}), target)
    return make_request(make_version(model, metrics={"auc_roc": 0.95, "ndcg": 0.45}), target, by=rita)


def test_a_row_says_what_is_asked_by_whom_how_far_and_what_matters_most(
    seen_by: See, rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = approve(asks(rita, production), rosa)
    html = seen_by(remy)
    text = text_of(html)
    assert "Promote churn_predictor v2 to Production (replaces v1)" in text
    assert f"Better. #{request.pk} · Rita Sanz" in text
    assert "1 of 2 approvals your slot: any reviewer expires" in text
    assert "Waiting for review" not in html.partition("data-item")[2]  # so do all rows here
    assert "auc_roc 0.95 +0.05 (+5.6 %) better 1 better, 1 worse against v1" in text
    assert f'href="/requests/{request.pk}/"' in html


def test_the_tab_follows_what_each_person_can_do(
    seen_by: See, rita: User, remy: User, rosa: User, vera: User, production: Target
) -> None:
    approve(asks(rita, production), remy)
    title = "Promote churn_predictor v2"
    assert title in text_of(seen_by(rosa))
    assert "Needs my review 1 Waiting on others 0" in text_of(seen_by(rosa))
    for person, words in ((rita, "Needs my action"), (remy, "Needs my review"), (vera, "Needs my action")):
        assert title not in text_of(seen_by(person))
        assert f"{words} 0 Waiting on others 1" in text_of(seen_by(person))
        assert title in text_of(seen_by(person, "/?tab=others"))
    assert "you: approved" in text_of(seen_by(remy, "/?tab=others"))
    assert "waits for any reviewer" in text_of(seen_by(rita, "/?tab=mine"))
    assert title not in text_of(seen_by(remy, "/?tab=mine"))


def test_a_request_that_came_back_waits_for_its_requester(
    seen_by: See, rita: User, remy: User, production: Target
) -> None:
    workflow.review(asks(rita, production), by=remy, verdict="request_changes", comment="Log the cutoff.")
    assert "Changes requested" in text_of(seen_by(rita))
    assert "Nothing needs your review." in text_of(seen_by(remy))


def test_a_missing_group_is_named(seen_by: See, rita: User, remy: User, production: Target) -> None:
    make_policy("churn_*", production, (1, "risk"))
    asks(rita, production)
    assert "Nothing needs your review." in text_of(seen_by(remy))
    assert "0 of 1 approval waits for risk" in text_of(seen_by(remy, "/?tab=others"))


def test_expiry_is_shown_when_it_is_near(seen_by: See, rita: User, remy: User, production: Target) -> None:
    request = asks(rita, production)
    assert "chip chip-amber" not in seen_by(remy).partition("data-item")[2]
    PromotionRequest.objects.filter(pk=request.pk).update(expires_at=timezone.now() + timedelta(hours=20))
    assert re.search(r'chip-amber">.*?expires', seen_by(remy).partition("data-item")[2], re.DOTALL)


def test_decided_shows_the_end_and_not_the_open_ones(
    seen_by: See, rita: User, remy: User, rosa: User, production: Target
) -> None:
    settle(asks(rita, production), remy, rosa)
    asks(rita, production, "fraud_scorer")
    text = text_of(seen_by(rita, "/?tab=decided"))
    assert "Promote churn_predictor v2" in text
    assert "Applied" in text
    assert "fraud_scorer" not in text


def test_a_first_promotion_and_a_lost_metric_are_named(
    seen_by: See, rita: User, remy: User, staging: Target, production: Target
) -> None:
    make_request(make_version("new_model"), staging, by=rita)
    assert "auc_roc 0.9 First promotion to Staging" in text_of(seen_by(remy))
    hold(make_version("lossy", metrics={"auc_roc": 0.9}), production)
    make_request(make_version("lossy", metrics={"auc_roc": "NaN"}), production, by=rita)
    assert "auc_roc NaN not comparable 1 not comparable against v1" in text_of(seen_by(remy))


@pytest.mark.parametrize(
    ("tab", "sentence"),
    [
        ("waiting", "Nothing needs your review."),
        ("mine", "You have not requested anything"),
        ("decided", "No request is closed yet."),
    ],
)
def test_an_empty_tab_says_what_to_do_next(
    seen_by: See, rita: User, remy: User, production: Target, tab: str, sentence: str
) -> None:
    approve(asks(rita, production), remy)
    html = seen_by(remy, f"/?tab={tab}")
    assert sentence in text_of(html)
    assert 'class="btn btn-quiet" href=' in html


def test_the_first_run_leads_to_the_models(seen_by: See, rita: User, vera: User) -> None:
    assert "No promotion has been requested yet." in text_of(seen_by(vera))
    assert 'href="/models/?request=1">Choose a model' in seen_by(rita)


def test_pages_keep_the_tab_and_nonsense_is_the_first(seen_by: See, rita: User, staging: Target) -> None:
    for number in range(27):
        make_request(make_version(f"model_{number}"), staging, by=rita)
    html = seen_by(rita, "/?tab=mine")
    assert html.count("data-item") == 25
    assert 'href="?tab=mine&amp;page=2"' in html
    assert seen_by(rita, "/?tab=mine&page=2").count("data-item") == 2
    assert "Nothing needs your action." in text_of(seen_by(rita, "/?tab=nonsense&page=-3"))


def test_the_list_fetches_itself_anew_only_when_something_changed(
    client: Client, rita: User, remy: User, production: Target
) -> None:
    asks(rita, production)
    client.force_login(remy)
    page = client.get("/?tab=others").content.decode()
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', page)
    assert seen
    htmx = {"HX-Request": "true"}
    assert client.get(f"/?tab=others&seen={seen[1]}", headers=htmx).status_code == 204
    request = asks(rita, production, "fraud_scorer")
    approve(request, remy)
    fresh = client.get(f"/?tab=others&seen={seen[1]}", headers=htmx)
    assert fresh.status_code == 200
    text = fresh.content.decode()
    assert "Promote fraud_scorer v2" in text_of(text)
    assert "<html" not in text
    assert seen[1] not in text


def test_hostile_text_stays_text(seen_by: See, remy: User, production: Target) -> None:
    eve = make_person("<script>alert(1)</script>", "requester")
    name = "<img src=x onerror=alert(1)>مرحبا" + "x" * 200
    hold(make_version(name, metrics={"auc<b>": 0.5}), production)
    make_request(make_version(name, metrics={"auc<b>": 0.4}), production, by=eve)
    html = seen_by(remy)
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "auc<b>" not in html
    assert "auc<b> 0.4 −0.1" in text_of(html)


def test_a_blocked_request_says_by_how_many_checks(seen_by: See, rita: User, ada: User, production: Target) -> None:
    make_policy("churn_*", production, (1, None), checks=(CheckRule("provenance"), CheckRule("signature_present")))
    make_request(make_version("churn_predictor"), production, by=rita)
    for person, path in ((rita, "/"), (ada, "/?tab=others")):
        assert "In checks 0 of 1 approval blocked by 2 checks" in text_of(seen_by(person, path))


def test_two_gains_beside_a_small_loss_do_not_read_worse(
    seen_by: See, rita: User, remy: User, production: Target
) -> None:
    hold(make_version("model_a", metrics={"auc": 0.80, "f1": 0.60, "rmse": 10.0}), production)
    make_request(make_version("model_a", metrics={"auc": 0.864, "f1": 0.642, "rmse": 10.02}), production, by=rita)
    text = text_of(seen_by(remy))
    assert "auc 0.864 +0.064 (+8.0 %) better" in text
    assert "2 better, 1 worse against v1" in text


def test_the_address_filters_and_sorts(
    seen_by: See, rita: User, remy: User, staging: Target, production: Target
) -> None:
    tom = make_person("Tom Weiss", "requester")
    first = asks(rita, production, "churn_predictor")
    second = make_request(make_version("fraud_card"), staging, by=rita)
    third = make_request(make_version("fraud_wire"), production, by=tom)
    now = timezone.now()
    for request, days in ((first, 9), (second, 1), (third, 5)):
        PromotionRequest.objects.filter(pk=request.pk).update(expires_at=now + timedelta(days=days))

    def order(query: str) -> list[int]:
        return [int(number) for number in re.findall(r'id="open-(\d+)"', seen_by(remy, f"/?{query}"))]

    a, b, c = first.pk, second.pk, third.pk
    assert order("") == order("sort=nonsense") == [b, c, a]
    assert order("sort=age") == [a, b, c]
    assert order("sort=model") == [a, b, c]
    assert order("model=FRAUD") == [b, c]
    assert order("model=FRAUD&target=Production") == [c]
    assert order(f"requester={rita.pk}&sort=age") == [a, b]
    assert order("state=pending&sort=age") == [a, b, c]
    assert order("state=failed") == []
    CheckResult.objects.create(request=third, key="a", title="A", effect="warn", outcome="warn", reason="Old data.")
    CheckResult.objects.create(request=first, key="a", title="A", effect="warn", outcome="fail", reason="Old data.")
    assert order("sort=risk") == [a, c, b]
    assert "1 check failed" in text_of(seen_by(remy))
    assert "1 warning" in text_of(seen_by(remy))
    html = seen_by(remy, f"/?model=wire&requester={tom.pk}&sort=model")
    assert 'value="wire"' in html
    assert re.search(rf'<option value="{tom.pk}"[^>]*selected[^>]*>\s*Tom Weiss', html)
    assert "No request matches." in text_of(seen_by(remy, "/?model=none"))


def test_queries_do_not_grow_with_rows(client: Client, rita: User, remy: User, production: Target) -> None:
    client.force_login(remy)

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/").status_code == 200
        return len(queries)

    asks(rita, production, "first")
    few = count()
    for number in range(20):
        asks(rita, production, f"model_{number}")
    assert count() == few
