"""Approving several requests at once: each its own review and event, all of them or none."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from approvals import ledger, workflow
from approvals.ledger.sentences import sentence
from approvals.models import Action, AuditEvent, CheckResult, OutboxEntry, PromotionRequest, Review, Status, Target
from approvals.policy import SignatureRule
from approvals.selectors import policy_history, policy_overview, undoing
from approvals.workflow import BatchRefused, Invalid, Picked
from mirror.models import ModelVersion
from tests.support.factories import approve, check, make_policy, make_request, make_rule, make_version
from tests.support.world import hold

pytestmark = pytest.mark.django_db
MODELS = ("churn", "fraud", "pricing")


def ask(model: str, target: Target, rita: User, **fields: Any) -> PromotionRequest:
    """Version 2, better than version 1, which holds the target."""
    hold(make_version(model, 1, metrics={"auc_roc": 0.9}), target)
    version = make_version(model, 2, **({"metrics": {"auc_roc": 0.95}} | fields))
    return make_request(version, target, by=rita)


@pytest.fixture
def asked(remy: User, rosa: User, rita: User, production: Target) -> list[PromotionRequest]:
    """Three models, each with a request that needs two approvals."""
    make_policy("*", production, (2, None), batch_approval=True)
    return [ask(model, production, rita) for model in MODELS]


def picked(*requests: PromotionRequest, effect: str = "") -> list[Picked]:
    return [Picked(each, each.fingerprint, effect) for each in requests]


def refused(*requests: PromotionRequest, by: User) -> dict[int, str]:
    with pytest.raises(BatchRefused) as error:
        workflow.approve_together(picked(*requests), by=by)
    assert not Review.objects.filter(reviewer=by).exists()
    return error.value.refusals


# --- Done -------------------------------------------------------------------------------------------------------------


def test_each_gets_its_own_review_over_its_own_evidence_and_its_own_event(
    asked: list[PromotionRequest], remy: User
) -> None:
    signed = workflow.approve_together(picked(*asked), by=remy)
    assert [each.request for each in signed] == asked
    assert [each.fingerprint for each in signed] == [each.fingerprint for each in asked]
    events = AuditEvent.objects.filter(action=Action.REVIEW_APPROVED).order_by("sequence")
    assert [each.request for each in events] == asked
    for event in events:
        assert event.data["batch"] == 3
        assert f"approved {event.model_name} version 2 for Production, in a batch of 3" in sentence(event)
    assert not OutboxEntry.objects.exists()
    assert ledger.verify(with_references=True).is_intact


def test_the_last_approvals_deliver_each_and_one_can_be_undone(
    asked: list[PromotionRequest], remy: User, rosa: User, settings: Any
) -> None:
    settings.UNDO_SECONDS = 10
    for each in asked:
        approve(each, remy)
    signed = workflow.approve_together(picked(*asked, effect="delivers"), by=rosa)
    assert set(PromotionRequest.objects.values_list("status", flat=True)) == {Status.APPROVED}
    workflow.undo_review(asked[0], by=rosa, review=signed[0].pk)
    assert set(OutboxEntry.objects.open().values_list("request_id", flat=True)) == {each.pk for each in asked[1:]}
    assert ledger.verify(with_references=True).is_intact


def test_a_batch_is_undone_as_a_whole_but_for_what_cannot_be(
    asked: list[PromotionRequest], remy: User, rosa: User, settings: Any
) -> None:
    settings.UNDO_SECONDS = 10
    approve(asked[0], remy)
    signed = workflow.approve_together(picked(*asked), by=rosa)
    newest = undoing.newest_of(rosa)
    assert newest
    assert newest.together == 3
    workflow.withdraw(asked[1], by=asked[1].requester)
    undone = workflow.undo_together(newest.request, by=rosa, review=newest.review.pk)
    assert {each.request for each in undone.reviews} == {asked[0], asked[2]}
    assert undone.refusals == ["fraud v2: It is too late to undo this decision: withdrawn."]
    assert list(Review.objects.live().filter(reviewer=rosa)) == [signed[1]]
    assert not OutboxEntry.objects.open().exists()
    with pytest.raises(workflow.NotAllowed, match="Only Rosa Lind"):
        workflow.undo_together(asked[1], by=remy, review=signed[1].pk)
    assert ledger.verify(with_references=True).is_intact


def test_the_queue_offers_to_undo_all_of_a_batch(
    asked: list[PromotionRequest], remy: User, settings: Any, client: Client
) -> None:
    settings.UNDO_SECONDS = 10
    workflow.approve_together(picked(*asked), by=remy)
    client.force_login(remy)
    shown = client.get(reverse("approvals:review_queue")).content.decode()
    assert "3 requests approved together." in shown
    assert "Undo all 3" in shown
    newest = undoing.newest_of(remy)
    assert newest
    posted = {"review": newest.review.pk, "together": "yes"}
    address = reverse("approvals:request_undo", args=[newest.request.pk])
    answer = client.post(address, posted, follow=True)
    assert "3 decisions are undone. You can decide again." in answer.content.decode()
    assert not Review.objects.live().exists()
    assert client.post(address, posted).status_code == 409


def test_an_approval_by_itself_says_nothing_of_a_batch(asked: list[PromotionRequest], remy: User) -> None:
    approve(asked[0], remy)
    event = AuditEvent.objects.get(action=Action.REVIEW_APPROVED)
    assert "batch" not in event.data
    assert "batch" not in sentence(event)


# --- Refused: all of them ---------------------------------------------------------------------------------------------


def test_what_changed_meanwhile_refuses_all(asked: list[PromotionRequest], remy: User) -> None:
    given = [*picked(*asked[:2]), Picked(asked[2], "0" * 64)]
    with pytest.raises(BatchRefused, match=r"^Nothing was approved: 1 of the 3 requests cannot") as error:
        workflow.approve_together(given, by=remy)
    assert error.value.refusals == {asked[2].pk: "The evidence is no longer what you were reading."}
    assert not Review.objects.exists()


def test_what_changed_in_mlflow_goes_back_to_review_and_refuses_all(
    asked: list[PromotionRequest], remy: User, rosa: User
) -> None:
    approve(asked[1], rosa)
    ModelVersion.objects.filter(pk=asked[1].version_id).update(metrics={"auc_roc": 0.96})
    assert list(refused(*asked, by=remy)) == [asked[1].pk]
    assert AuditEvent.objects.filter(action=Action.REQUEST_REOPENED).count() == 1


def test_one_target_and_one_request_a_model(
    asked: list[PromotionRequest], rita: User, remy: User, production: Target, staging: Target
) -> None:
    make_policy("*", staging, (2, None), batch_approval=True)
    elsewhere = ask("support", staging, rita)
    assert refused(asked[0], elsewhere, by=remy) == {elsewhere.pk: "It is for Staging, the others are for Production."}
    other = make_request(make_version("churn", 3, metrics={"auc_roc": 0.97}), production, by=rita)
    words = "There is more than one version of churn among them."
    assert refused(asked[0], other, by=remy) == {asked[0].pk: words, other.pk: words}


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"batch_approval": False}, "does not allow approving it together"),
        ({"requires_reason": True}, "requires a comment"),
        ({"signature": SignatureRule(reauthenticate=True)}, "asks for a signature"),
        ({"signature": SignatureRule(asks_meaning=True)}, "asks for a signature"),
    ],
)
def test_what_the_policy_asks_for_is_not_passed_over(
    asked: list[PromotionRequest], rita: User, remy: User, production: Target, terms: dict[str, Any], words: str
) -> None:
    make_policy("strict", production, (2, None), **({"batch_approval": True} | terms))
    strict = ask("strict", production, rita)
    found = refused(asked[0], strict, by=remy)
    assert list(found) == [strict.pk]
    assert words in found[strict.pk]


def test_a_check_that_has_not_passed(asked: list[PromotionRequest], remy: User) -> None:
    CheckResult.objects.filter(request=asked[1]).update(outcome="warn")
    title = asked[1].checks.live()[0].title
    assert refused(*asked, by=remy) == {asked[1].pk: f"The check “{title}” has not passed."}


@pytest.mark.parametrize("metrics", [{"auc_roc": 0.8}, {"auc_roc": "NaN"}, {}])
def test_a_metric_that_is_worse_or_missing(
    asked: list[PromotionRequest], rita: User, remy: User, production: Target, metrics: dict[str, Any]
) -> None:
    worse = ask("support", production, rita, metrics=metrics)
    assert refused(asked[0], worse, by=remy) == {
        worse.pk: "The metric auc_roc is worse than the champion's, or missing."
    }


def test_what_this_person_cannot_approve(asked: list[PromotionRequest], rita: User, remy: User) -> None:
    with pytest.raises(BatchRefused) as error:
        workflow.approve_together(picked(*asked), by=rita)
    assert len(error.value.refusals) == 3
    approve(asked[0], remy)
    with pytest.raises(BatchRefused) as error:
        workflow.approve_together(picked(*asked), by=remy)
    assert error.value.refusals == {asked[0].pk: "You have already decided: approved."}
    assert Review.objects.count() == 1


def test_what_would_do_another_thing_than_the_page_said(asked: list[PromotionRequest], remy: User, rosa: User) -> None:
    approve(asked[2], rosa)
    with pytest.raises(BatchRefused) as error:
        workflow.approve_together(picked(*asked, effect="counts"), by=remy)
    assert "Rosa Lind approved meanwhile: yours would be the last approval" in error.value.refusals[asked[2].pk]
    assert not Review.objects.filter(reviewer=remy).exists()


def test_one_is_no_batch_and_neither_is_the_same_twice(asked: list[PromotionRequest], remy: User) -> None:
    for some in ((), asked[:1], [asked[0], asked[0]]):
        with pytest.raises(Invalid, match=r"Choose 2 to 50 requests\."):
            workflow.approve_together(picked(*some), by=remy)


def test_the_policy_says_it_in_its_sentence_and_its_history() -> None:
    rule = make_rule("*", (2, None), batch_approval=True)
    assert "several can be approved at once" in policy_overview.sentence(rule)
    assert "at once" not in policy_overview.sentence(make_rule("*", (2, None)))
    lines = policy_history.describe(rule.terms())
    assert lines["Approving several requests at once"] == "allowed"


def test_a_rule_from_before_keeps_its_fingerprint(asked: list[PromotionRequest], production: Target) -> None:
    assert asked[0].rule["batch_approval"] is True
    make_policy("plain", production, (2, None))
    plain = check(make_request(make_version("plain"), production, by=asked[0].requester, is_checked=False))
    assert "batch_approval" not in plain.rule
