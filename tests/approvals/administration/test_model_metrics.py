"""The metrics of record that a model brings itself: who may set them, what is recorded, whose word goes first."""

import pytest

from accounts.models import User
from approvals import administration, ledger
from approvals.ledger import sentences
from approvals.models import Action, AuditEvent, ModelMetrics, Target
from approvals.policy import MetricRule, Rule
from approvals.selectors import metrics_of_record, rules
from approvals.workflow import Conflict, Invalid, NotAllowed
from mirror.models import RegisteredModel
from tests.support.factories import make_policy, make_request, make_version

pytestmark = pytest.mark.django_db

AUC, RECALL = MetricRule("auc", "higher", "0.5 %"), MetricRule("recall", "higher")


@pytest.fixture
def churn(db: None) -> RegisteredModel:
    return make_version("churn_predictor").model


def test_they_are_set_changed_and_taken_away_each_with_its_event(ada: User, churn: RegisteredModel) -> None:
    administration.save_model_metrics(churn, [MetricRule("auc", "", "0.5 %")], by=ada, seen=0)
    assert ModelMetrics.objects.get().rules == (AUC,)  # as its name says, once and for all
    administration.save_model_metrics(churn, [AUC], by=ada)  # unchanged
    administration.save_model_metrics(churn, [RECALL, AUC], by=ada, seen=1)
    administration.save_model_metrics(churn, [], by=ada, seen=2)
    events = list(AuditEvent.objects.filter(action=Action.METRICS_CHANGED).order_by("sequence"))
    whose = "the metrics of record of churn_predictor"
    assert [sentences.sentence(each) for each in events] == [
        f"set {whose}: auc (higher is better, tolerance 0.5 %)",
        f"set {whose}: recall (higher is better); auc (higher is better, tolerance 0.5 %)",
        f"removed {whose}",
    ]
    assert ledger.verify(with_references=True).is_intact


def test_what_is_changed_without_an_event_is_found(ada: User, churn: RegisteredModel) -> None:
    administration.save_model_metrics(churn, [AUC], by=ada)
    ModelMetrics.objects.update(metrics=[{"name": "auc", "better": "higher", "tolerance": "50 %"}])
    assert not ledger.verify(with_references=True).is_intact


def test_only_those_who_manage_policies_set_them(remy: User, churn: RegisteredModel) -> None:
    with pytest.raises(NotAllowed):
        administration.save_model_metrics(churn, [AUC], by=remy)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ([MetricRule("revenue")], "higher or lower"),
        ([AUC, AUC], "named twice"),
        ([MetricRule("auc", "", "x")], "0.002"),
    ],
)
def test_nonsense_is_refused(ada: User, churn: RegisteredModel, metrics: list[MetricRule], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        administration.save_model_metrics(churn, metrics, by=ada)


def test_of_two_who_edit_the_second_is_told(ada: User, churn: RegisteredModel) -> None:
    administration.save_model_metrics(churn, [AUC], by=ada, seen=0)
    with pytest.raises(Conflict):
        administration.save_model_metrics(churn, [RECALL], by=ada, seen=0)


def test_the_policys_go_before_the_models_and_a_request_keeps_both(
    ada: User, rita: User, churn: RegisteredModel, production: Target
) -> None:
    strict, everything = MetricRule("auc", "higher", "0.1 %"), MetricRule("*", tolerance="1 %")
    make_policy("churn_*", production, metrics=(strict, everything))
    administration.save_model_metrics(churn, [RECALL, AUC], by=ada)
    merged = (strict, everything, RECALL)
    assert rules.rule_for(churn.name, production).metrics == merged
    assert metrics_of_record.load().of(churn, production) == merged
    assert set(metrics_of_record.of_model(churn)) == set(merged)
    request = make_request(make_version("churn_predictor"), production, by=rita)
    administration.save_model_metrics(churn, [], by=ada)
    assert Rule.from_json(request.rule).metrics == merged


def test_they_hold_where_no_policy_fits(ada: User, production: Target) -> None:
    production.policies.update(retired_at="2026-01-01T00:00:00Z")
    model = make_version("alone").model
    administration.save_model_metrics(model, [AUC], by=ada)
    assert rules.rule_for("alone", production).metrics == (AUC,)
