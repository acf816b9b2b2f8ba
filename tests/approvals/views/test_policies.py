"""The policies page and the targets on it: what it says, and who may change what."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals import policy as rules
from approvals.models import Action, AuditEvent, Policy, Target
from approvals.selectors.policy_overview import sentence
from tests.support.factories import make_person, make_policy, make_request, make_rule, make_version
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
URL = "/policies/"


@pytest.fixture
def admin(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def test_the_policies_that_came_with_the_installation_say_so(
    admin: Client, production: Target, staging: Target
) -> None:
    make_policy("fraud_*", production, (1, None))
    shown = text_of(admin.get(URL).content.decode())
    assert (
        shown.count("the default policy, created at installation") == Policy.objects.filter(model_pattern="*").count()
    )
    assert "by Countersign upgrade" not in shown
    assert re.search(r"Version 1 , saved [^;]* by ", shown)
    came = Policy.objects.filter(model_pattern="*").first()
    assert came
    assert "The default policy, created at installation" in text_of(
        admin.get(f"{URL}{came.pk}/versions/").content.decode()
    )


# --- What it says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            rules.Rule("x", (rules.SlotRule(1, "risk"), rules.SlotRule(1)), True, 14),
            "2 approvals: 1 from risk and 1 from any reviewer; approvals need a comment; requests stay open for "
            "14 days",
        ),
        (
            make_rule("x", metrics=(rules.MetricRule("auc", tolerance="1 %"), rules.MetricRule("*", tolerance="0.1"))),
            "1 approval from any reviewer; judged by auc within 1 % and all other metrics within 0.1; requests stay "
            "open for 14 days",
        ),
        (rules.Rule("", (rules.SlotRule(1),), False, 1), "1 approval from any reviewer; requests stay open for 1 day"),
    ],
)
def test_a_policy_is_one_sentence(rule: rules.Rule, expected: str) -> None:
    assert sentence(rule) == expected


def test_policies_stand_by_target_with_the_most_specific_first(admin: Client, production: Target) -> None:
    for pattern in ("churn_*", "churn_predictor", "ch*"):
        make_policy(pattern, production, (1, None))
    chapters = {chapter.target.name: chapter for chapter in admin.get(URL).context["chapters"]}
    patterns = [meaning.policy.model_pattern for meaning in chapters["Production"].meanings]
    assert patterns == ["churn_predictor", "churn_*", "ch*", "*"]
    assert list(chapters) == ["Staging", "Production"]


def test_who_is_eligible_now_is_named_slot_by_slot(admin: Client, production: Target, remy: User) -> None:
    make_person("Rosa Lind", "reviewer", "risk")
    make_person("Nora Berg", "risk")
    make_person("Otto Falk", "reviewer", "risk", is_active=False)
    make_policy("churn_*", production, (1, "risk"), (1, None))
    meaning = admin.get(URL).context["chapters"][1].meanings[0]
    assert [(line.source, line.names) for line in meaning.eligible] == [
        ("risk", ["Rosa Lind"]),
        ("Any reviewer", ["Remy Ortiz", "Rosa Lind"]),
    ]
    assert meaning.shortage == ""


def test_a_policy_that_can_never_be_met_says_who_is_missing(admin: Client, production: Target, remy: User) -> None:
    make_policy("churn_*", production, (2, "risk"))
    page = admin.get(URL).content.decode()
    assert "This policy cannot be met: it needs 2 approvals from risk (0 eligible)" in page
    assert "No eligible reviewers." in page


def test_open_requests_stand_under_the_policy_they_were_made_under(
    admin: Client, production: Target, rita: User
) -> None:
    request = make_request(make_version("churn_predictor"), production, by=rita)
    policy = make_policy("churn_*", production, (1, None))
    meanings = {m.policy.pk: m for m in admin.get(URL).context["chapters"][1].meanings}
    assert meanings[policy.pk].open_requests == []
    assert [m.open_requests for m in meanings.values() if m.policy.model_pattern == "*"] == [[request.pk]]


def test_a_policy_that_never_applies_is_called_out(admin: Client, production: Target) -> None:
    make_policy("churn_*", production, (1, None))
    anything = Policy.objects.get(target=production, model_pattern="*")
    assert "never applies" not in admin.get(URL).content.decode()
    admin.post(f"/policies/{anything.pk}/move/", {"to": "up"})
    assert "This policy never applies: <code>*</code> comes first" in admin.get(URL).content.decode()


def test_a_target_without_policies_says_what_applies(admin: Client) -> None:
    Target.objects.create(name="UAT", alias="uat")
    needs = "UAT for any model needs 2 approvals from any reviewer; requests stay open for 14 days: no policy matches."
    assert needs in admin.get(URL).content.decode()


def test_the_tester_says_which_policy_applies_and_why(admin: Client, production: Target) -> None:
    make_policy("churn_*", production, (1, "risk"))
    make_version("churn_predictor")
    Target.objects.create(name="UAT", alias="uat")
    response = admin.get(f"{URL}?model=churn_predictor")
    assert {a.target.name: (a.sentence.split(";")[0], a.rule.why) for a in response.context["applications"]} == {
        "Staging": (
            "1 approval from any reviewer",
            "The policy for * applies to churn_predictor: the only one that matches.",
        ),
        "Production": (
            "1 approval from risk",
            "The policy for churn_* applies to churn_predictor: the first of 2 that match.",
        ),
        "UAT": ("2 approvals from any reviewer", rules.FALLBACK.why),
    }
    assert "MLflow has no model with this name yet" not in response.content.decode()
    assert "MLflow has no model with this name yet" in admin.get(f"{URL}?model=other").content.decode()


def test_the_number_of_queries_does_not_grow_with_policies_people_or_requests(
    admin: Client, production: Target, rita: User
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert admin.get(URL).status_code == 200
        return len(queries)

    def add(number: int) -> None:
        make_policy(f"model_{number}", production, (1, f"group_{number}"), (1, None))
        make_person(f"P{number} Berg", "reviewer", f"group_{number}")
        make_request(make_version(f"model_{number}"), production, by=rita)

    add(0)
    few = count()
    for number in range(1, 9):
        add(number)
    assert count() == few


# --- Who may ----------------------------------------------------------------------------------------------------------

PAGES = [
    "/policies/new/",
    "/policies/{policy}/",
    "/policies/{policy}/retire/",
    "/targets/new/",
    "/targets/{target}/",
    "/targets/{target}/retire/",
]


@pytest.mark.parametrize("role", ["requester", "reviewer", "auditor", "administrator"])
def test_everyone_reads_and_administrators_alone_change(client: Client, production: Target, role: str) -> None:
    client.force_login(make_person("Nora Berg", role))
    policy = make_policy("churn_*", production, (1, None))
    may = role == "administrator"
    page = client.get(URL)
    assert page.status_code == 200
    assert ("Add policy" in page.content.decode()) is may
    assert ("Only administrators can change targets and policies." in page.content.decode()) is not may
    for address in PAGES:
        url = address.format(policy=policy.pk, target=production.pk)
        response = client.get(url)
        assert response.status_code == (200 if may else 403), url
        if not may:
            assert "Only administrators can change targets and policies." in response.content.decode()
            assert client.post(url).status_code == 403
    if not may:
        assert not AuditEvent.objects.exists()


# --- Targets ----------------------------------------------------------------------------------------------------------


def test_a_new_target_leads_to_its_policy(admin: Client) -> None:
    assert (
        "Until then a request for it needs 2 approvals from any reviewer" in admin.get("/targets/new/").content.decode()
    )
    response = admin.post("/targets/new/", {"name": "UAT", "alias": "uat", "position": 15}, follow=True)
    target = Target.objects.get(name="UAT")
    assert response.redirect_chain == [(f"/policies/new/?target={target.pk}", 302)]
    assert response.context["form"]["target"].value() == str(target.pk)
    assert "The target UAT was added." in response.content.decode()
    assert AuditEvent.objects.latest("sequence").action == Action.TARGET_CREATED


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({}, "stage", "Choose a stage, name an alias, or both."),
        ({"alias": "latest"}, "alias", "MLflow reserves"),
        ({"alias": "v12"}, "alias", "MLflow reserves"),
        ({"alias": "my alias"}, "alias", "Use letters"),
        ({"alias": "champion"}, "alias", "The target Production already has this alias."),
        ({"stage": "Staging"}, "stage", "The target Staging already has this stage."),
        ({"stage": "Archived"}, "stage", "Select a valid choice."),
        ({"alias": "uat", "archives_existing": "on"}, "archives_existing", "Only a stage can archive."),
        ({"alias": "uat", "name": "production"}, "name", "A target with this name already exists."),
    ],
)
def test_a_target_that_makes_no_sense_comes_back_with_a_message_on_the_field(
    admin: Client, fields: dict[str, Any], field: str, message: str
) -> None:
    response = admin.post("/targets/new/", {"name": "UAT", "position": 15} | fields)
    assert response.status_code == 422
    assert message in str(response.context["form"].errors[field])
    assert Target.objects.count() == 2


def test_a_target_is_changed(admin: Client, staging: Target) -> None:
    data = {"name": "Staging", "stage": "Staging", "alias": "candidate", "position": 10, "description": "For tests."}
    assert admin.post(f"/targets/{staging.pk}/", data).headers["Location"] == URL
    staging.refresh_from_db()
    assert (staging.alias, staging.description) == ("candidate", "For tests.")


def test_what_is_enforced_in_mlflow_is_said_with_each_policy(admin: Client, production: Target) -> None:
    assert "Enforced in MLflow." not in admin.get(URL).content.decode()
    data = {"name": "Production", "stage": "Production", "alias": "champion", "archives_existing": "on", "position": 20}
    admin.post(f"/targets/{production.pk}/", data | {"enforcement": "enforce"})
    production.refresh_from_db()
    assert production.enforcement == "enforce"
    page = " ".join(admin.get(f"{URL}?model=churn_predictor").content.decode().split())
    assert page.count("requests stay open for 14 days. Enforced in MLflow.") == 2  # the policy, and which one applies
    assert "A change made there directly is refused, with a link to request it." in page
    admin.post(f"/targets/{production.pk}/", data)  # a form from before there was the field
    production.refresh_from_db()
    assert production.enforcement == "enforce"


def test_a_target_with_open_requests_keeps_its_meaning_and_stays(admin: Client, staging: Target, rita: User) -> None:
    request = make_request(make_version(), staging, by=rita)
    data = {"name": "Staging", "stage": "", "alias": "candidate", "position": 10}
    response = admin.post(f"/targets/{staging.pk}/", data)
    assert response.status_code == 422
    assert "This target has open requests" in response.content.decode()
    assert f'href="{request.get_absolute_url()}"' in admin.get(f"/targets/{staging.pk}/retire/").content.decode()
    admin.post(f"/targets/{staging.pk}/retire/")
    staging.refresh_from_db()
    assert (staging.stage, staging.retired_at) == ("Staging", None)


def test_a_retired_target_is_gone_from_the_page_and_its_name_stays_taken(admin: Client, staging: Target) -> None:
    admin.post(f"/targets/{staging.pk}/retire/")
    assert [chapter.target.name for chapter in admin.get(URL).context["chapters"]] == ["Production"]
    response = admin.post("/targets/new/", {"name": "Staging", "stage": "Staging", "position": 10})
    assert "It is retired; the history still shows the name." in str(response.context["form"].errors["name"])
