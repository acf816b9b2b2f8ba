"""A job's identity token in exchange for an API token, over the API."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.cache import cache

from accounts.models import User
from approvals import administration
from tests.support import issuer as issuers
from tests.support.api import Machine
from tests.support.factories import make_service_account
from tests.support.issuer import Issuer

pytestmark = pytest.mark.django_db

PATH = "/token-exchange"


@pytest.fixture
def issuer(settings: Any, rita: User, ada: User) -> Iterator[Issuer]:
    cache.clear()
    with issuers.running() as running:
        settings.TOKEN_ISSUERS = [running.url]
        administration.add_publisher(
            make_service_account(owner=rita),
            provider="github",
            issuer=running.url,
            repository="acme/churn",
            ref="refs/heads/main",
            scopes=["read"],
            by=rita,
        )
        yield running
    cache.clear()


def test_a_job_gets_a_token_and_uses_it(issuer: Issuer) -> None:
    answer = Machine().post(PATH, {"id_token": issuer.github(configured.SITE_URL)})
    assert (answer.status, answer["token_type"], answer["scopes"]) == (200, "Bearer", ["read"])
    assert "no-store" in answer.header("Cache-Control")
    me = Machine(text=answer["access_token"]).get("/me")
    assert (me.status, me["user"]["name"], me["owner"]["name"]) == (200, "train-bot", "Rita Sanz")


def test_what_is_refused_is_a_problem_with_its_code(issuer: Issuer) -> None:
    machine = Machine()
    once = issuer.github(configured.SITE_URL)
    machine.post(PATH, {"id_token": once})
    told = {
        "": machine.post(PATH, {}),
        "used": machine.post(PATH, {"id_token": once}),
        "nonsense": machine.post(PATH, {"id_token": "x"}),
        "audience": machine.post(PATH, {"id_token": issuer.github("https://elsewhere.example.com")}),
        "repository": machine.post(PATH, {"id_token": issuer.github(configured.SITE_URL, repository="a/b")}),
        "too long": machine.post(PATH, {"id_token": "x" * 20_000}),
    }
    assert {name: (answer.status, answer["code"]) for name, answer in told.items()} == {
        "": (422, "invalid"),
        "used": (401, "id_token_used"),
        "nonsense": (401, "id_token_malformed"),
        "audience": (401, "wrong_audience"),
        "repository": (401, "not_trusted"),
        "too long": (422, "invalid"),
    }


def test_who_proves_nothing_is_slowed_and_no_one_else_at_the_same_address(issuer: Issuer, settings: Any) -> None:
    settings.API_ANONYMOUS_PER_MINUTE = 2
    refused = [Machine().post(PATH, {"id_token": "x"}).status for _ in range(4)]
    assert refused == [401, 401, 429, 429]
    proven = [Machine().post(PATH, {"id_token": issuer.github(configured.SITE_URL)}).status for _ in range(4)]
    assert proven == [200, 200, 200, 200]


def test_an_issuer_that_is_away_is_503(issuer: Issuer) -> None:
    issuer.answer = (500, {}, b"")
    answer = Machine().post(PATH, {"id_token": issuer.github(configured.SITE_URL)})
    assert (answer.status, answer["code"]) == (503, "issuer_unreachable")
