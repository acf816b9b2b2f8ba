"""Several rooms. What is measured more than once, or twice with different answers: as MLflow says it, through the
mirror, up to the check that decides. On the fake and on a real server alike."""

import json
import math
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals import assessment, delivery, evidence
from approvals.models import PromotionRequest, Target
from approvals.policy import FALLBACK, CheckRule
from approvals.selectors import frozen_evidence, inbox_rows
from mirror import lineage, sync
from mirror.models import ModelVersion
from mirror.port import Refused
from tests.support.backstage import Backstage
from tests.support.factories import approve, make_policy, make_version
from tests.support.fakes import MODEL_FILES, FakeRegistry
from tests.support.mlflow_server import MlflowServer
from tests.support.pages import text_of
from tests.support.world import ask

pytestmark = pytest.mark.django_db
_numbers = count(1)
OF_0_3_0 = "534b9f6f5cfb20af3696f6182778b8081b9074b22cd50ece5df879ef64b2bf5b"
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
        number = int(self.engineer.create_version(self.name, run_id=run_id, logged_model_id=logged))
        if isinstance(self.engineer, Backstage):  # the fake gives every version some files
            for path, content in MODEL_FILES.items():
                self.engineer.put_file(self.registry.version_root(self.name, number), path, content)
        return number

    def mirrored(self, number: int = 1) -> ModelVersion:
        sync.refresh_model(self.registry, self.name)
        return ModelVersion.objects.select_related("model").get(model__name=self.name, number=number)

    def ask(self, number: int, target: Target, by: User) -> PromotionRequest:
        self.mirrored(number)
        return ask(self.registry, number, target, by=by, model=self.name)


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.server)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        fake = FakeRegistry()
        return World(fake, fake)
    from mirror.mlflow.client import MlflowRegistry

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
    from mirror.mlflow.client import MlflowRegistry

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


# --- Several data sets


TRAIN, VALIDATION = ("train", "d1"), ("validation", "d2")


def test_metrics_are_kept_for_each_data_set_in_any_order(world: World) -> None:
    one = world.register(("accuracy", 0.61, *VALIDATION), ("accuracy", 0.99, *TRAIN))
    two = world.register(("accuracy", 0.98, *TRAIN), ("accuracy", 0.71, *VALIDATION))
    assert world.mirrored(one).metrics == {"accuracy @ train": 0.99, "accuracy @ validation": 0.61}
    assert world.mirrored(two).metrics == {"accuracy @ train": 0.98, "accuracy @ validation": 0.71}
    assert world.mirrored(two).fact_sources["metrics"] == {
        "accuracy @ train": {"key": "accuracy", "dataset": "train", "digest": "d1"},
        "accuracy @ validation": {"key": "accuracy", "dataset": "validation", "digest": "d2"},
    }


def test_data_sets_of_one_name_are_told_apart_by_their_digest(world: World) -> None:
    number = world.register(("mae", 1.0, "dataset", "d1"), ("mae", 9.0, "dataset", "d2"), ("mae", 5.0))
    assert world.mirrored(number).metrics == {"mae @ dataset (d1)": 1.0, "mae @ dataset (d2)": 9.0, "mae": 5.0}


@pytest.mark.parametrize(
    ("dataset", "outcome", "reason"),
    [
        ("", "fail", "accuracy was measured on train and validation. Name the data set in the policy."),
        ("validation", "fail", "accuracy on validation is 0.61; at least 0.9 is asked."),
        ("train", "pass", "accuracy on train is 0.99."),
        ("test", "fail", "There is no metric accuracy on test; it was measured on train and validation."),
    ],
)
def test_threshold_names_its_data_set(
    world: World, production: Target, rita: User, dataset: str, outcome: str, reason: str
) -> None:
    policed(production, metric="accuracy", at_least=0.9, dataset=dataset)
    number = world.register(("accuracy", 0.61, *VALIDATION), ("accuracy", 0.99, *TRAIN))
    assert judged(world.ask(number, production, rita)) == (outcome, reason)


@pytest.mark.parametrize(
    ("settings", "measured", "outcome", "reason"),
    [
        ({"dataset": "validation"}, [0.98, 0.71, "d2"], "pass",
         "accuracy on validation is 0.71, the champion has 0.61."),
        ({"dataset": "train"}, [0.98, 0.71, "d2"], "fail",
         "accuracy on train is 0.98, the champion has 0.99: worse by 0.01, and 0 is allowed."),
        ({}, [0.98, 0.71, "d2"], "fail",
         "accuracy was measured on train and validation. Name the data set in the policy."),
        ({"dataset": "validation"}, [0.98, 0.71, "d9"], "warn",
         "accuracy on validation is 0.71, the champion has 0.61, "
         "but validation has other data now: digest d9, not d2."),
    ],
)  # fmt: skip
def test_no_worse_compares_like_with_like(
    production: Target, rita: User, settings: dict[str, str], measured: list[Any], outcome: str, reason: str
) -> None:
    fake = FakeRegistry()
    world = World(fake, fake)
    policed(production, "metric_regression", metric="accuracy", **settings)
    world.register(("accuracy", 0.61, *VALIDATION), ("accuracy", 0.99, *TRAIN))
    fake.set_stage(world.name, 1, "Production", archive_existing=True)
    train, validation, digest = measured
    number = world.register(("accuracy", train, *TRAIN), ("accuracy", validation, "validation", digest))
    assert judged(world.ask(number, production, rita)) == (outcome, reason)


def test_no_worse_refuses_to_compare_one_data_set_with_another(production: Target, rita: User) -> None:
    fake = FakeRegistry()
    world = World(fake, fake)
    policed(production, "metric_regression", metric="accuracy")
    world.register(("accuracy", 0.61, *VALIDATION))
    fake.set_stage(world.name, 1, "Production", archive_existing=True)
    request = world.ask(world.register(("accuracy", 0.99, *TRAIN)), production, rita)
    told = "accuracy was measured on train, and the champion's on validation. Name the data set in the policy."
    assert judged(request) == ("fail", told)


def test_pages_show_a_row_for_each_data_set(world: World, production: Target, rita: User, client: Client) -> None:
    world.register(("accuracy", 0.61, *VALIDATION), ("accuracy", 0.99, *TRAIN))
    world.registry.set_stage(world.name, 1, "Production", archive_existing=True)
    number = world.register(("accuracy", 0.99, *TRAIN), ("accuracy", 0.71, "validation", "d9"))
    request = world.ask(number, production, rita)
    client.force_login(rita)
    changed = "validation has other data than the champion's: digest d9, not d2."
    compare = f"{request.get_absolute_url()}compare/"
    for url in (request.version.get_absolute_url(), request.get_absolute_url(), compare):
        text = text_of(client.get(url).content.decode())
        assert "accuracy @ train" in text, url
        assert f"accuracy @ validation higher is better {changed}" in text, url
    page = text_of(client.get(request.get_absolute_url()).content.decode())
    assert "1 better, 1 the same" in page
    assert "Metric Champion, version 1 Requested, version 2 Difference" in page
    (row,) = inbox_rows.rows([PromotionRequest.objects.with_subject().get(pk=request.pk)], rita, now=timezone.now())
    assert row.headline is not None
    assert (row.headline.name, row.headline.judgement) == ("accuracy @ validation", "better")


# --- Copies


def copied(world: World) -> tuple[int, str]:
    """A run with two LoggedModels; the first is registered in `dev`, and copied. Returns the copy's number and dev."""
    run_id = world.engineer.log_run()
    first = world.engineer.log_model(params={"max_depth": "8"})
    second = world.engineer.log_model()
    world.engineer.log_metric(run_id, "auc", 0.61, logged_model_id=first)
    world.engineer.log_metric(run_id, "auc", 0.99, logged_model_id=second)
    dev = f"dev.{world.name}"
    world.engineer.create_version(dev, run_id=run_id, logged_model_id=first)
    return world.engineer.copy_version(dev, 1, world.name), dev


def test_copy_shows_the_logged_model_that_was_copied(
    world: World, production: Target, rita: User, client: Client
) -> None:
    number, dev = copied(world)
    row = world.mirrored(number)
    assert (row.logged_model_id, row.source) == ("", f"models:/{dev}/1")
    assert (row.metrics, row.params) == ({"auc": 0.61}, {"max_depth": "8"})
    assert row.run["copied_from"]["logged_model_id"] == row.run["logged_model"]["id"] != ""
    request = world.ask(number, production, rita)
    client.force_login(rita)
    for url in (row.get_absolute_url(), request.get_absolute_url()):
        assert f"Copied from {dev} version 1" in text_of(client.get(url).content.decode()), url
    facts = json.loads(request.evidence)["version"]
    assert facts["logged_model_id"] == row.run["logged_model"]["id"]
    assert facts["provenance"]["copied_from"] == f"{dev} version 1"


def test_chain_of_copies_is_followed_and_asked_for_once(world: World) -> None:
    _, dev = copied(world)
    world.engineer.copy_version(world.name, 1, f"third.{world.name}")
    sync.refresh_model(world.registry, f"third.{world.name}")
    row = ModelVersion.objects.get(model__name=f"third.{world.name}")
    assert row.metrics == {"auc": 0.61}
    assert lineage.origin(row) == {"copied_from": f"{world.name} version 1, a copy of {dev} version 1"}
    world.engineer.delete_model(dev)
    sync.refresh_model(world.registry, f"third.{world.name}")
    row.refresh_from_db()
    assert (row.metrics, lineage.losses(row)) == ({"auc": 0.61}, [])


def test_source_that_is_gone_or_another_one_is_said(world: World, rita: User, client: Client) -> None:
    number, dev = copied(world)
    world.engineer.delete_model(dev)
    gone = f"{dev}/1 no longer exists in MLflow."
    assert lineage.losses(world.mirrored(number)) == [
        f"Version {number} is a copy, and its source can't be followed. {gone}"
    ]
    client.force_login(rita)
    assert gone in text_of(client.get(world.mirrored(number).get_absolute_url()).content.decode())
    world.engineer.create_version(dev, logged_model_id=world.engineer.log_model({"auc": 0.1}))
    row = world.mirrored(number)
    assert row.run["copied_from"]["problem"].startswith(f"{dev}/1 was registered after this version was copied")
    assert row.metrics == {"auc": 0.99}, "of the run, as nothing better is known"


@pytest.mark.parametrize("source", ["models:/{name}/1", "models:/{name}@loop"])
def test_circle_of_sources_ends(rita: User, source: str) -> None:
    fake = FakeRegistry()
    world = World(fake, fake)
    fake.create_version(world.name)
    fake.create_version(world.name, source=f"models:/{world.name}/1")
    fake.set_alias(world.name, "loop", 2)
    fake.change_version(world.name, 1, source=f"models:/{world.name}/2", created_at=1, last_updated_at=1)
    fake.change_version(world.name, 2, source=source.format(name=world.name), created_at=1)
    assert world.mirrored(2).run["copied_from"]["problem"] == "The sources lead in a circle."


def test_endless_chain_is_not_followed_for_ever() -> None:
    fake = FakeRegistry()
    world = World(fake, fake)
    for number in range(1, 40):
        fake.create_version(world.name, source=f"models:/{world.name}/{number + 1}", created_at=1)
    fake.calls.clear()
    assert world.mirrored(1).run["copied_from"]["problem"] == "It was copied more than 10 times."
    assert fake.count("version") <= 11 * 39


# --- Deleted while somebody decides


def test_deleted_run_and_logged_model_are_shown_where_one_decides(
    world: World, production: Target, rita: User, remy: User, client: Client
) -> None:
    run_id = world.engineer.log_run()
    number = world.register(("auc", 0.9), run_id=run_id)
    request = world.ask(number, production, rita)
    client.force_login(remy)
    urls = (request.version.get_absolute_url(), request.get_absolute_url())
    for url in urls:
        assert "deleted in MLflow" not in text_of(client.get(url).content.decode())
    world.engineer.delete_logged_model(request.version.logged_model_id)
    world.engineer.delete_run(run_id)
    world.mirrored(number)
    for url in urls:
        text = text_of(client.get(url).content.decode())
        assert f"The run of version {number} was deleted in MLflow." in text, url
        assert f"The logged model of version {number} was deleted in MLflow." in text, url
    assert world.mirrored(number).metrics == {"auc": 0.9}


def test_what_people_decide_on_is_read_again_though_the_version_is_old(production: Target, rita: User) -> None:
    fake = FakeRegistry()
    world = World(fake, fake)
    run_id = fake.log_run()
    request = world.ask(world.register(("auc", 0.9), run_id=run_id), production, rita)
    long_ago = timezone.now() - timedelta(days=90)
    ModelVersion.objects.update(created_at=long_ago, facts_at=timezone.now() - timedelta(minutes=11))
    fake.delete_run(run_id)
    fake.fail_next("runs")
    assert [assessment.reread(fake) for _ in range(3)] == [0, 1, 0], "once it answers, and then not for ten minutes"
    request.version.refresh_from_db()
    assert lineage.losses(request.version) == ["The run of version 1 was deleted in MLflow."]


# --- Requests from before


def as_before(request: PromotionRequest, metrics: dict[str, str]) -> None:
    """Writes the evidence as 0.3.0 did, which kept one value a key; reviews are bound to it."""
    frozen = json.loads(request.evidence)
    del frozen["_format"]
    for facts in (frozen["version"], *([frozen["champion"]] if frozen["champion"] else [])):
        del facts["measured_on"]
    frozen["version"]["metrics"] = metrics
    text = evidence.canonical(frozen)
    fields = {"fingerprint": evidence.fingerprint(text), "parts": evidence.part_digests(text)}
    PromotionRequest.objects.filter(pk=request.pk).update(evidence=text, **fields)
    request.checks.update(fingerprint=fields["fingerprint"])
    request.refresh_from_db()


def test_request_that_is_open_during_the_upgrade_stays_as_it_is(
    world: World, production: Target, rita: User, remy: User, rosa: User, client: Client
) -> None:
    number = world.register(("accuracy", 0.61, *VALIDATION), ("accuracy", 0.99, *TRAIN), ("loss", 0.2))
    make_policy("*", production, (2, None))
    request = world.ask(number, production, rita)
    as_before(request, {"accuracy": "0.99", "loss": "0.2"})
    approve(request, remy)
    before = request.fingerprint
    assert frozen_evidence.changes(PromotionRequest.objects.with_subject().get(pk=request.pk)) == []
    assert assessment.watch() == 0
    client.force_login(rosa)
    text = text_of(client.get(request.get_absolute_url()).content.decode())
    assert "The value logged last of the data sets train and validation. Submit again to see each." in text
    approve(request, rosa)
    assert delivery.drain(world.registry) == 1
    request.refresh_from_db()
    assert (request.status, request.fingerprint) == ("applied", before)
    assert world.registry.version(world.name, number).stage == "Production"


def test_request_from_before_still_sees_what_changes(production: Target, rita: User, remy: User) -> None:
    fake = FakeRegistry()
    world = World(fake, fake)
    run_id = fake.log_run()
    world.register(("accuracy", 0.61, *VALIDATION), ("accuracy", 0.99, *TRAIN), run_id=run_id)
    make_policy("*", production, (2, None))
    request = world.ask(1, production, rita)
    as_before(request, {"accuracy": "0.99"})
    approve(request, remy)
    logged = request.version.logged_model_id
    fake.log_metric(run_id, "accuracy", 0.5, logged_model_id=logged, dataset=TRAIN)
    world.mirrored()
    assert assessment.watch() == 1
    request.refresh_from_db()
    assert request.status_reason == "This changed in MLflow since the request: metric accuracy."
    assert not request.reviews.live().exists()
    assert json.loads(request.evidence)["version"]["metrics"] == {
        "accuracy @ train": "0.5",
        "accuracy @ validation": "0.61",
    }, "with no approval bound to it, it is frozen anew in today's format"


def test_evidence_of_a_copy_is_read_as_0_3_0_did(production: Target) -> None:
    fake = FakeRegistry()
    world = World(fake, fake)
    row = world.mirrored(copied(world)[0])
    kept = {"version": row, "champion": None, "target": production, "rule": FALLBACK, "justification": ""}
    before = json.loads(evidence.freeze(**kept, early=True))["version"]
    assert (before["metrics"], before["params"], before["logged_model_id"]) == ({"auc": "0.99"}, {}, "")
    now = json.loads(evidence.freeze(**kept))["version"]
    assert (now["metrics"], now["params"]) == ({"auc": "0.61"}, {"max_depth": "8"})


def test_evidence_of_0_3_0_is_written_byte_for_byte(production: Target) -> None:
    """The digests are from the code of 0.3.0, and so are the words of the rule, which a request keeps as they were."""
    why = "No policy fits this model and target, so the strictest default applies: two approvals from any reviewer."
    rule = replace(FALLBACK, why=why)
    sources = {
        "accuracy @ a": {"key": "accuracy", "dataset": "a", "digest": "1"},
        "accuracy @ b": {"key": "accuracy", "dataset": "b", "digest": "2"},
        "loss": {"run": 0.7},
    }
    measured = {"accuracy @ a": 0.61, "accuracy @ b": 0.99, "loss": 0.2, "auc": "NaN", "system/cpu": 3.0}
    told = {"metrics": sources, "early": {"metrics": {"accuracy": 0.99}}}
    row = make_version("churn", 7, metrics=measured, fact_sources=told, description="First.")
    frozen = evidence.freeze(
        version=row, champion=row, target=production, rule=rule, justification="Better.", early=True
    )
    assert evidence.fingerprint(frozen) == OF_0_3_0
    assert evidence.is_early(frozen)
    now = evidence.freeze(version=row, champion=None, target=production, rule=FALLBACK, justification="Better.")
    assert not evidence.is_early(now)
    assert json.loads(now)["version"]["measured_on"] == {
        "accuracy @ a": {"key": "accuracy", "dataset": "a", "digest": "1"},
        "accuracy @ b": {"key": "accuracy", "dataset": "b", "digest": "2"},
    }
