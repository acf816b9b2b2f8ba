"""Who is let in, and what is said to who is not."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import tokens
from accounts.models import User
from tests.support.api import Machine
from tests.support.factories import make_version


def test_a_good_token_reads(rita: User) -> None:
    make_version("churn_predictor", 1)
    assert Machine(rita, "read").get("/models/churn_predictor")["newest_version"] == "1"


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "token_missing"), ("csn_short", "token_malformed"), (tokens.generate(), "token_unknown")],
    ids=["none", "malformed", "unknown"],
)
def test_without_a_good_token_the_answer_says_why(db: None, text: str, code: str) -> None:
    found = Machine(text=text).get("/models")
    assert (found.status, found["code"]) == (401, code)
    assert found.header("WWW-Authenticate").startswith('Bearer realm="Countersign"')
    assert ("invalid_token" in found.header("WWW-Authenticate")) is bool(text)
    assert found["detail"].endswith(".")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"revoked_at": timedelta(0)}, "token_revoked"),
        ({"expires_at": timedelta(0)}, "token_expired"),
    ],
)
def test_a_token_that_is_over_is_refused(rita: User, fields: dict[str, timedelta], code: str) -> None:
    moments: dict[str, Any] = {name: timezone.now() + after for name, after in fields.items()}
    found = Machine(rita, "read", **moments).get("/models")
    assert (found.status, found["code"]) == (401, code)


def test_the_token_of_who_was_deactivated_is_refused(rita: User) -> None:
    machine = Machine(rita, "read")
    rita.is_active = False
    rita.save()
    assert machine.get("/me")["code"] == "account_inactive"


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer  ", "csn_x", "Token csn_x"])
def test_what_is_no_bearer_token_is_none(db: None, header: str) -> None:
    assert Machine().get("/models", authorization=header)["code"] == "token_missing"


@pytest.mark.parametrize("name", ["token", "access_token", "authorization"])
def test_a_token_in_an_address_is_none(rita: User, name: str) -> None:
    text = Machine(rita, "read").text
    assert Machine().get(f"/models?{name}={text}")["code"] == "token_missing"


def test_a_token_without_the_scope_is_refused_and_told_which(rita: User) -> None:
    found = Machine(rita, "audit:read").get("/models")
    assert (found.status, found["code"]) == (403, "scope_missing")
    assert 'scope="read"' in found.header("WWW-Authenticate")


def test_any_token_may_ask_whose_it_is(rita: User) -> None:
    found = Machine(rita, "gate", name="nightly").get("/me")
    assert found["user"] == {"name": "Rita Sanz", "email": "rita@example.com", "kind": "person"}
    assert (found["owner"], found["roles"]) == (None, ["requester"])
    assert (found["token"]["name"], found["token"]["scopes"]) == ("nightly", ["gate"])
    assert found["token"]["expires_at"].endswith("Z")


def test_forwarded_addresses_that_do_not_fit_the_proxies_are_no_failure(rita: User, settings: Any) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 3
    assert Machine(rita, "read").get("/me", x_forwarded_for="203.0.113.7").status == 200
