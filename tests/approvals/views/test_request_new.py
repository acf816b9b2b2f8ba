"""Asking for a promotion: what each target would mean, before anything is sent."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals.models import Action, PromotionRequest, Target
from tests.support.factories import make_person, make_policy, make_request, make_version
from tests.support.pages import text_of
from tests.support.world import hold

pytestmark = pytest.mark.django_db
MODEL = "churn_predictor"
URL = f"/models/{MODEL}/versions/2/promote/"


@pytest.fixture
def two(rita: User, remy: User, rosa: User, production: Target) -> None:
    """Version 1 holds Production; version 2 is worse in ndcg."""
    hold(make_version(MODEL, metrics={"auc_roc": 0.9, "ndcg": 0.5}), production)
    make_version(MODEL, metrics={"auc_roc": 0.95, "ndcg": 0.45})


def see(client: Client, person: User, url: str = URL) -> str:
    client.force_login(person)
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.usefixtures("two")
def test_each_target_shows_rule_people_and_consequences(client: Client, rita: User) -> None:
    text = text_of(see(client, rita))
    assert "Production stage Production and alias @champion version 1 is there now" in text
    assert (
        "2 approvals from any reviewer. The policy for * applies to churn_predictor: the only one that matches." in text
    )
    assert "Who can approve Remy Ortiz, Rosa Lind" in text
    assert "Version 2 gets stage Production and alias @champion. Version 1 is archived." in text
    assert "1 better, 1 worse. ndcg 0.5 → 0.45 −0.05 (−10.0 %) worse" in text
    assert "None: this is the first promotion to Staging." in text


@pytest.mark.usefixtures("two")
def test_the_last_possible_target_is_chosen_unless_the_address_says_another(client: Client, rita: User) -> None:
    assert 'value="Production" checked' in see(client, rita)
    assert 'value="Staging" checked' in see(client, rita, f"{URL}?target=Staging")
    assert 'value="Production" checked' in see(client, rita, f"{URL}?target=Nonsense")


@pytest.mark.usefixtures("two")
def test_asking_makes_the_request_and_leads_to_it(client: Client, rita: User) -> None:
    client.force_login(rita)
    answer = client.post(URL, {"target": "Production", "justification": "Better on segment B."})
    made = PromotionRequest.objects.get()
    assert answer.status_code == 302
    assert answer["Location"] == f"/requests/{made.pk}/"
    assert (made.requester, made.target.name, made.justification) == (rita, "Production", "Better on segment B.")


@pytest.mark.usefixtures("two")
def test_a_missing_reason_is_said_beside_the_field_and_the_choice_is_kept(client: Client, rita: User) -> None:
    client.force_login(rita)
    answer = client.post(URL, {"target": "Staging", "justification": "  "})
    html = answer.content.decode()
    assert answer.status_code == 422
    assert 'id="id_justification_error"' in html
    assert "This field is required." in html
    assert 'value="Staging" checked' in html
    assert not PromotionRequest.objects.exists()


@pytest.mark.usefixtures("two")
def test_what_is_open_already_is_linked_and_asking_again_leads_there(
    client: Client, rita: User, production: Target
) -> None:
    found = PromotionRequest.objects.get(pk=make_request(make_version(MODEL, 3), production, by=rita).pk)
    url = URL.replace("/2/", "/3/")
    html = see(client, rita, url)
    assert f"Request #{found.pk} is already open for this." in text_of(html)
    assert 'value="Production"' not in html
    answer = client.post(url, {"target": "Production", "justification": "Again."})
    assert (answer.status_code, answer.context["request_"]) == (409, found)
    assert f"Request #{found.pk} already asks for this." in text_of(answer.content.decode())
    assert PromotionRequest.objects.count() == 1


@pytest.mark.usefixtures("two")
def test_what_is_impossible_says_why(client: Client, rita: User) -> None:
    html = see(client, rita, URL.replace("/2/", "/1/"))
    assert "Version 1 is already in Production." in text_of(html)
    assert "No target is available for this version" in text_of(html)
    assert "<textarea" not in html


@pytest.mark.usefixtures("two")
def test_a_deleted_version_cannot_be_asked_for(client: Client, rita: User, staging: Target) -> None:
    make_version(MODEL, 4, deleted_at=timezone.now())
    url = URL.replace("/2/", "/4/")
    assert text_of(see(client, rita, url)).count("Version 4 no longer exists in MLflow.") == 2
    answer = client.post(url, {"target": "Staging", "justification": "Please."})
    assert answer.status_code == 422
    assert "Version 4 no longer exists in MLflow." in text_of(answer.content.decode())
    assert not PromotionRequest.objects.exists()


@pytest.mark.usefixtures("two")
def test_a_rule_that_nobody_can_meet_is_called_out_before_it_is_sent(
    client: Client, rita: User, production: Target
) -> None:
    make_policy("churn_*", production, (1, "risk"))
    text = text_of(see(client, rita))
    assert "This policy cannot be met: it needs 1 approval from risk (0 eligible)" in text
    assert "Who can approve no one" in text


@pytest.mark.usefixtures("two")
def test_the_requester_is_not_offered_as_an_approver(client: Client) -> None:
    both = make_person("Kim Both", "requester", "reviewer")
    text = text_of(see(client, both))
    assert "Who can approve Remy Ortiz, Rosa Lind" in text


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("name", ["remy", "vera", "ada"])
def test_people_who_may_not_ask_read_why_instead_of_a_form(
    client: Client, request: pytest.FixtureRequest, name: str
) -> None:
    person: User = request.getfixturevalue(name)
    html = see(client, person)
    assert "You need the requester role to request a promotion." in text_of(html)
    assert "<textarea" not in html
    answer = client.post(URL, {"target": "Production", "justification": "Mine."})
    assert answer.status_code == 403
    assert not PromotionRequest.objects.exists()


def test_an_unknown_version_is_not_found(client: Client, rita: User) -> None:
    client.force_login(rita)
    assert client.get(URL).status_code == 404


# --- Asking a reviewer by name with it


@pytest.mark.usefixtures("two")
def test_a_reviewer_is_asked_by_name_with_the_request(client: Client, rita: User, remy: User, rosa: User) -> None:
    page = see(client, rita)
    assert re.findall(r'<option value="person:(\d+)"[^>]*>\s*([\w ]+\w)', page) == [
        (str(remy.pk), "Remy Ortiz"),
        (str(rosa.pk), "Rosa Lind"),
    ]
    sent = {"target": "Production", "justification": "Better.", "who": f"person:{remy.pk}"}
    assert client.post(URL, sent).status_code == 302
    made = PromotionRequest.objects.get()
    assert [each.person for each in made.nominations.all()] == [remy]
    assert [event.action for event in made.events.order_by("sequence")] == [
        Action.REQUEST_CREATED,
        Action.REVIEWERS_NOMINATED,
    ]


@pytest.mark.usefixtures("two")
def test_who_cannot_review_it_makes_no_request_and_what_was_typed_stays(
    client: Client, rita: User, rosa: User, vera: User, production: Target
) -> None:
    risa = make_person("Risa Kern", "reviewer", "risk")
    make_policy(MODEL, production, (1, "risk"))
    page = see(client, rita)
    assert '<optgroup label="Groups">' in page
    assert f'value="person:{rosa.pk}"' in page  # for Staging she can
    sent = {"target": "Production", "justification": "Better."}
    for who, refusal in (
        (f"person:{rosa.pk}", "Rosa Lind cannot give what is missing: 1 approval from risk."),
        (f"person:{vera.pk}", "Vera Holm cannot review: that needs an active account with the reviewer role."),
        ("person:999999", "This person does not exist any more."),
        ("group:legal", "No missing approval has to come from the group legal."),
        ("dog:1", "Select a valid choice."),
    ):
        answer = client.post(URL, sent | {"who": who})
        assert answer.status_code == 422
        assert refusal in text_of(answer.content.decode())
        assert "Better.</textarea>" in answer.content.decode()
    assert not PromotionRequest.objects.exists()
    assert client.post(URL, sent | {"who": "group:risk"}).status_code == 302
    assert PromotionRequest.objects.get().nominations.get().group == "risk"
    assert risa.is_active


@pytest.mark.usefixtures("two")
def test_a_reviewer_who_fits_stays_chosen_when_something_else_is_wrong(client: Client, rita: User, remy: User) -> None:
    client.force_login(rita)
    answer = client.post(URL, {"target": "Production", "justification": "", "who": f"person:{remy.pk}"})
    assert answer.status_code == 422
    assert re.search(rf'<option value="person:{remy.pk}"\s+selected', answer.content.decode())
