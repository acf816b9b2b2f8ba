"""The verbs: who may, what is written, and what the database itself refuses."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from approvals import administration, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, PromotionRequest, Review, Status, Target
from approvals.selectors import inbox, request_state
from approvals.workflow import Conflict, Invalid, NotAllowed
from mirror.models import Alias, ModelVersion, Stage
from tests.support.factories import approve, check, make_person, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db


def actions_of(request: PromotionRequest) -> list[str]:
    return list(AuditEvent.objects.filter(request=request).order_by("sequence").values_list("action", flat=True))


def test_request_freezes_evidence_rule_and_champion(rita: User, production: Target) -> None:
    champion = make_version(number=6, stage=Stage.PRODUCTION)
    request = make_request(make_version(number=7), production, by=rita)
    assert (request.status, request.champion) == (Status.PENDING, champion)
    assert request.rule["slots"] == [{"approvals": 2, "group": None, "looks_at": []}]
    frozen = json.loads(request.evidence)
    assert frozen["version"]["metrics"] == {"auc_roc": "0.9"}
    assert frozen["champion"]["number"] == 6
    assert actions_of(request) == [Action.REQUEST_CREATED, Action.REQUEST_CHECKED]


def test_request_needs_the_role(vera: User, production: Target) -> None:
    with pytest.raises(NotAllowed, match="requester role"):
        make_request(make_version(), production, by=vera)


def test_request_needs_a_reason(rita: User, production: Target) -> None:
    with pytest.raises(Invalid, match="Enter"):
        make_request(make_version(), production, by=rita, justification="  ")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"status": "PENDING_REGISTRATION"}, "not ready"),
        ({"deleted_at": timezone.now()}, "no longer exists"),
    ],
)
def test_request_needs_a_usable_version(rita: User, production: Target, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        make_request(make_version(**fields), production, by=rita)


def test_request_for_what_is_there_already_is_refused(rita: User, production: Target) -> None:
    version = make_version(stage=Stage.PRODUCTION)
    Alias.objects.create(model=version.model, name="champion", number=version.number)
    with pytest.raises(Invalid, match="already in Production"):
        make_request(version, production, by=rita)


def test_a_half_held_target_can_be_asked_for(rita: User, production: Target) -> None:
    version = make_version(stage=Stage.PRODUCTION)
    assert make_request(version, production, by=rita).status == Status.PENDING


def test_a_second_open_request_names_the_first(rita: User, production: Target, staging: Target) -> None:
    version = make_version()
    first = make_request(version, production, by=rita)
    with pytest.raises(Conflict) as caught:
        make_request(version, production, by=rita)
    assert caught.value.request == first
    assert make_request(version, staging, by=rita).status == Status.PENDING


def test_the_last_approval_approves_and_owes_the_delivery(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = make_request(make_version(), production, by=rita)
    assert approve(request, remy).status == Status.PENDING
    assert not OutboxEntry.objects.exists()
    assert approve(request, rosa).status == Status.APPROVED
    assert OutboxEntry.objects.open().get().request == request
    assert actions_of(request) == [
        Action.REQUEST_CREATED,
        Action.REQUEST_CHECKED,
        Action.REVIEW_APPROVED,
        Action.REVIEW_APPROVED,
        Action.REQUEST_APPROVED,
    ]
    event = AuditEvent.objects.get(action=Action.REQUEST_APPROVED)
    assert event.allowed_by == "Remy Ortiz <remy@example.com>\nRosa Lind <rosa@example.com>"


def test_the_requester_cannot_approve_even_as_reviewer(remy: User, production: Target) -> None:
    both = make_person("Bo Both", "requester", "reviewer")
    request = make_request(make_version(), production, by=both)
    with pytest.raises(NotAllowed, match="You requested this"):
        approve(request, both)


def test_the_database_itself_refuses_a_review_of_ones_own(rita: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    with pytest.raises(IntegrityError, match="nobody_reviews_their_own_request"), transaction.atomic():
        Review.objects.create(
            request=request, reviewer=rita, requester=rita, verdict="approve", fingerprint=request.fingerprint
        )


@pytest.mark.parametrize("fixture", ["vera", "ada"])
def test_only_reviewers_decide(rita: User, production: Target, fixture: str, request: pytest.FixtureRequest) -> None:
    asked = make_request(make_version(), production, by=rita)
    with pytest.raises(NotAllowed, match="Only reviewers"):
        approve(asked, request.getfixturevalue(fixture))


def test_a_deactivated_reviewer_cannot_decide(rita: User, remy: User, production: Target) -> None:
    asked = make_request(make_version(), production, by=rita)
    User.objects.filter(pk=remy.pk).update(is_active=False)
    with pytest.raises(NotAllowed):
        approve(asked, remy)


def test_one_person_counts_once(rita: User, remy: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    approve(request, remy)
    with pytest.raises(NotAllowed, match="already decided: approved"):
        approve(request, remy)
    assert Review.objects.count() == 1


def test_an_approval_of_somebody_who_lost_the_role_does_not_count(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = make_request(make_version(), production, by=rita)
    approve(request, remy)
    remy.groups.clear()
    assert approve(request, rosa).status == Status.PENDING


def test_an_approval_of_somebody_who_left_the_group_of_its_slot_does_not_count(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    """The role stays; the group that the slot names does not."""
    make_policy("churn_*", production, (1, "risk"), (1, None))
    risk = Group.objects.get(name="risk")
    remy.groups.add(risk)
    rosa.groups.add(risk)
    request = make_request(make_version("churn_predictor"), production, by=rita)
    otto = make_person("Otto Lind", "reviewer")
    approve(request, remy)
    remy.groups.remove(risk)
    with pytest.raises(NotAllowed, match="must come from others: 1 approval from risk"):
        approve(request, otto)  # the approval fills the open place now
    assert [state.missing for state in request_state.of(request).states] == [1, 0]
    assert approve(request, rosa).status == Status.APPROVED


def test_an_approval_of_somebody_deactivated_since_does_not_count(
    rita: User, remy: User, rosa: User, ada: User, production: Target
) -> None:
    request = make_request(make_version(), production, by=rita)
    approve(request, remy)
    administration.set_active(remy, is_active=False, by=ada)
    assert approve(request, rosa).status == Status.PENDING
    administration.set_active(remy, is_active=True, by=ada)
    request.refresh_from_db()
    assert request.status == Status.APPROVED


@pytest.mark.parametrize("verdict", ["reject", "request_changes"])
def test_a_refusal_needs_a_comment(rita: User, remy: User, production: Target, verdict: str) -> None:
    request = make_request(make_version(), production, by=rita)
    with pytest.raises(Invalid, match="Enter"):
        workflow.review(request, by=remy, verdict=verdict, comment=" ")


def test_the_policy_can_ask_for_a_comment_with_approvals(rita: User, remy: User, production: Target) -> None:
    make_policy("churn_*", production, (1, None), requires_reason=True)
    request = make_request(make_version("churn_predictor"), production, by=rita)
    with pytest.raises(Invalid, match="requires a comment"):
        approve(request, remy)


def test_one_rejection_ends_it(rita: User, remy: User, rosa: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    workflow.review(request, by=remy, verdict="reject", comment="Recall fell.")
    request.refresh_from_db()
    assert (request.status, request.status_reason) == (Status.REJECTED, "Recall fell.")
    with pytest.raises(NotAllowed, match="No decision is open"):
        approve(request, rosa)


def test_requested_changes_come_back_with_reviews_void(rita: User, remy: User, rosa: User, production: Target) -> None:
    version = make_version()
    request = make_request(version, production, by=rita)
    approve(request, remy)
    workflow.review(request, by=rosa, verdict="request_changes", comment="Say what data.")
    version.description = "Trained on October."
    version.save()
    request.refresh_from_db()
    workflow.resubmit(request, by=rita)
    request.refresh_from_db()
    assert request.status == Status.CHECKING
    request = check(request)
    assert request.status == Status.PENDING
    assert not request.reviews.live().exists()
    event = AuditEvent.objects.filter(action=Action.REQUEST_CHECKED).latest("sequence")
    assert (event.data["changed"], event.data["voided"]) == (["description"], ["Remy Ortiz <remy@example.com>"])
    assert approve(request, remy, rosa).status == Status.APPROVED


def test_a_verdict_over_old_evidence_is_refused(rita: User, remy: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    with pytest.raises(Conflict, match="has changed since you opened it"):
        workflow.review(request, by=remy, verdict="approve", fingerprint="0" * 64)


def test_a_changed_champion_sends_the_request_back_to_review(
    rita: User, remy: User, rosa: User, production: Target
) -> None:
    make_version(number=6, stage=Stage.PRODUCTION)
    request = approve(make_request(make_version(number=7), production, by=rita), remy)
    make_version(number=8, stage=Stage.PRODUCTION)
    with pytest.raises(Conflict, match="changed in MLflow since you opened it"):
        approve(request, rosa)
    request.refresh_from_db()
    assert (request.status, request.champion and request.champion.number) == (Status.PENDING, 8)
    assert request.status_reason == "This changed in MLflow since the request: champion (version 6 → version 8)."
    assert not request.reviews.live().exists()
    assert approve(request, remy, rosa).status == Status.APPROVED


def test_only_the_requester_withdraws(rita: User, remy: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    with pytest.raises(NotAllowed, match="Only the requester"):
        workflow.withdraw(request, by=remy)
    workflow.withdraw(request, by=rita, reason="Wrong version.")
    request.refresh_from_db()
    assert (request.status, request.status_reason) == (Status.WITHDRAWN, "Wrong version.")
    assert make_request(request.version, production, by=rita).pk != request.pk


def test_an_applied_request_cannot_be_withdrawn(rita: User, remy: User, staging: Target) -> None:
    request = approve(make_request(make_version(), staging, by=rita), remy)
    PromotionRequest.objects.filter(pk=request.pk).move(Status.APPLIED)
    with pytest.raises(NotAllowed, match="can no longer be withdrawn"):
        workflow.withdraw(request, by=rita)


def test_expiry_comes_with_the_policys_days(rita: User, remy: User, production: Target) -> None:
    make_policy("churn_*", production, (1, None), open_for_days=1)
    request = make_request(make_version("churn_predictor"), production, by=rita)
    assert workflow.expire_due() == 0
    PromotionRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotAllowed, match="past its time limit"):
        approve(request, remy)
    assert workflow.expire_due() == 1
    assert workflow.expire_due() == 0
    request.refresh_from_db()
    assert (request.status, request.status_reason) == (Status.EXPIRED, "Not decided within 1 day.")
    assert actions_of(request)[-1] == Action.REQUEST_EXPIRED


def test_a_comment_is_part_of_the_ledger(rita: User, remy: User, vera: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    workflow.comment(request, by=remy, body="Which data?")
    with pytest.raises(NotAllowed):
        workflow.comment(request, by=vera, body="I only read.")
    with pytest.raises(Invalid):
        workflow.comment(request, by=remy, body=" \n")
    assert AuditEvent.objects.get(action=Action.REQUEST_COMMENTED).data == {"comment": "Which data?"}


def test_an_open_request_keeps_the_rule_it_was_made_under(rita: User, remy: User, production: Target) -> None:
    request = make_request(make_version("churn_predictor"), production, by=rita)
    make_policy("churn_*", production, (1, None))
    assert approve(request, remy).status == Status.PENDING


def test_a_slot_of_a_group_needs_its_people(rita: User, remy: User, rosa: User, production: Target) -> None:
    make_policy("*credit*", production, (1, "risk"), (1, None))
    risk = make_person("Rik Risk", "reviewer", "risk")
    request = make_request(make_version("credit_risk"), production, by=rita)
    assert request.waits_for == "|risk|*|"
    assert approve(request, remy).waits_for == "|risk|"
    with pytest.raises(NotAllowed, match="1 approval from risk"):
        approve(request, rosa)
    assert approve(request, risk).status == Status.APPROVED


def test_an_approval_counts_again_when_the_role_comes_back(
    rita: User, remy: User, rosa: User, ada: User, production: Target
) -> None:
    request = make_request(make_version(), production, by=rita)
    approve(request, remy)
    role = remy.groups.get()
    administration.set_groups(remy, groups=[], by=ada)
    assert approve(request, rosa).status == Status.PENDING
    administration.set_groups(remy, groups=[role], by=ada)
    request.refresh_from_db()
    assert request.status == Status.APPROVED
    assert OutboxEntry.objects.open().get().request == request


def test_the_inbox_calls_others_when_an_approver_is_deactivated(
    rita: User, rosa: User, ada: User, production: Target
) -> None:
    make_policy("*credit*", production, (1, "risk"), (1, "leads"))
    rik, ria = make_person("Rik Risk", "reviewer", "risk"), make_person("Ria Risk", "reviewer", "risk")
    request = approve(make_request(make_version("credit_risk"), production, by=rita), rik)
    assert not inbox.tab("waiting", ria).exists()
    administration.set_active(rik, is_active=False, by=ada)
    assert inbox.tab("waiting", ria).get() == request


def test_evidence_that_changed_sends_the_request_back_to_review(rita: User, remy: User, staging: Target) -> None:
    version = make_version()
    request = make_request(version, staging, by=rita)
    ModelVersion.objects.filter(pk=version.pk).update(metrics={"auc_roc": 0.1})
    request.refresh_from_db()
    assert "metric auc_roc" in request_state.of(request, remy).actions["approve"].reason
    with pytest.raises(Conflict, match="changed in MLflow since you opened it"):
        approve(request, remy)
    event = AuditEvent.objects.get(action=Action.REQUEST_REOPENED)
    assert (event.data["changed"], event.data["parts"]) == (["metric auc_roc"], ["metrics"])
    request.refresh_from_db()
    assert approve(request, remy).status == Status.APPROVED


@pytest.mark.parametrize("metrics", [{"auc_roc": 0.9, "recall": 0.5}, {}], ids=["a new one", "one less"])
def test_a_metric_logged_or_missing_after_the_request_sends_it_back(
    rita: User, remy: User, staging: Target, metrics: dict[str, float]
) -> None:
    version = make_version()
    request = make_request(version, staging, by=rita)
    ModelVersion.objects.filter(pk=version.pk).update(metrics=metrics)
    request.refresh_from_db()
    with pytest.raises(Conflict, match="changed in MLflow since you opened it"):
        approve(request, remy)
    assert AuditEvent.objects.get(action=Action.REQUEST_REOPENED).data["parts"] == ["metrics"]


def test_the_holder_of_production_cannot_be_moved_back_to_staging(rita: User, staging: Target) -> None:
    with pytest.raises(Invalid, match="it would leave Production"):
        make_request(make_version(stage=Stage.PRODUCTION), staging, by=rita)


def test_a_version_whose_run_is_not_read_yet_waits(rita: User, staging: Target) -> None:
    with pytest.raises(Invalid, match="has not been read from MLflow yet"):
        make_request(make_version(facts_at=None), staging, by=rita)


def test_a_name_cannot_pose_as_two_people(rita: User, staging: Target) -> None:
    eve = make_person(
        "Rosa Lind <rosa@example.com>, Eve\nZoe",
        "reviewer",
    )
    request = approve(make_request(make_version(), staging, by=rita), eve)
    assert workflow.approver_labels(request) == ["Rosa Lind rosa@example.com Eve Zoe <rosa@example.com>"]


def test_move_refuses_what_is_not_legal(rita: User, production: Target) -> None:
    request = make_request(make_version(), production, by=rita)
    assert PromotionRequest.objects.filter(pk=request.pk).move(Status.APPLIED) == 0
    request.refresh_from_db()
    assert request.status == Status.PENDING
