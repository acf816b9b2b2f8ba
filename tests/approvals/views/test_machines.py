"""Several rooms. What a program did through a token is seen as such wherever people read what happened."""

import csv
from io import StringIO

import pytest
from django.test import Client

from accounts import tokens
from accounts.models import User
from approvals import workflow
from approvals.models import AuditEvent, PromotionRequest, Target
from tests.support import pages
from tests.support.factories import make_policy, make_service_account, make_token, make_version
from tests.support.world import settle

pytestmark = pytest.mark.django_db

RUN = "https://ci.example.com/runs/7?a=1&b='2'"


@pytest.fixture
def asked(rita: User, ada: User, production: Target) -> PromotionRequest:
    make_policy("*", production, (1, None))
    robot = make_service_account(owner=rita)
    identity = tokens.authenticate(make_token(robot, name="ci <b>train"), address="203.0.113.7")
    assert isinstance(identity, tokens.Identity)
    with workflow.acting(identity, address="203.0.113.7", run=RUN):
        return workflow.request_promotion(make_version("churn"), production, by=robot, justification="Better.")


def text_of(html: str) -> str:
    return pages.text_of(html).replace(" ,", ",")


THROUGH = "Through the API token ci <b>train, service account of Rita Sanz, pipeline run at ci.example.com"


def test_history_and_the_events_page(asked: PromotionRequest, vera: User, client: Client) -> None:
    client.force_login(vera)
    made = AuditEvent.objects.get(action="request.created")
    for address in ("/history/?action=request.created", made.get_absolute_url()):
        html = client.get(address).content.decode()
        assert THROUGH in text_of(html)
        assert "<b>train" not in html
        assert 'href="https://ci.example.com/runs/7?a=1&amp;b=&#x27;2&#x27;" rel="noopener noreferrer nofollow"' in html
        assert "203.0.113.7" in html
        assert "Through · " not in html
    assert "Rita Sanz <rita@example.com>" in text_of(html)


def test_the_request_and_its_version(asked: PromotionRequest, rita: User, client: Client) -> None:
    client.force_login(rita)
    for address in (asked.get_absolute_url(), "/models/churn/versions/1/", "/models/churn/"):
        text = text_of(client.get(address).content.decode())
        assert THROUGH in text
        assert "203.0.113.7" not in text


def test_what_a_person_did_is_not(asked: PromotionRequest, remy: User, vera: User, client: Client) -> None:
    settle(asked, remy)
    client.force_login(vera)
    assert "Through the API token" not in client.get("/history/?action=review.approved").content.decode()


def test_the_population_of_an_audit(
    asked: PromotionRequest, remy: User, rita: User, vera: User, client: Client
) -> None:
    settle(asked, remy)
    settle(ask_on_the_page(rita), remy)
    client.force_login(vera)
    answer = client.get("/history/audit/export/population.csv")
    rows = list(csv.DictReader(StringIO(b"".join(answer).decode())))  # type: ignore[arg-type]
    by_person = {row["requested_by"]: row["requested_through"] for row in rows}
    prefix = prefix_of_the_token()
    assert by_person == {
        "train-bot <train-bot@service-account.invalid>": (
            f"API token ci b train ({prefix}), owner Rita Sanz <rita@example.com>, from 203.0.113.7, pipeline {RUN}"
        ),
        "Rita Sanz <rita@example.com>": "",
    }


def ask_on_the_page(rita: User) -> PromotionRequest:
    production = Target.objects.get(name="Production")
    return workflow.request_promotion(make_version("other"), production, by=rita, justification="Better.")


def prefix_of_the_token() -> str:
    return str(User.objects.get(name="train-bot").api_tokens.get().prefix)
