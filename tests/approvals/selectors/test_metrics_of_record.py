"""By which metrics a version is judged: of what stands now in lists, of a request by what stood when it was made."""

from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from approvals import administration, evidence
from approvals.models import PromotionRequest, Target
from approvals.policy import MetricRule
from approvals.selectors import frozen_evidence, inbox_rows, metrics_of_record
from tests.support.factories import make_policy, make_request, make_version
from tests.support.world import hold

pytestmark = pytest.mark.django_db

RECALL = MetricRule("recall", "higher", "1 %")
MODEL = "churn_predictor"


def asked(rita: User, target: Target, before: dict[str, Any], after: dict[str, Any]) -> PromotionRequest:
    hold(make_version(MODEL, metrics=before), target)
    return make_request(make_version(MODEL, metrics=after), target, by=rita)


def row_of(request: PromotionRequest, person: User) -> inbox_rows.Row:
    (row,) = inbox_rows.rows([PromotionRequest.objects.with_subject().get(pk=request.pk)], person, now=timezone.now())
    return row


def test_what_stands_now_is_known_for_every_model_and_target_in_two_queries(
    production: Target, staging: Target, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_policy("churn_*", production, metrics=(RECALL,))
    models = [make_version(f"churn_{number}").model for number in range(5)]
    other = make_version("fraud").model
    with django_assert_num_queries(2):
        yardsticks = metrics_of_record.load()
        assert {yardsticks.of(model, production) for model in models} == {(RECALL,)}
        assert yardsticks.of(other, production) == yardsticks.of(models[0], staging) == ()
    assert metrics_of_record.of(models[0], production) == metrics_of_record.of_model(models[0]) == (RECALL,)


def test_without_a_target_the_last_ones_policy_goes_first_and_the_models_own_last(
    ada: User, production: Target, staging: Target
) -> None:
    model = make_version(MODEL).model
    make_policy("*", staging, metrics=(MetricRule("recall", "higher", "9 %"), MetricRule("f1", "higher")))
    make_policy("*", production, metrics=(RECALL,))
    administration.save_model_metrics(model, [MetricRule("auc"), MetricRule("f1", "lower")], by=ada)
    assert metrics_of_record.of_model(model) == (RECALL, MetricRule("f1", "higher"), MetricRule("auc", "higher"))


def test_noise_beside_two_gains_does_not_read_worse(rita: User, remy: User, production: Target) -> None:
    make_policy("*", production, metrics=(RECALL, MetricRule("*", tolerance="0.5 %")))
    request = asked(
        rita, production, {"auc": 0.9, "f1": 0.7, "recall": 0.5}, {"auc": 0.972, "f1": 0.749, "recall": 0.499}
    )
    row = row_of(request, remy)
    assert str(row.tally) == "2 better, 1 within tolerance"
    assert row.headline is not None
    assert (row.headline.name, row.headline.judgement.words) == ("recall", "within tolerance")


def test_a_request_is_judged_by_what_stood_when_it_was_made(rita: User, remy: User, production: Target) -> None:
    make_policy("*", production, metrics=(RECALL,))
    request = asked(rita, production, {"auc": 0.9, "recall": 0.5}, {"auc": 0.9, "recall": 0.499})
    make_policy("*", production, metrics=(MetricRule("auc", "higher"),))
    row = row_of(request, remy)
    assert row.headline is not None
    assert (row.headline.name, str(row.tally)) == ("recall", "1 within tolerance, 1 the same")


def test_what_was_signed_before_there_were_any_keeps_its_fingerprint(
    ada: User, rita: User, remy: User, production: Target
) -> None:
    request = asked(rita, production, {"auc": 0.9, "recall": 0.5}, {"auc": 0.91, "recall": 0.499})
    assert "metrics" not in request.rule
    make_policy("*", production, metrics=(RECALL,))
    administration.save_model_metrics(request.version.model, [MetricRule("auc")], by=ada)
    request.refresh_from_db()
    assert frozen_evidence.changes(request) == []
    assert evidence.fingerprint(request.evidence) == request.fingerprint
    assert str(row_of(request, remy).tally) == "1 better, 1 worse"  # by its own rule, without tolerance


def test_a_first_promotion_has_its_metric_and_no_tally(rita: User, remy: User, production: Target) -> None:
    row = row_of(make_request(make_version(MODEL, metrics={"auc": 0.9}), production, by=rita), remy)
    assert row.headline is not None
    assert (row.headline.name, row.headline.challenger, bool(row.tally)) == ("auc", 0.9, False)
