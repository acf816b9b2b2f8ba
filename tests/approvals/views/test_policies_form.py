"""The form of a policy: what it saves, its parts, its sentence, its metrics of record, and how nonsense comes back."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from approvals import administration
from approvals import policy as rules
from approvals.models import Action, AuditEvent, Policy, Target
from tests.support.factories import make_person, make_policy, make_request, make_version
from tests.support.pages import text_of
from tests.support.policy_forms import policy_data

pytestmark = pytest.mark.django_db
URL = "/policies/"


@pytest.fixture
def admin(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def test_a_policy_is_added_with_several_slots_without_script(admin: Client, production: Target, remy: User) -> None:
    risk = make_person("Rosa Lind", "reviewer", "risk").groups.get(name="risk")
    response = admin.post(
        "/policies/new/", policy_data(production, " churn_* ", (1, risk.pk), (1, ""), requires_reason="on"), follow=True
    )
    policy = Policy.objects.get(model_pattern="churn_*")
    assert [(slot["approvals"], slot["group"]) for slot in policy.terms["slots"]] == [(1, "risk"), (1, None)]
    assert policy.terms["requires_reason"]
    assert AuditEvent.objects.latest("sequence").action == Action.POLICY_CREATED
    assert (
        "Production of churn_* now needs 2 approvals: 1 from risk and 1 from any reviewer; approvals need a comment; "
        "requests stay open for 14 days." in response.content.decode()
    )


def check_data(place: int, kind: str, **settings: Any) -> dict[str, Any]:
    sent = {"kind": kind, "effect": "block"} | settings
    return {f"checks-{place}-{name}": value for name, value in sent.items()}


def test_a_policy_is_saved_with_everything_that_it_can_ask(admin: Client, production: Target) -> None:
    data = policy_data(
        production,
        "churn_*",
        (2, ""),
        watched_tags="team, owner_*",
        excludes_contributors="on",
        contributor_tags="trained_by",
        files_limit_mb="500",
        reauthenticate="on",
        within_minutes="10",
        asks_meaning="on",
        first_after_hours="12",
        every_hours="24",
        escalate_after_hours="72",
        escalate_to="risk",
    )
    Group.objects.get_or_create(name="risk")
    data |= {"slots-0-looks_at": ["metrics", "champion"]}
    data |= check_data(0, "metric_threshold", metric="auc_roc", at_least="0.9", effect="warn")
    data |= check_data(1, "provenance", keys="owner, training_cutoff")
    data |= check_data(
        2, "metric_regression", metric="mae", dataset="validation", margin="0", margin_is="absolute", direction="auto"
    )
    assert admin.post("/policies/new/", data).status_code == 302
    rule = rules.Rule.from_json(Policy.objects.get(model_pattern="churn_*").terms)
    assert rule == rules.Rule(
        model_pattern="churn_*",
        slots=(rules.SlotRule(2, None, ("metrics", "champion")),),
        checks=(
            rules.CheckRule("metric_threshold", "warn", {"metric": "auc_roc", "at_least": 0.9, "at_most": None}),
            rules.CheckRule("provenance", "block", {"keys": ["owner", "training_cutoff"]}),
            rules.CheckRule(
                "metric_regression",
                "block",
                {"metric": "mae", "dataset": "validation", "margin": 0.0, "margin_is": "absolute", "direction": "auto"},
            ),
        ),
        watched_tags=("team", "owner_*"),
        excludes_contributors=True,
        contributor_tags=("trained_by",),
        files_limit_mb=500,
        allows_findings=False,
        signature=rules.SignatureRule(True, 10, True),
        reminders=rules.ReminderRule(12, 24, 72, "risk"),
    )
    page = admin.get(f"/policies/{Policy.objects.get(model_pattern='churn_*').pk}/").content.decode()
    for text in (
        'value="auc_roc"',
        'value="validation"',
        'value="0.9"',
        'value="owner, training_cutoff"',
        'value="team, owner_*"',
    ):
        assert text in page


def test_a_check_is_added_and_taken_away_without_script(admin: Client, production: Target) -> None:
    policy = make_policy("churn_*", production, (1, None))
    data = policy_data(production, "churn_*", (1, ""))
    more = admin.post(f"/policies/{policy.pk}/", data | {"add_check": "1", "new_check": "data_freshness"})
    assert more.status_code == 200
    assert 'name="checks-0-days"' in more.content.decode()
    kept = check_data(0, "data_freshness", key="training_cutoff", days="30")
    assert admin.post(f"/policies/{policy.pk}/", data | kept).status_code == 302
    policy.refresh_from_db()
    assert policy.terms["checks"] == [
        {"kind": "data_freshness", "effect": "block", "settings": {"key": "training_cutoff", "days": 30}}
    ]
    assert admin.post(f"/policies/{policy.pk}/", data | kept | {"checks-0-is_removed": "on"}).status_code == 302
    policy.refresh_from_db()
    assert policy.terms["checks"] == []


def test_a_check_that_makes_no_sense_comes_back_with_what_was_typed(admin: Client, production: Target) -> None:
    data = policy_data(production, "churn_*", (1, "")) | check_data(0, "metric_threshold", metric="auc", at_least="x")
    answer = admin.post("/policies/new/", data)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "&#x27;x&#x27; is not a number" in page
    assert 'value="auc"' in page
    assert not Policy.objects.filter(model_pattern="churn_*").exists()


def test_the_versions_tell_who_saved_what_and_what_changed(admin: Client, production: Target) -> None:
    policy = make_policy("churn_*", production, (1, None))
    admin.post(
        f"/policies/{policy.pk}/", policy_data(production, "churn_*", (2, ""), open_for_days=7, watched_tags="*")
    )
    answer = admin.get(f"/policies/{policy.pk}/versions/")
    [newest, first] = answer.context["versions"]
    assert (newest.number, newest.saved_as.partition(" <")[0], first.number, first.changes) == (2, "Ada Brandt", 1, [])
    assert {change.label: (change.before, change.after) for change in newest.changes} == {
        "Approvals": (
            "1 approval from any reviewer (looks at everything)",
            "2 approvals from any reviewer (looks at everything)",
        ),
        "A request stays open for": ("14 days", "7 days"),
        "Approval with findings": ("allowed", "not allowed"),
    }
    assert first.lines["A request stays open for"] == "14 days"
    page = " ".join(answer.content.decode().split())
    assert "<del>14 days</del>" in page
    assert "current" in page


def test_the_versions_of_a_retired_policy_stay_readable(client: Client, vera: User, production: Target) -> None:
    policy = make_policy("churn_*", production, (1, None))
    administration.retire_policy(policy, by=None)
    client.force_login(vera)
    answer = client.get(f"/policies/{policy.pk}/versions/")
    assert "This policy is retired." in answer.content.decode()


def test_a_policy_that_was_saved_meanwhile_is_a_conflict_that_keeps_what_was_typed(
    admin: Client, production: Target
) -> None:
    policy = make_policy("churn_*", production, (1, None))
    address = f"/policies/{policy.pk}/"
    assert f'name="seen" value="{policy.version}"' in admin.get(address).content.decode()
    opened = {"seen": policy.version, "allows_findings": "on", "watched_tags": "*"}
    mine = policy_data(production, "churn_*", (3, ""), **opened)
    theirs = policy_data(production, "churn_*", (1, ""), **opened) | {"open_for_days": 5}
    assert admin.post(address, theirs).status_code == 302
    answer = admin.post(address, mine)
    page = " ".join(answer.content.decode().split())
    assert answer.status_code == 409
    assert "Another person has saved version 2 meanwhile; you were editing version 1." in page
    assert [(each.label, each.before, each.after) for each in answer.context["changes"]] == [
        ("A request stays open for", "14 days", "5 days")
    ]
    assert answer.context["slots"].forms[0]["approvals"].value() == "3"
    assert 'name="seen" value="2"' in page
    policy.refresh_from_db()
    assert (policy.version, policy.terms["slots"][0]["approvals"]) == (2, 1)
    assert admin.post(address, mine | {"seen": 2}).status_code == 302
    policy.refresh_from_db()
    assert (policy.version, policy.terms["slots"][0]["approvals"]) == (3, 3)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"escalate_after_hours": "5"}, "Choose the group to notify, or clear the hours."),
        ({"escalate_to": "reviewer"}, "Enter the hours, or choose no group."),
        ({"first_after_hours": "0"}, "greater than or equal to 1"),
    ],
)
def test_half_an_escalation_comes_back(admin: Client, production: Target, sent: dict[str, str], message: str) -> None:
    answer = admin.post("/policies/new/", policy_data(production, "churn_*", (1, "")) | sent)
    assert answer.status_code == 422
    assert message in answer.content.decode()


def test_an_edit_under_open_requests_is_told_on_both_pages(admin: Client, production: Target, rita: User) -> None:
    policy = make_policy("churn_*", production, (1, None))
    first = make_request(make_version("churn_predictor"), production, by=rita)
    make_request(make_version("churn_predictor"), production, by=rita)
    assert "If requested today" not in admin.get(first.get_absolute_url()).content.decode()
    admin.post(f"/policies/{policy.pk}/", policy_data(production, "churn_*", (2, "")))
    assert "2 open requests were made under version 1." in admin.get(URL).content.decode()
    page = " ".join(admin.get(first.get_absolute_url()).content.decode().split())
    assert f'/policies/{policy.pk}/versions/#version-1">version 1 of the policy for' in page
    assert "If requested today, it would use version 2 of the policy for" in page


def test_saving_a_policy_that_cannot_be_met_warns(admin: Client, production: Target) -> None:
    response = admin.post("/policies/new/", policy_data(production, "churn_*", (1, "")), follow=True)
    assert [str(message) for message in response.context["messages"]][1].startswith("This policy cannot be met")


def test_the_form_of_a_policy_shows_its_slots(admin: Client, production: Target) -> None:
    policy = make_policy("churn_*", production, (2, "risk"), (1, None))
    slots = admin.get(f"/policies/{policy.pk}/").context["slots"]
    assert [form["approvals"].value() for form in slots] == [2, 1]


def test_clearing_the_number_takes_a_slot_away(admin: Client, production: Target) -> None:
    policy = make_policy("churn_*", production, (2, "risk"), (1, None))
    data = policy_data(production, "churn_*", ("", Group.objects.get(name="risk").pk), (1, ""))
    assert admin.post(f"/policies/{policy.pk}/", data).status_code == 302
    policy.refresh_from_db()
    assert [(slot["approvals"], slot["group"]) for slot in policy.terms["slots"]] == [(1, None)]


def test_one_more_slot_keeps_what_was_typed_and_names_no_mistake_yet(admin: Client, production: Target) -> None:
    data = policy_data(production, "fraud_*", (2, "")) | {"slots-TOTAL_FORMS": 1, "target": "", "add_slot": "1"}
    page = admin.post("/policies/new/", data)
    assert page.status_code == 200
    assert [form["approvals"].value() for form in page.context["slots"]] == ["2", "1"]
    html = page.content.decode()
    assert 'value="fraud_*"' in html
    assert "This field is required" not in html
    assert "errorlist" not in html
    assert "autofocus" in html
    many = admin.post("/policies/new/", data | {"slots-TOTAL_FORMS": 12})
    assert len(many.context["slots"].forms) == 12
    assert admin.post("/policies/new/", data | {"slots-TOTAL_FORMS": "x"}).status_code == 200
    assert not Policy.objects.filter(model_pattern="fraud_*").exists()


def test_the_sentence_is_the_one_of_the_saved_policy(admin: Client, production: Target) -> None:
    make_person("Nora Berg", "reviewer", "risk")
    risk = Group.objects.get(name="risk").pk
    data = policy_data(production, "fraud_*", (1, risk), (1, ""), open_for_days=7)
    draft = text_of(admin.post("/policies/new/preview/", data).content.decode())
    needs = (
        "Production of fraud_* needs 2 approvals: 1 from risk and 1 from any reviewer; requests stay open for 7 days."
    )
    assert draft.startswith(needs)
    assert "This policy cannot be met" in draft
    assert not Policy.objects.filter(model_pattern="fraud_*").exists()
    shown = admin.post("/policies/new/", data, follow=True)
    assert next(str(message) for message in shown.context["messages"]) == needs.replace("needs", "now needs")
    policy = Policy.objects.get(model_pattern="fraud_*")
    assert needs in text_of(admin.get(f"/policies/{policy.pk}/").content.decode())
    changed = text_of(admin.post(f"/policies/{policy.pk}/preview/", data | {"open_for_days": 1}).content.decode())
    assert "requests stay open for 1 day." in changed


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"target": ""}, "The target of fraud_* needs 1 approval from any reviewer"),
        ({"target": "9" * 30}, "The target of fraud_* needs 1 approval from any reviewer"),
        ({"open_for_days": ""}, "Incomplete: Days a request stays open: This field is required."),
        ({"slots-0-approvals": ""}, "Incomplete: A policy needs at least one approval."),
        ({"slots-0-approvals": "0"}, "Incomplete: Ensure this value is greater than or equal to 1."),
    ],
)
def test_the_sentence_says_what_is_missing(
    admin: Client, production: Target, fields: dict[str, Any], words: str
) -> None:
    data = policy_data(production, "fraud_*", (1, "")) | fields
    answer = admin.post("/policies/new/preview/", data)
    assert (answer.status_code, words in text_of(answer.content.decode())) == (200, True), answer.content.decode()


def test_the_sentence_is_for_administrators(client: Client, rita: User, production: Target) -> None:
    client.force_login(rita)
    assert client.post("/policies/new/preview/", policy_data(production, "fraud_*", (1, ""))).status_code == 403
    assert client.get("/policies/new/preview/").status_code == 405


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"within_minutes": "0"}, "Comment, contributors"),
        ({"files_limit_mb": "-1"}, "Checks and evidence"),
        ({"metrics-TOTAL_FORMS": 1, "metrics-INITIAL_FORMS": 0, "metrics-0-name": "auc", "metrics-0-tolerance": "x"},
         "Checks and evidence"),
        ({"glass_hours": "0"}, "Time limits"),
        ({}, ""),
    ],
)  # fmt: skip
def test_a_mistake_opens_the_part_that_it_is_in(
    admin: Client, production: Target, fields: dict[str, Any], part: str
) -> None:
    page = admin.post("/policies/new/", policy_data(production, "fraud_*", ("", "")) | fields)
    assert page.status_code == 422
    opened = re.findall(
        r"<details class=\"(?:form-part|fold)\" open>\s*<summary>\s*(?:<h2>)?([^<]+)", page.content.decode()
    )
    assert opened[:2] == ["Models and target", "Approvals"]
    assert [each for each in opened[2:] if each.startswith(part)] == opened[2:]
    assert len(opened) == (3 if part else 2)


def test_roles_are_not_offered_as_groups(admin: Client, production: Target) -> None:
    make_person("Nora Berg", "risk")
    (form, *_) = admin.get("/policies/new/").context["slots"]
    assert [str(label) for _, label in form.fields["group"].choices] == ["Any reviewer", "risk"]


@pytest.mark.parametrize(
    ("pattern", "slots", "fields", "message"),
    [
        ("churn_*", [], {}, "A policy needs at least one approval."),
        ("churn_*", [(1, ""), (2, "")], {}, "Two rows name the same group."),
        ("churn_*", [(0, "")], {}, "greater than or equal to 1"),
        ("churn_*", [(1, 4711)], {}, "Select a valid choice."),
        ("*", [(1, "")], {}, "Production already has a policy for this pattern. Change that one."),
        ("", [(1, "")], {}, "This field is required."),
        ("churn_*", [(1, "")], {"open_for_days": 400}, "less than or equal to 365"),
        ("churn_*", [(1, "")], {"target": 4711}, "Select a valid choice."),
    ],
)
def test_a_policy_that_makes_no_sense_comes_back_with_the_reason(
    admin: Client, pattern: str, slots: list[tuple[Any, Any]], fields: dict[str, Any], message: str
) -> None:
    production = Target.objects.get(name="Production")
    response = admin.post("/policies/new/", policy_data(production, pattern, *slots) | fields)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert Policy.objects.count() == 2
    assert not AuditEvent.objects.exists()


def test_retiring_a_policy_asks_first(admin: Client, production: Target) -> None:
    policy = make_policy("churn_*", production, (1, None))
    assert "No open requests use it." in admin.get(f"/policies/{policy.pk}/retire/").content.decode()
    assert Policy.objects.current().contains(policy)
    assert admin.post(f"/policies/{policy.pk}/retire/").headers["Location"] == URL
    assert not Policy.objects.current().contains(policy)
    assert admin.get(f"/policies/{policy.pk}/").status_code == 404


# --- Metrics of record ------------------------------------------------------------------------------------------------


def metric_data(*rows: tuple[str, str, str]) -> dict[str, Any]:
    data: dict[str, Any] = {"metrics-TOTAL_FORMS": len(rows), "metrics-INITIAL_FORMS": 0}
    for place, (name, better, tolerance) in enumerate(rows):
        data |= {
            f"metrics-{place}-name": name,
            f"metrics-{place}-better": better,
            f"metrics-{place}-tolerance": tolerance,
        }
    return data


def saved_metrics(pattern: str) -> tuple[rules.MetricRule, ...]:
    return rules.Rule.from_json(Policy.objects.get(model_pattern=pattern, retired_at=None).terms).metrics


def test_metrics_of_record_are_typed_in_their_order_and_stay_where_no_row_is_sent(
    admin: Client, production: Target
) -> None:
    data = policy_data(production, "churn_*", (1, ""))
    rows = metric_data(("recall", "", "0.50%"), ("", "lower", ""), ("revenue", "higher", "0"), ("*", "", "1 %"))
    assert admin.post("/policies/new/", data | rows).status_code == 302
    kept = (
        rules.MetricRule("recall", "higher", "0.5 %"),
        rules.MetricRule("revenue", "higher", ""),
        rules.MetricRule("*", "", "1 %"),
    )
    assert saved_metrics("churn_*") == kept
    url = f"/policies/{Policy.objects.get(model_pattern='churn_*').pk}/"
    page = admin.get(url).content.decode()
    assert 'value="recall"' in page
    assert 'value="0.5 %"' in page
    assert admin.post(url, data | {"open_for_days": 7}).status_code == 302
    assert saved_metrics("churn_*") == kept
    assert admin.post(url, data | metric_data(("", "", ""))).status_code == 302
    assert saved_metrics("churn_*") == ()
    assert "Metrics of record" in admin.get(f"{url}versions/").content.decode()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("auc", "", "much"), "Write a number such as 0.002, or a percentage such as 0.5 %."),
        (("revenue", "", ""), "Choose one: the name does not say which way is better."),
        (("auc", "sideways", ""), "Select a valid choice"),
        (("auc", "", "200 %"), "more than 100 % would let everything pass"),
    ],
)
def test_a_metric_of_record_that_makes_no_sense_comes_back(
    admin: Client, production: Target, row: tuple[str, str, str], words: str
) -> None:
    answer = admin.post("/policies/new/", policy_data(production, "churn_*", (1, "")) | metric_data(row))
    assert answer.status_code == 422
    assert words in answer.content.decode()
