"""What is measured more than once, or twice with different answers: as MLflow says it, through the mirror, up to the
check that decides. On the fake and on a real server alike."""

import math
from itertools import count
from typing import Any

import pytest
from django.test import Client

from approvals import assessment
from approvals.models import PromotionRequest, Target
from approvals.policy import CheckRule
from registry_ui.accounts.models import User
from registry_ui.mirror import sync
from registry_ui.mirror.models import ModelVersion
from registry_ui.mirror.registry import Refused
from tests.factories import make_policy, make_request
from tests.fakes import FakeRegistry
from tests.mirror.backstage import Backstage
from tests.mlflow_server import MlflowServer
from tests.pages.helpers import text_of

pytestmark = pytest.mark.django_db
_numbers = count(1)
NAN_COUNTS = "MLflow's LoggedModel API answers 0. The run logged NaN, which counts."


class World:
    """One model of one MLflow, and what an engineer does there."""

    def __init__(self, registry: Any, engineer: Any) -> None:
        self.registry, self.engineer = registry, engineer
        self.name = f"measured_{next(_numbers)}"

    def register(self, *measured: tuple[Any, ...], run_id: str = "", params: dict[str, str] | None = None) -> int:
        """A LoggedModel of a run with these metrics (key, value, data set and digest), registered."""
        run_id = run_id or self.engineer.log_run()
        logged = self.engineer.log_model(params=params)
        for key, value, *dataset in measured:
            self.engineer.log_metric(run_id, key, value, logged_model_id=logged, dataset=tuple(dataset) or ("", ""))
        return int(self.engineer.create_version(self.name, run_id=run_id, logged_model_id=logged))

    def mirrored(self, number: int = 1) -> ModelVersion:
        sync.refresh_model(self.registry, self.name)
        return ModelVersion.objects.select_related("model").get(model__name=self.name, number=number)

    def ask(self, number: int, target: Target, by: User) -> PromotionRequest:
        request = make_request(self.mirrored(number), target, by=by, is_checked=False)
        assert assessment.assess(request.pk, self.registry) == "concluded"
        request.refresh_from_db()
        return request


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.server)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        fake = FakeRegistry()
        return World(fake, fake)
    from registry_ui.mirror.mlflow_registry import MlflowRegistry

    url = request.getfixturevalue("mlflow_server").url
    return World(MlflowRegistry(url, timeout_seconds=15), Backstage(url))


def policed(target: Target, kind: str = "metric_threshold", **settings: Any) -> None:
    make_policy("*", target, (1, None), checks=(CheckRule(kind, "block", settings),))


def judged(request: PromotionRequest) -> tuple[str, str]:
    check = request.checks.live().exclude(kind="files").get()
    return check.outcome, check.reason


# --- NaN, which MLflow's LoggedModel API cannot express


@pytest.mark.parametrize("moves_on", [False, True])
def test_nan_fails_a_threshold_that_zero_would_pass(
    world: World, production: Target, rita: User, *, moves_on: bool
) -> None:
    policed(production, metric="loss", at_most=1)
    run_id = world.engineer.log_run()
    number = world.register(("loss", math.nan), run_id=run_id)
    if moves_on:  # the run goes on to another model, and its last value is a good one
        world.engineer.log_metric(run_id, "loss", 0.5)
    request = world.ask(number, production, rita)
    assert judged(request) == ("fail", "loss is NaN, which is not a number to hold against anything.")
    assert request.status == "checking"


def test_zero_that_is_one_passes(world: World, production: Target, rita: User) -> None:
    policed(production, metric="violations", at_most=0)
    request = world.ask(world.register(("violations", 0.0)), production, rita)
    assert judged(request) == ("pass", "violations is 0.")
    assert world.mirrored().fact_sources == {}


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_of_a_logged_model_fails(world: World, production: Target, rita: User, value: float) -> None:
    policed(production, metric="loss", at_least=-1, at_most=1)
    outcome, reason = judged(world.ask(world.register(("loss", value)), production, rita))
    assert outcome == "fail"
    assert "infin" in reason


@pytest.mark.server
def test_zero_of_a_run_that_cannot_be_read_is_not_taken_for_one(
    mlflow_server: MlflowServer, production: Target, rita: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry_ui.mirror.mlflow_registry import MlflowRegistry

    world = World(MlflowRegistry(mlflow_server.url, timeout_seconds=15), Backstage(mlflow_server.url))
    run_id = world.engineer.log_run()
    number = world.register(("loss", 0.0), run_id=run_id)
    world.engineer.log_metric(run_id, "loss", 0.5)

    def refused(*_: Any) -> Any:
        raise Refused("Permission denied")

    monkeypatch.setattr(MlflowRegistry, "_logged_values", refused)
    row = world.mirrored(number)
    assert row.metrics == {"loss": "NaN"}
    assert row.fact_sources["metrics"]["loss"] == {"logged_model": 0.0, "is_unproven": True, "run": 0.5}


# --- Shown where one decides


def test_contradictions_are_shown_on_version_request_and_comparison(
    world: World, production: Target, rita: User, client: Client
) -> None:
    run_id = world.engineer.log_run({}, {"max_depth": "8"})
    number = world.register(("loss", math.nan), ("auc", 0.91), ("mae", 2.0), run_id=run_id, params={"max_depth": "9"})
    world.engineer.log_metric(run_id, "auc", 0.7)
    request = world.ask(number, production, rita)
    assert world.mirrored().metrics == {"loss": "NaN", "auc": 0.91, "mae": 2.0}
    assert world.mirrored().params == {"max_depth": "9"}
    client.force_login(rita)
    compare = f"{request.get_absolute_url()}compare/"
    for url in (request.version.get_absolute_url(), request.get_absolute_url(), compare):
        text = text_of(client.get(url).content.decode())
        assert NAN_COUNTS in text, url
        assert "The run has 0.7 under this name. The logged model's value counts." in text, url
        assert text.count("The run has") == (1 if url == request.get_absolute_url() else 2), url  # auc, max_depth


def test_run_does_not_take_the_place_of_a_logged_model_that_is_gone(production: Target, rita: User) -> None:
    fake = FakeRegistry()
    world = World(fake, fake)
    run_id = fake.log_run({"auc": 0.5})
    world.register(("auc", 0.9), ("loss", 0.1, "train", "d1"), run_id=run_id)
    before = world.mirrored()
    fake._logged_models.clear()
    fake.log_metric(run_id, "auc", 0.99)
    fake.log_metric(run_id, "new", 1.0)
    after = world.mirrored()
    assert after.metrics == {**before.metrics, "new": 1.0}
    assert after.fact_sources == before.fact_sources
    assert after.run["logged_model"]["is_missing"]
