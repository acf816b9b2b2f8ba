"""The client and its command against the product: real tokens, real answers, over HTTP."""

import gc
import json
from collections.abc import Iterator
from typing import Any

import pytest
from countersign import shapes, words
from countersign.client import OPEN, Client
from countersign.errors import Refused

from api.v1 import api
from approvals.models import Status, Target, requests
from tests.support import stub_api
from tests.support.command_line import Command, command
from tests.support.factories import make_person, make_service_account, make_token, make_version
from tests.support.world import hold

pytestmark = [pytest.mark.slow, pytest.mark.nodb]  # what answers is asked on each database by the tests of its room


@pytest.fixture
def models(site: str) -> None:
    """Two models with a version in Production each, one of them with all that is difficult in a name."""
    production = Target.objects.get(name="Production")
    for name in ("churn_predictor", "a/b ü?#"):
        hold(make_version(name, 1, metrics={"auc": 0.8}, params={"depth": "4"}), production)
        make_version(name, 2, metrics={"auc": 0.9, "f1": 0.7}, params={"depth": "4"})


@pytest.fixture
def client(site: str, models: None) -> Iterator[Client]:
    with Client(site, make_token(make_person("Rita Sanz", "requester", "auditor"))) as made:
        yield made
    # An error that a test caught holds its answer, and that the connection, in a circle.
    gc.collect()


@pytest.fixture
def run(site: str, client: Client) -> Command:
    """As Rita Sanz."""
    token = client._transport._credentials.token()
    return lambda *words, **more: command(*words, **{"COUNTERSIGN_URL": site, "COUNTERSIGN_TOKEN": token, **more})


def test_whose_token_it_is(run: Command, site: str) -> None:
    shown = run("token", "check")
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[:2] == [f"{site} takes this token.", "  acts as: Rita Sanz <rita@example.com>"]
    found = json.loads(run("token", "check", "--json").stdout)
    assert found["url"] == site
    assert found["user"]["kind"] == "person"
    assert {"read", "requests:write"} <= set(found["token"]["scopes"])
    bot = make_token(make_service_account(owner=make_person("Otto Reyes", "requester")))
    assert (
        "  acts as: train-bot, a service account of Otto Reyes" in run("token", "check", COUNTERSIGN_TOKEN=bot).stdout
    )


def test_a_token_that_is_not_good_is_refused_in_a_sentence(run: Command) -> None:
    cut = run("token", "check", COUNTERSIGN_TOKEN="csn_abc")
    assert (cut.returncode, cut.stderr) == (
        3,
        "This is not a token of Countersign, or a part of it is missing.\n",
    )


def test_models_versions_and_holders(client: Client, run: Command) -> None:
    names = ["a/b ü?#", "churn_predictor"]
    assert [each["model"] for each in client.models()] == names
    assert [each["model"] for each in client.holders()] == names
    for name in names:
        assert [each["version"] for each in client.versions(name)] == ["2", "1"]
        version = client.version(name, "2")
        assert (version["metrics"], version["params"]) == ({"auc": 0.9, "f1": 0.7}, {"depth": "4"})
        assert client.holder(name, "Production")["version"] == "1"
    shown = run("holder", "churn_predictor", "Production")
    assert shown.stdout.startswith("churn_predictor version 1 holds Production")
    assert json.loads(run("holder", "a/b ü?#", "Production", "--json").stdout)["version"] == "1"


def test_a_place_without_a_holder_and_a_moment_before_all(client: Client, run: Command) -> None:
    with pytest.raises(Refused) as caught:
        client.holder("churn_predictor", "Staging")
    assert caught.value.code == "no_holder"
    then = run("holder", "churn_predictor", "Production", "--at", "2020-05-01", "--json")
    assert then.returncode == 3
    assert json.loads(then.stdout)["error"]["code"] == "no_holder"
    assert run("holder", "churn_predictor", "Production", "--at", "yesterday").returncode == 3
    assert run("holder", "no_such", "Production").returncode == 3


def test_what_the_token_is_not_for_is_refused(site: str, models: None) -> None:
    token = make_token(make_person("Remy Ortiz", "reviewer"), "evidence:read")
    refused = command("holder", "churn_predictor", "Production", COUNTERSIGN_URL=site, COUNTERSIGN_TOKEN=token)
    assert refused.returncode == 3
    assert refused.stderr.startswith("The token ci-train lacks the scope read.")


def test_what_is_no_site_of_countersign_says_so(run: Command, site: str) -> None:
    assert "Is COUNTERSIGN_URL right" in run("token", "check", COUNTERSIGN_URL=f"{site}/history").stderr


SHAPES = [
    (shapes.Me, "Me"),
    (shapes.Model, "OneModel"),
    (shapes.Version, "OneVersion"),
    (shapes.Holder, "OneHolder"),
    (shapes.Missing, "Missing"),
    (shapes.PromotionRequest, "OneRequest"),
    (shapes.Incident, "IncidentOut"),
    (shapes.Event, "Event"),
]


@pytest.mark.parametrize(("shape", "component"), SHAPES, ids=[component for _, component in SHAPES])
def test_what_the_client_names_is_what_the_api_describes(shape: Any, component: str) -> None:
    assert shape.__annotations__.keys() <= described(component)


def test_the_stub_answers_with_what_the_api_describes_and_knows_each_status() -> None:
    assert stub_api.request().keys() <= described("OneRequest")
    assert set(words.STATUSES) == set(Status)
    assert OPEN == stub_api.OPEN == set(requests.OPEN)
    assert set(words.STATUSES) - OPEN == {"applied", "rejected", "withdrawn", "expired"}


def described(component: str) -> set[str]:
    return set(api.get_openapi_schema()["components"]["schemas"][component]["properties"])
