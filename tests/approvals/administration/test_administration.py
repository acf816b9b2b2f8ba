"""The administrators' verbs: who may, what is refused, and what stands in the ledger afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group

from accounts.models import User
from approvals import administration, ledger, workflow
from approvals.ledger import sentences
from approvals.models import Action, AuditEvent, Enforcement, Policy, Target
from approvals.policy import CheckRule, ReminderRule, Rule, SignatureRule
from approvals.selectors import rules
from tests.support.factories import make_person, make_policy, make_request, make_rule, make_version

pytestmark = pytest.mark.django_db


def last() -> AuditEvent:
    return AuditEvent.objects.latest("sequence")


def group(name: str) -> Group:
    return Group.objects.get_or_create(name=name)[0]


VERBS: dict[str, Callable[[User], Any]] = {
    "save_policy": lambda by: administration.save_policy(
        Policy(target=Target.objects.get(name="Staging")), make_rule("x"), by=by
    ),
    "move_policy": lambda by: administration.move_policy(
        make_policy("zebra_*", Target.objects.get(name="Staging"), (1, None)), up=False, by=by
    ),
    "retire_policy": lambda by: administration.retire_policy(Policy.objects.all()[:1].get(), by=by),
    "save_target": lambda by: administration.save_target(Target(name="UAT", alias="uat"), by=by),
    "retire_target": lambda by: administration.retire_target(Target.objects.get(name="Staging"), by=by),
    "invite": lambda by: administration.invite(email="new@example.com", name="Nora Berg", groups=[], by=by),
    "set_groups": lambda by: administration.set_groups(by, groups=[group("auditor")], by=by),
    "set_person": lambda by: administration.set_person(
        by, groups=[group("administrator")], mlflow_names=["x"], is_service_account=False, by=by
    ),
    "set_active": lambda by: administration.set_active(by, is_active=False, by=by),
    "add_group": lambda by: administration.add_group("risk", by=by),
    "record_export": lambda by: administration.record_export(by=by, filters={}),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("role", ["requester", "reviewer", "auditor", "administrator", "deactivated"])
def test_who_may(verb: str, role: str) -> None:
    make_person("Ada Brandt", "administrator")
    by = make_person("Nora Berg", "administrator" if role == "deactivated" else role, is_active=role != "deactivated")
    by.email = "nora@example.com"
    if role == "administrator" or (role == "auditor" and verb == "record_export"):
        VERBS[verb](by)
        assert last().actor == by
        return
    with pytest.raises(workflow.NotAllowed, match=r"^(Only .*|Your account was deactivated, .*)\.$"):
        VERBS[verb](by)
    assert not AuditEvent.objects.exists()


# --- Policies ---------------------------------------------------------------------------------------------------------


def test_a_new_policy_is_saved_as_version_one_and_recorded(ada: User, production: Target) -> None:
    rule = make_rule("churn_*", (2, "risk", "metrics"), (1, None), requires_reason=True, open_for_days=3)
    policy = administration.save_policy(Policy(target=production), rule, by=ada)
    assert Rule.from_json(policy.terms) == rule
    (version,) = policy.versions.all()
    assert (version.number, version.terms, version.saved_by, version.saved_as) == (1, rule.terms(), ada, ada.label)
    event = last()
    assert (event.action, event.actor, event.target_name) == (Action.POLICY_CREATED, ada, "Production")
    assert event.data == {
        "before": {},
        "after": {"policy_id": policy.pk, "version": 1, "position": 1, "terms": rule.terms()},
    }


def test_a_changed_policy_is_a_new_version_and_recorded_with_before_and_after(ada: User, production: Target) -> None:
    policy = make_policy("churn_*", production, (1, "risk"))
    before = policy.terms
    administration.save_policy(policy, make_rule("churn_*", (2, None), open_for_days=7), by=ada)
    assert list(policy.versions.order_by("number").values_list("number", "saved_by")) == [(1, None), (2, ada.pk)]
    assert policy.versions.get(number=1).terms == before
    event = last()
    assert event.action == Action.POLICY_CHANGED
    assert (event.data["before"]["terms"], event.data["before"]["version"]) == (before, 1)
    assert event.data["after"]["version"] == 2
    assert event.data["after"]["terms"]["open_for_days"] == 7


def test_saving_what_stands_already_makes_no_version(ada: User, production: Target) -> None:
    policy = make_policy("churn_*", production, (1, "risk"))
    administration.save_policy(policy, Rule.from_json(policy.terms), by=ada)
    assert policy.versions.count() == 1
    assert not AuditEvent.objects.exists()


def test_a_new_policy_takes_its_place_before_less_specific_ones(ada: User, production: Target) -> None:
    for pattern in ("churn_*", "churn_predictor", "fraud_*"):
        administration.save_policy(Policy(target=production), make_rule(pattern), by=ada)
    order = Policy.objects.current().filter(target=production).values_list("model_pattern", "position")
    assert list(order) == [("churn_predictor", 1), ("churn_*", 2), ("fraud_*", 3), ("*", 4)]


def test_a_policy_moves_one_place_and_another_applies(ada: User, production: Target) -> None:
    churn = make_policy("churn_*", production, (1, None))
    make_policy("*_predictor", production, (3, None))
    order = Policy.objects.current().filter(target=production).values_list("model_pattern", flat=True)
    assert list(order.all()) == ["*_predictor", "churn_*", "*"]
    assert rules.rule_for("churn_predictor", production).approvals == 3
    administration.move_policy(churn, up=True, by=ada)
    assert list(order.all()) == ["churn_*", "*_predictor", "*"]
    assert rules.rule_for("churn_predictor", production).approvals == 1
    assert last().data == {"before": ["*_predictor", "churn_*", "*"], "after": ["churn_*", "*_predictor", "*"]}
    before = AuditEvent.objects.count()
    administration.move_policy(churn, up=True, by=ada)  # it is the first
    assert AuditEvent.objects.count() == before


def test_an_open_request_keeps_the_version_it_was_made_under(ada: User, rita: User, production: Target) -> None:
    policy = make_policy("churn_*", production, (1, None))
    request = make_request(make_version("churn_predictor"), production, by=rita)
    administration.save_policy(policy, make_rule("churn_*", (3, None)), by=ada)
    request.refresh_from_db()
    assert (request.rule["policy_version"], request.rule["slots"][0]["approvals"]) == (1, 1)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(model_pattern="new", slots=()), "at least one approval"),
        (make_rule("*"), "already a policy for this pattern"),
        (make_rule("  "), "Enter a model name"),
        (make_rule("new", open_for_days=0), "1 to 365 days"),
        (make_rule("new", (1, None, "weather")), "no part of the evidence called 'weather'"),
        (make_rule("new", (0, None)), "1 to 20 approvals"),
        (make_rule("new", checks=(CheckRule("astrology"),)), "no check called 'astrology'"),
        (make_rule("new", checks=(CheckRule("metric_threshold", settings={"metric": "auc"}),)), "at least or at most"),
        (make_rule("new", checks=(CheckRule("version_ready", effect="shout"),)), "block, warn or inform"),
        (make_rule("new", reminders=ReminderRule(escalate_after_hours=4)), "hours and a group"),
        (make_rule("new", signature=SignatureRule(within_minutes=0)), "1 to 1,440 minutes"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_and_nothing_is_recorded(
    ada: User, production: Target, rule: Rule, message: str
) -> None:
    with pytest.raises(workflow.Invalid, match=message):
        administration.save_policy(Policy(target=production), rule, by=ada)
    assert Policy.objects.count() == 2
    assert not AuditEvent.objects.exists()


def test_a_retired_policy_is_recorded_once_and_frees_its_pattern(ada: User, production: Target) -> None:
    policy = make_policy("churn_*", production, (1, None))
    administration.retire_policy(policy, by=ada)
    administration.retire_policy(policy, by=ada)
    assert AuditEvent.objects.filter(action=Action.POLICY_RETIRED).count() == 1
    administration.save_policy(Policy(target=production), make_rule("churn_*"), by=ada)
    assert Policy.objects.filter(model_pattern="churn_*").count() == 2


# --- Targets ----------------------------------------------------------------------------------------------------------


def test_an_alias_only_target_is_added(ada: User) -> None:
    target = administration.save_target(Target(name="UAT", alias="uat"), by=ada)
    assert target.meaning == "alias @uat"
    event = last()
    assert (event.action, event.target_name, event.data["after"]["meaning"]) == (
        Action.TARGET_CREATED,
        "UAT",
        "alias @uat",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "UAT"},
        {"name": "UAT", "alias": "latest"},
        {"name": "UAT", "alias": "v7"},
        {"name": "UAT", "alias": "with space"},
        {"name": "UAT", "alias": "champion"},
        {"name": "UAT", "stage": "Production"},
        {"name": "UAT", "alias": "uat", "archives_existing": True},
        {"name": "Production", "alias": "uat"},
    ],
)
def test_a_target_that_makes_no_sense_is_refused(ada: User, fields: dict[str, Any]) -> None:
    with pytest.raises(workflow.Invalid):
        administration.save_target(Target(**fields), by=ada)
    assert Target.objects.count() == 2
    assert not AuditEvent.objects.exists()


def test_the_meaning_of_a_target_cannot_change_under_open_requests(ada: User, rita: User, staging: Target) -> None:
    make_request(make_version(), staging, by=rita)
    staging.alias = "candidate"
    with pytest.raises(workflow.Invalid, match="open"):
        administration.save_target(staging, by=ada)
    staging.refresh_from_db()
    assert staging.alias == ""
    staging.description = "Integration tests."
    administration.save_target(staging, by=ada)
    assert last().data["after"]["description"] == "Integration tests."


def test_enforcement_is_changed_under_open_requests_and_stands_in_the_history(
    ada: User, rita: User, staging: Target
) -> None:
    make_request(make_version(), staging, by=rita)
    staging.enforcement = Enforcement.ENFORCE
    administration.save_target(staging, by=ada)
    assert sentences.sentence(last()) == "changed the target Staging: enforced in MLflow"
    staging.description = "Integration tests."
    administration.save_target(staging, by=ada)
    assert sentences.sentence(last()) == "changed the target Staging"
    staging.enforcement = "sometimes"
    with pytest.raises(workflow.Invalid):
        administration.save_target(staging, by=ada)


def test_retiring_a_target_retires_its_policies_and_records_each(ada: User, staging: Target) -> None:
    make_policy("churn_*", staging, (1, None))
    administration.retire_target(staging, by=ada)
    assert not Policy.objects.filter(target=staging, retired_at=None).exists()
    actions = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
    assert actions == [Action.POLICY_RETIRED, Action.POLICY_RETIRED, Action.TARGET_RETIRED]


def test_a_target_with_open_requests_stays(ada: User, rita: User, staging: Target) -> None:
    make_request(make_version(), staging, by=rita)
    with pytest.raises(workflow.Invalid, match="open"):
        administration.retire_target(staging, by=ada)
    staging.refresh_from_db()
    assert staging.retired_at is None


# --- People -----------------------------------------------------------------------------------------------------------


def test_names_in_mlflow_and_the_kind_of_account_are_recorded(ada: User, remy: User) -> None:
    kept = list(remy.groups.all())
    administration.set_person(remy, groups=kept, mlflow_names=["rortiz"], is_service_account=False, by=ada)
    remy.refresh_from_db()
    assert remy.known_as == {"remy@example.com", "remy", "remy ortiz", "rortiz"}
    assert last().action == Action.PERSON_IDENTIFIED
    with pytest.raises(workflow.Invalid, match="can never sign"):
        administration.set_person(remy, groups=kept, mlflow_names=[], is_service_account=True, by=ada)
    administration.set_person(
        remy, groups=[group("requester")], mlflow_names=[], is_service_account=True, owner=ada, by=ada
    )
    remy.refresh_from_db()
    assert remy.is_service_account


def test_an_invited_person_has_roles_and_no_password(ada: User) -> None:
    person = administration.invite(
        email="Nora@Example.com", name=" Nora Berg ", groups=[group("reviewer"), group("risk")], by=ada
    )
    assert person.label == "Nora Berg <nora@example.com>"
    assert not person.has_usable_password()
    number = User.objects.get(email="nora@example.com").pk
    assert last().data == {
        "person": "Nora Berg <nora@example.com>",
        "person_id": number,
        "groups": ["reviewer", "risk"],
    }


@pytest.mark.parametrize(
    ("email", "name", "message"),
    [("ADA@example.com", "Ada Two", "already a person"), ("nora@example.com", "  ", "full name")],
)
def test_an_invitation_without_name_or_to_a_known_address_is_refused(
    ada: User, email: str, name: str, message: str
) -> None:
    with pytest.raises(workflow.Invalid, match=message):
        administration.invite(email=email, name=name, groups=[], by=ada)
    assert User.objects.count() == 1


def test_changed_roles_are_recorded_and_unchanged_ones_are_not(ada: User, rita: User) -> None:
    administration.set_groups(rita, groups=[group("requester"), group("risk")], by=ada)
    assert last().action == Action.PERSON_CHANGED
    told = {"person": rita.label, "person_id": rita.pk}
    assert last().data == {**told, "before": ["requester"], "after": ["requester", "risk"]}
    administration.set_groups(rita, groups=[group("requester"), group("risk")], by=ada)
    assert AuditEvent.objects.count() == 1


def test_the_last_administrator_cannot_give_the_role_away(ada: User) -> None:
    with pytest.raises(workflow.Invalid, match="one administrator is required"):
        administration.set_groups(ada, groups=[], by=ada)
    assert [found.name for found in ada.groups.all()] == ["administrator"]


def test_the_last_active_administrator_cannot_be_deactivated(ada: User) -> None:
    make_person("Nora Berg", "administrator", is_active=False)
    with pytest.raises(workflow.Invalid, match="one administrator is required"):
        administration.set_active(ada, is_active=False, by=ada)
    ada.refresh_from_db()
    assert ada.is_active
    assert not AuditEvent.objects.exists()


def test_one_of_two_administrators_can_go(ada: User) -> None:
    nora = make_person("Nora Berg", "administrator")
    administration.set_active(ada, is_active=False, by=nora)
    administration.set_active(ada, is_active=False, by=nora)
    assert [event.action for event in AuditEvent.objects.all()] == [Action.PERSON_DEACTIVATED]
    administration.set_active(ada, is_active=True, by=nora)
    assert last().action == Action.PERSON_REACTIVATED


@pytest.mark.parametrize("name", ["", "  ", "RISK", "a|b", "a*", "x" * 151])
def test_a_group_needs_a_name_of_its_own(ada: User, name: str) -> None:
    administration.add_group("risk", by=ada)
    with pytest.raises(workflow.Invalid):
        administration.add_group(name, by=ada)
    assert last().data == {"group": "risk"}


def test_all_of_it_stands_in_an_intact_chain(ada: User) -> None:
    for verb in ("save_policy", "save_target", "invite", "add_group", "record_export"):
        VERBS[verb](ada)
    assert ledger.verify() == ledger.Verdict(events=5)


def test_an_edit_leaves_a_policy_where_it_was_moved_meanwhile(ada: User, staging: Target) -> None:
    make_policy("a*", staging)
    make_policy("b*", staging)
    opened = Policy.objects.get(model_pattern="b*")
    administration.move_policy(Policy.objects.get(model_pattern="b*"), up=True, by=ada)
    administration.save_policy(opened, make_rule("b*", (2, None)), by=ada)
    patterns = [policy.model_pattern for policy in Policy.objects.current().filter(target=staging)]
    assert patterns == ["b*", "a*", "*"]
