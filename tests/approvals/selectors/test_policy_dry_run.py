"""What a draft of a policy would have meant for the requests that were made: four outcomes, and nothing stored."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from approvals import workflow
from approvals.models import AuditEvent, Policy, PolicyVersion, PromotionRequest, Target
from approvals.policy import CheckRule, SlotRule
from approvals.selectors import policy_dry_run
from approvals.selectors.policy_dry_run import Outcome
from tests.accounts.test_roles import POLICY_FORM
from tests.support.factories import approve, make_person, make_request, make_rule, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def risk(db: None) -> Group:
    return Group.objects.create(name="risk")


@pytest.fixture
def approved(rita: User, remy: User, rosa: User, staging: Target, risk: Group) -> PromotionRequest:
    """Approved by remy alone, as its policy wants; rosa is in the risk group."""
    rosa.groups.add(risk)
    return approve(make_request(make_version(number=7), staging, by=rita), remy)


def replay(draft: Any, staging: Target) -> policy_dry_run.Replay:
    (found,) = policy_dry_run.of(draft, staging).replays
    return found


def test_what_the_draft_does_not_touch_goes_as_it_went(approved: PromotionRequest, staging: Target) -> None:
    assert replay(make_rule("churn_*", (1, None)), staging) == policy_dry_run.Replay(approved, Outcome.SAME, ())


def test_a_check_that_fails_would_have_blocked_it(approved: PromotionRequest, staging: Target) -> None:
    check = CheckRule("metric_threshold", "block", {"metric": "auc_roc", "at_least": 0.95})
    found = replay(make_rule("churn_*", (1, None), checks=(check,)), staging)
    assert found.outcome == Outcome.BLOCKED
    assert "0.95" in found.reasons[0]
    warns = CheckRule("metric_threshold", "warn", check.settings)
    assert replay(make_rule("churn_*", (1, None), checks=(warns,)), staging).outcome == Outcome.SAME


def test_more_approvals_would_have_delayed_it(approved: PromotionRequest, staging: Target) -> None:
    found = replay(make_rule("churn_*", (2, None)), staging)
    assert found.outcome == Outcome.DELAYED
    assert found.reasons == ("It would have waited for 1 more approval from any reviewer.",)


def test_an_approval_from_outside_the_group_would_not_have_counted(approved: PromotionRequest, staging: Target) -> None:
    found = replay(make_rule("churn_*", (1, "risk")), staging)
    assert found.reasons == (
        "It would have waited for 1 more approval from risk.",
        "The approval of Remy Ortiz would not have counted: they are in none of the required groups.",
    )


def test_a_contributor_would_not_have_counted(rita: User, remy: User, rosa: User, staging: Target) -> None:
    version = make_version(number=7, run={"user": "remy"})
    approve(make_request(version, staging, by=rita), remy)
    assert replay(make_rule("churn_*", (1, None)), staging).outcome == Outcome.SAME
    found = replay(make_rule("churn_*", (1, None), excludes_contributors=True), staging)
    assert found.outcome == Outcome.DELAYED
    assert found.reasons[1].endswith("they contributed to the version.")


def test_a_tag_that_only_the_draft_asks_for_names_contributors(
    rita: User, remy: User, rosa: User, staging: Target
) -> None:
    approve(make_request(make_version(number=7, tags={"author": "ann, remy"}), staging, by=rita), remy)
    assert replay(make_rule("churn_*", (1, None), excludes_contributors=True), staging).outcome == Outcome.SAME
    found = replay(make_rule("churn_*", (1, None), excludes_contributors=True, contributor_tags=("author",)), staging)
    assert found.outcome == Outcome.DELAYED
    assert found.reasons[1].endswith("they contributed to the version.")


def test_an_approval_without_a_comment_would_not_have_counted(approved: PromotionRequest, staging: Target) -> None:
    found = replay(make_rule("churn_*", (1, None), requires_reason=True), staging)
    assert found.reasons[1] == "The approval of Remy Ortiz would not have counted: it has no comment."


def test_what_nobody_could_have_given_is_impossible_as_of_now(approved: PromotionRequest, staging: Target) -> None:
    found = replay(make_rule("churn_*", (2, "risk")), staging)
    assert found.outcome == Outcome.IMPOSSIBLE
    assert found.reasons[0].startswith("As of now: ")
    assert "2 approvals from risk (1 eligible)" in found.reasons[0]


def test_somebody_who_left_since_could_sign_then(approved: PromotionRequest, remy: User, staging: Target) -> None:
    remy.is_active = False
    remy.save()
    assert replay(make_rule("churn_*", (1, None)), staging).outcome == Outcome.SAME


def test_open_and_rejected_requests_are_not_called_delayed(rita: User, remy: User, rosa: User, staging: Target) -> None:
    make_request(make_version(), staging, by=rita)
    rejected = make_request(make_version(), staging, by=rita)
    workflow.review(rejected, by=remy, verdict="reject", comment="No.")
    found = policy_dry_run.of(make_rule("*", (2, None)), staging)
    assert [each.outcome for each in found.replays] == [Outcome.SAME, Outcome.SAME]


def test_the_newest_that_fit_are_replayed_and_those_that_differ_stand_first(
    approved: PromotionRequest, rita: User, staging: Target, production: Target
) -> None:
    others = [make_request(make_version("churn_predictor"), staging, by=rita) for _ in range(3)]
    make_request(make_version("credit_risk"), staging, by=rita)
    make_request(make_version("churn_predictor"), production, by=rita)
    found = policy_dry_run.of(make_rule("churn_*", (2, None)), staging, last=10)
    assert [each.request.pk for each in found.replays] == [approved.pk, *(each.pk for each in reversed(others))]
    assert dict(found.totals) == {"impossible": 0, "blocked": 0, "delayed": 1, "same": 3}
    assert len(policy_dry_run.of(make_rule("churn_*", (2, None)), staging, last=2).replays) == 2


def test_external_checks_are_named_and_not_called(approved: PromotionRequest, staging: Target) -> None:
    check = CheckRule("external", "block", {"name": "fairness", "url": "https://ci.example.com/check"})
    found = policy_dry_run.of(make_rule("churn_*", (1, None), checks=(check,)), staging)
    assert found.replays[0].outcome == Outcome.SAME
    assert len(found.left_out) == 1
    assert "fairness" in found.left_out[0]


def test_many_are_replayed_with_a_fixed_number_of_queries(
    approved: PromotionRequest, rita: User, remy: User, staging: Target, django_assert_max_num_queries: Any
) -> None:
    one = PromotionRequest.objects.get()
    copies = []
    for _ in range(40):
        version = make_version("churn_predictor")
        fields = {field.attname: getattr(one, field.attname) for field in one._meta.concrete_fields}
        copies.append(PromotionRequest(**(fields | {"id": None, "version_id": version.pk})))
    PromotionRequest.objects.bulk_create(copies)
    draft = make_rule("churn_*", (2, SlotRule(1).group), checks=(CheckRule("provenance"),))
    with django_assert_max_num_queries(10):
        assert len(policy_dry_run.of(draft, staging, last=500).replays) == 41


def test_the_form_rehearses_keeps_what_was_typed_and_saves_nothing(
    client: Client, approved: PromotionRequest, ada: User, staging: Target
) -> None:
    client.force_login(ada)
    policy = Policy.objects.get(target=staging, model_pattern="*")
    typed = POLICY_FORM | {
        "target": str(staging.pk),
        "model_pattern": "churn_*",
        "slots-0-approvals": "2",
        "rehearse": "50",
    }
    before = (AuditEvent.objects.count(), PolicyVersion.objects.count())
    for address in ("/policies/new/", f"/policies/{policy.pk}/"):
        answer = client.post(address, typed)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert "It would have waited for 1 more approval from any reviewer." in page
        assert 'value="churn_*"' in page
    assert (AuditEvent.objects.count(), PolicyVersion.objects.count()) == before
    wrong = client.post("/policies/new/", typed | {"model_pattern": ""})
    assert wrong.status_code == 422
    assert "Rehearsal" not in wrong.content.decode()
    nothing = client.post("/policies/new/", typed | {"model_pattern": "zebra"})
    assert "there is nothing to replay" in nothing.content.decode()


def test_only_administrators_rehearse(client: Client, staging: Target) -> None:
    client.force_login(make_person("Vera Two", "auditor"))
    assert client.post("/policies/new/", POLICY_FORM | {"rehearse": "50"}).status_code == 403
