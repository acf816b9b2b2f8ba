"""The small form of a model's metrics of record, and the card on the model's page."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from approvals import administration
from approvals.models import ModelMetrics, Target
from approvals.policy import MetricRule
from tests.support.factories import make_policy, make_version
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
MODEL = "/models/churn_predictor/"
URL = f"{MODEL}metrics-of-record/"


def rows(*typed: tuple[str, str, str], seen: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = {"seen": seen, "metrics-TOTAL_FORMS": len(typed), "metrics-INITIAL_FORMS": 0}
    for place, values in enumerate(typed):
        data |= dict(zip((f"metrics-{place}-{key}" for key in ("name", "better", "tolerance")), values, strict=True))
    return data


@pytest.fixture
def admin(client: Client, ada: User) -> Client:
    make_version("churn_predictor", metrics={"recall": 0.5, "auc": 0.9})
    client.force_login(ada)
    return client


def test_the_model_page_leads_to_it_and_shows_what_holds(admin: Client, production: Target) -> None:
    page = admin.get(MODEL).content.decode()
    assert f'href="{URL}"' in page
    assert "None are named" in text_of(page)
    assert '<option value="recall">' in admin.get(URL).content.decode()
    make_policy("churn_*", production, metrics=(MetricRule("auc", "higher", "0.1 %"),))
    answer = admin.post(URL, rows(("recall", "", "1%"), ("", "", "")), follow=True)
    text = text_of(answer.content.decode())
    assert "The metrics of record of churn_predictor are saved. Open requests keep theirs." in text
    assert "auc higher is better · tolerance 0.1 % recall higher is better · tolerance 1 %" in text
    assert "The policy for Production comes first: auc within 0.1 %." in text_of(admin.get(URL).content.decode())


def test_mistakes_come_back_with_what_was_typed(admin: Client) -> None:
    answer = admin.post(URL, rows(("revenue", "", "much")))
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Write a number such as 0.002, or a percentage such as 0.5 %." in page
    assert 'value="revenue"' in page
    assert not ModelMetrics.objects.exists()


def test_the_second_of_two_is_told_and_may_save_again(admin: Client) -> None:
    admin.post(URL, rows(("recall", "", "")))
    answer = admin.post(URL, rows(("auc", "", "")))
    assert answer.status_code == 409
    assert "Another person has changed these metrics of record meanwhile." in text_of(answer.content.decode())
    assert 'name="seen" value="1"' in answer.content.decode()
    assert admin.post(URL, rows(("auc", "", ""), seen=1)).status_code == 302
    assert ModelMetrics.objects.get().rules == (MetricRule("auc", "higher"),)


def test_others_see_the_card_and_no_way_to_change_it(client: Client, ada: User, remy: User) -> None:
    model = make_version("churn_predictor").model
    client.force_login(remy)
    assert "Metrics of record" not in client.get(MODEL).content.decode()
    administration.save_model_metrics(model, [MetricRule("auc")], by=ada)
    page = client.get(MODEL).content.decode()
    assert "Metrics of record" in page
    assert f'href="{URL}"' not in page
    assert client.get(URL).status_code == 403
