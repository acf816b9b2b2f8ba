"""Where MLflow's gate fetches its policy: who may, and what is answered."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from approvals.models import PolicyFeed

pytestmark = pytest.mark.django_db
TOKEN = "a-token-of-the-gate"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
TEXT = '{"serial":12,"rules":[]}'


@pytest.fixture(autouse=True)
def token(settings: Settings) -> None:
    settings.GATE_TOKEN = TOKEN


@pytest.fixture
def stored() -> None:
    PolicyFeed.objects.create(serial=12, text=TEXT, signature="c2lnbmVk", issued_at=timezone.now(), pk=1)


def fetch(headers: dict[str, str] = SHOWN) -> Any:
    return Client().get("/gate/policy", headers=headers)


def test_the_very_text_and_its_signature_are_given(stored: None) -> None:
    answer = fetch()
    assert (answer.status_code, answer.content.decode()) == (200, TEXT)
    assert answer["X-Countersign-Signature"] == "c2lnbmVk"
    assert answer["Content-Type"] == "application/json"
    assert not answer.cookies


def test_what_mlflow_has_is_not_sent_again(stored: None) -> None:
    tag = fetch()["ETag"]
    answer = fetch(SHOWN | {"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    PolicyFeed.objects.update(text=TEXT + " ", signature="YW5vdGhlcg")
    assert fetch(SHOWN | {"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer another"},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN} "},
        {"Authorization": "Bearer é"},
    ],
)
def test_without_the_token_nothing_is_said(stored: None, headers: dict[str, str]) -> None:
    answer = fetch(headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert "COUNTERSIGN_GATE_TOKEN" in answer.json()["detail"]


def test_before_there_is_one_it_says_what_is_missing(settings: Settings) -> None:
    assert fetch().status_code == 404
    assert "COUNTERSIGN_GATE_KEY" in fetch().json()["detail"]
    settings.GATE_TOKEN = ""
    assert fetch({"Authorization": "Bearer "}).status_code == 404


def test_it_costs_one_query_and_notes_the_visit_now_and_then(stored: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        fetch()
    seen = PolicyFeed.objects.get().fetched_at
    assert seen is not None
    with django_assert_num_queries(1):
        fetch()
    assert PolicyFeed.objects.get().fetched_at == seen


@pytest.mark.parametrize("path", ["policy", "refusals", "openings"])
def test_mlflow_inside_the_network_is_not_sent_to_the_proxy(settings: Settings, path: str) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().post(f"/gate/{path}").status_code != 301
    assert Client().get("/accounts/login/").status_code == 301
