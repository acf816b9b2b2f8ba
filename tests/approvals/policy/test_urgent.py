"""What a policy says about roll back, break-glass, probation and bypass: form, file, words."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from approvals.administration import policy_files
from approvals.models import Policy, Target
from approvals.policy import BreakGlassRule, OnBypass, ProbationRule, RollbackRule, Rule
from approvals.selectors import policy_history
from tests.support.factories import make_policy, make_rule
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
STRICT = {
    "on_bypass": "put_back",
    "rollback_approvals": "2",
    "rollback_group": "risk",
    "rollback_alone": "no",
    "glass_allowed": "no",
    "glass_hours": "8",
    "probation_hours": "24",
}
RULE = {
    "on_bypass": OnBypass.PUT_BACK,
    "rollback": RollbackRule(2, "risk", permission_suffices=False),
    "break_glass": BreakGlassRule(is_allowed=False, review_within_hours=8),
    "probation": ProbationRule(24),
}


@pytest.fixture(autouse=True)
def risk(db: None) -> Group:
    return Group.objects.create(name="risk")


def form(target: Target, **more: str) -> dict[str, str]:
    return {
        "target": str(target.pk),
        "model_pattern": "churn_*",
        "open_for_days": "14",
        "slots-TOTAL_FORMS": "1",
        "slots-INITIAL_FORMS": "0",
        "slots-0-approvals": "1",
        "slots-0-group": "",
        **more,
    }


def rule_of(pattern: str = "churn_*") -> Rule:
    return Rule.from_json(Policy.objects.get(model_pattern=pattern, retired_at=None).terms)


def test_the_form_writes_all_of_it_and_shows_it_again(ada: User, production: Target) -> None:
    client = Client()
    client.force_login(ada)
    assert client.post("/policies/new/", form(production, **STRICT)).status_code == 302
    rule = rule_of()
    assert {name: getattr(rule, name) for name in RULE} == RULE
    saved = Policy.objects.get(model_pattern="churn_*")
    shown = client.get(f"/policies/{saved.pk}/").context["form"]
    assert {name: str(shown[name].value()) for name in STRICT} == STRICT


def test_what_is_not_sent_stays_as_it_was_but_the_probation(ada: User, production: Target) -> None:
    saved = make_policy("churn_*", production, (1, None), **RULE)
    client = Client()
    client.force_login(ada)
    assert client.post(f"/policies/{saved.pk}/", form(production, seen=str(saved.version))).status_code == 302
    rule = rule_of()
    assert {name: getattr(rule, name) for name in RULE} == RULE | {"probation": ProbationRule()}


@pytest.mark.parametrize("name", ["rollback_approvals", "glass_hours", "probation_hours"])
def test_nonsense_is_refused(ada: User, production: Target, name: str) -> None:
    client = Client()
    client.force_login(ada)
    assert client.post("/policies/new/", form(production, **{name: "0"})).status_code == 422
    assert not Policy.objects.filter(model_pattern="churn_*").exists()


def test_the_file_carries_it_there_and_back(production: Target) -> None:
    make_policy("churn_*", production, (1, None), **RULE)
    written = policy_files.export()
    for words in ("on_bypass: put_back", "permission_suffices: false", "is_allowed: false", "hours: 24"):
        assert words in written
    Policy.objects.filter(model_pattern="churn_*").update(terms=make_rule("churn_*").terms())
    policy_files.apply(policy_files.read(written.encode()))
    rule = rule_of()
    assert {name: getattr(rule, name) for name in RULE} == RULE


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("on_bypass: ignore", "'ignore' is no answer to a change outside Countersign"),
        ("rollback: {approvals: 0}", "1 to 20 approvals"),
        ("rollback: {group: nobody}", "no group called 'nobody'"),
        ("break_glass: {is_allowed: maybe}", "true or false"),
        ("probation: {hours: 0}", "A probation lasts"),
        ("probation: {days: 1}", "days"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_its_line(line: str, words: str) -> None:
    source = f"policies:\n  Production:\n  - model_pattern: x\n    slots: [{{approvals: 1}}]\n    {line}\n"
    with pytest.raises(policy_files.BadFile, match=words) as caught:
        policy_files.read(source.encode())
    assert str(caught.value).startswith("Line ")


def test_what_changed_is_said_in_words() -> None:
    before, after = make_rule("churn_*"), make_rule("churn_*", **RULE)
    changes = {
        each.label: (each.before, each.after) for each in policy_history.differences(before.terms(), after.terms())
    }
    assert changes == {
        "A change outside Countersign": ("reported", "reverted"),
        "A rollback needs": (
            "1 approval from any reviewer, or the permission to roll back",
            "2 approvals from risk",
        ),
        "Emergency promotion": ("allowed, reviewed within 24 hours", "not allowed (within 8 hours)"),
        "A promotion is provisional for": ("no time: it is final", "24 hours"),
    }


def test_the_page_of_policies_says_it(ada: User, production: Target) -> None:
    make_policy("churn_*", production, (1, None), **RULE)
    client = Client()
    client.force_login(ada)
    text = text_of(client.get("/policies/").content.decode())
    assert (
        "A change outside Countersign is reverted. A rollback needs 2 approvals from risk. Emergency promotions "
        "are not allowed. "
        "A promotion is provisional for 24 hours."
    ) in text
