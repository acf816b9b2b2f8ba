"""The short address in MLflow's refusal: to the form with the right target, or a page that waits for the mirror."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from approvals.models import Enforcement, Target
from mirror.models import RefreshHint
from tests.support.factories import make_request, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def asker(client: Client, rita: User) -> Client:
    client.force_login(rita)
    return client


def leads_to(client: Client, address: str, **headers: str) -> str:
    answer: Any = client.get(address, headers=headers)
    assert answer.status_code == 302
    return str(answer["Location"])


def test_it_leads_to_the_form_with_the_target_that_is_enforced(asker: Client, production: Target) -> None:
    make_version("churn_predictor")
    form = "/models/churn_predictor/versions/1/promote/"
    assert leads_to(asker, "/p/churn_predictor/1") == form
    Target.objects.update(enforcement=Enforcement.ENFORCE)
    assert leads_to(asker, "/p/churn_predictor/1") == f"{form}?target=Production"


def test_it_leads_to_the_request_that_is_open(asker: Client, rita: User, production: Target) -> None:
    Target.objects.update(enforcement=Enforcement.ENFORCE)
    request = make_request(make_version("churn_predictor"), production, by=rita)
    assert leads_to(asker, "/p/churn_predictor/1") == request.get_absolute_url()


def test_it_survives_the_sign_in(client: Client) -> None:
    make_version("churn_predictor")
    assert leads_to(client, "/p/churn_predictor/1") == "/accounts/login/?next=/p/churn_predictor/1"


def test_a_version_that_is_not_mirrored_is_read_and_waited_for(asker: Client) -> None:
    page = asker.get("/p/team%2Fnew model/3")
    assert page.status_code == 404
    assert "Not mirrored yet." in page.content.decode()
    assert RefreshHint.objects.get().model_name == "team/new model"
    looks = asker.get("/p/team%2Fnew model/3?looks=3", headers={"HX-Request": "true"})
    assert looks.status_code == 200
    assert "looks=4" in looks.content.decode()
    assert "<html" not in looks.content.decode()
    end = asker.get("/p/team%2Fnew model/3?looks=20", headers={"HX-Request": "true"}).content.decode()
    assert "hx-get" not in end
    assert "Still not mirrored." in end
    make_version("team/new model", number=3)
    arrived = asker.get("/p/team%2Fnew model/3?looks=4", headers={"HX-Request": "true"})
    assert arrived["HX-Redirect"] == "/models/team/new%20model/versions/3/promote/"


@pytest.mark.parametrize(
    "address", ["/p/churn/0", "/p/churn/99999999999", "/p/%00/1", "/p/churn/x", f"/p/{'x' * 300}/1"]
)
def test_nonsense_is_not_found_and_asks_mlflow_nothing(asker: Client, address: str) -> None:
    assert asker.get(address).status_code == 404
    assert not RefreshHint.objects.exists()
