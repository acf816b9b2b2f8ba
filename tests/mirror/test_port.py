"""What Countersign counts on in MLflow, asked of the fake and of a real server alike, so that the fake cannot lie."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from django.db import connection

from mirror.port import (
    DESCRIPTION_LIMIT,
    PROMPT_TAG,
    Gate,
    Grounds,
    LoggedModelFacts,
    NotFound,
    Outdated,
    Refused,
    Registry,
)
from tests.support.backstage import Backstage
from tests.support.fakes import FakeRegistry

ON_POSTGRESQL = connection.vendor == "postgresql"
"""The suite, and with it MLflow: see `mlflow_process`."""
_numbers = count(1)


@dataclass
class World:
    """The registry through the port, and what engineers do behind it."""

    registry: Registry
    engineer: Any

    def updated_at(self, model: str, number: int) -> int:
        return self.registry.version(model, number).last_updated_at

    def lists_model(self, name: str) -> bool:
        """The whole listing, and the one that is asked for this name."""
        whole, one = (
            name in [each.name for page in pages for each in page]
            for pages in (self.registry.models(), self.registry.models(name=name))
        )
        assert whole == one
        return whole

    def listed(self, model: str) -> list[int]:
        return [each.number for page in self.registry.versions() for each in page if each.model == model]


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.server)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        fake = FakeRegistry()
        return World(fake, fake)
    from mirror.mlflow.client import MlflowRegistry

    url = request.getfixturevalue("mlflow_server").url
    return World(MlflowRegistry(url, timeout_seconds=15), Backstage(url))


@pytest.fixture
def model() -> str:
    return f"churn_{next(_numbers)}"


def tick() -> None:
    """Lets the millisecond pass that MLflow stamps with."""
    time.sleep(0.003)


# --- Reading


def test_registered_version_is_read_in_full(world: World, model: str) -> None:
    world.engineer.create_model(model, description="Who leaves?", tags={"team": "growth"})
    run_id = world.engineer.log_run({"auc_roc": 0.93})
    world.engineer.create_version(model, run_id=run_id, tags={"cutoff": "2026-10-01"}, description="First.")
    version = world.registry.version(model, 1)
    assert (version.model, version.number, version.stage, version.status) == (model, 1, "None", "READY")
    assert (version.description, version.tags, version.run_id) == ("First.", {"cutoff": "2026-10-01"}, run_id)
    assert version.source
    assert (version.logged_model_id, version.run_link) == ("", "")
    assert version.created_at == version.last_updated_at > 1_700_000_000_000
    read = world.registry.model(model)
    assert (read.name, read.description, read.tags, read.aliases) == (model, "Who leaves?", {"team": "growth"}, {})


def test_listing_says_the_same_as_reading_one(world: World, model: str) -> None:
    world.engineer.create_version(model, description="First.", tags={"a": "b"})
    world.registry.set_alias(model, "champion", 1)
    listed = [each for page in world.registry.versions() for each in page if each.model == model]
    assert listed == [world.registry.version(model, 1)]
    models = [each for page in world.registry.models() for each in page if each.name == model]
    assert models == [world.registry.model(model)]
    assert (models[0].aliases, models[0].latest) == ({"champion": 1}, (1,))


def test_versions_come_newest_change_first_page_by_page(world: World, model: str) -> None:
    for _ in range(5):
        world.engineer.create_version(model)
        tick()
    world.registry.set_description(model, 2, "Changed last.")
    pages = list(world.registry.versions(page_size=2, model=model))
    assert [[each.number for each in page] for page in pages] == [[2, 5], [4, 3], [1]]


def test_versions_come_in_the_order_of_names_and_numbers_where_that_is_asked_for(world: World, model: str) -> None:
    for _ in range(3):
        world.engineer.create_version(model)
    world.registry.set_description(model, 1, "Changed last.")
    pages = list(world.registry.versions(page_size=2, by_name=True))
    keys = [(each.model, each.number) for page in pages for each in page]
    assert keys == sorted(keys)
    assert [number for name, number in keys if name == model] == [1, 2, 3]
    assert all(len(page) == 2 for page in pages[:-1])


def test_models_come_page_by_page(world: World, model: str) -> None:
    for number in range(3):
        world.engineer.create_model(f"{model}_{number}")
    pages = list(world.registry.models(page_size=2))
    names = [each.name for page in pages for each in page]
    assert {f"{model}_{number}" for number in range(3)} <= set(names)
    assert len(names) == len(set(names))
    assert all(len(page) == 2 for page in pages[:-1])


@pytest.mark.parametrize(
    "name", ["a b", "100% sure", "it's", 'say "hi"', "both ' and \"", "naïve-模型", "back\\slash", "a_b", "x;--y"]
)
def test_odd_names_work_everywhere(world: World, model: str, name: str) -> None:
    name = f"{name} {model}"
    twin = name.replace("'", "x").replace("_", "y")
    for each in {name, twin}:
        world.engineer.create_version(each)
    world.registry.set_stage(name, 1, "Production", archive_existing=True)
    world.registry.set_alias(name, "champion", 1)
    assert [each.model for page in world.registry.versions(model=name) for each in page] == [name]
    assert [each.model for each in world.registry.versions_in_stage(name, "Production")] == [name]
    assert world.registry.model(name).aliases == {"champion": 1}


def test_prompts_are_not_listed_and_answer_by_name(world: World, model: str) -> None:
    world.engineer.create_model(model, is_prompt=True)
    world.engineer.create_version(model, tags={PROMPT_TAG: "true"})
    assert not world.lists_model(model)
    assert world.listed(model) == []
    assert world.registry.model(model).is_prompt
    assert world.registry.version(model, 1).tags == {PROMPT_TAG: "true"}


@pytest.mark.parametrize("value", ["false", "True", "TRUE", ""])
def test_no_other_value_than_true_makes_a_prompt(world: World, model: str, value: str) -> None:
    world.engineer.create_version(model)
    world.engineer.set_model_tag(model, PROMPT_TAG, value)
    world.registry.set_tag(model, 1, PROMPT_TAG, value)
    assert (world.lists_model(model), world.listed(model)) == (True, [1])
    assert not world.registry.model(model).is_prompt


def test_a_model_marked_as_a_prompt_is_not_listed_and_its_versions_are(world: World, model: str) -> None:
    world.engineer.create_version(model)
    world.engineer.set_model_tag(model, PROMPT_TAG, "true")
    assert (world.lists_model(model), world.listed(model)) == (False, [1])
    world.registry.set_stage(model, 1, "Production", archive_existing=True)
    world.registry.set_alias(model, "champion", 1)
    read = world.registry.model(model)
    assert (read.is_prompt, read.aliases, read.latest) == (True, {"champion": 1}, (1,))
    world.engineer.delete_model_tag(model, PROMPT_TAG)
    assert world.lists_model(model)


def test_one_version_marked_as_a_prompt_hides_all_of_its_model_until_the_tag_is_gone(world: World, model: str) -> None:
    for _ in range(3):
        world.engineer.create_version(model)
    world.registry.set_tag(model, 2, PROMPT_TAG, "true")
    assert (world.lists_model(model), world.listed(model)) == (True, [])
    assert [page for page in world.registry.versions(model=model) if page] == []
    world.registry.delete_tag(model, 2, PROMPT_TAG)
    assert sorted(world.listed(model)) == [1, 2, 3]


def test_a_deleted_version_marked_as_a_prompt_hides_all_of_its_model_for_ever(world: World, model: str) -> None:
    for _ in range(3):
        world.engineer.create_version(model)
    world.registry.set_stage(model, 2, "Production", archive_existing=False)
    world.registry.set_stage(model, 1, "Production", archive_existing=False)
    world.engineer.delete_version(model, world.engineer.create_version(model, tags={PROMPT_TAG: "true"}))
    assert (world.lists_model(model), world.listed(model)) == (True, [])
    with pytest.raises(NotFound):
        world.registry.delete_tag(model, 4, PROMPT_TAG)
    read = world.registry.model(model)
    assert (read.is_prompt, read.latest) == (False, (2, 3)), "it has been hidden, and says itself what it has"
    assert world.registry.version(model, 1).stage == "Production"
    in_stage = [each.number for each in world.registry.versions_in_stage(model, "Production")]
    assert sorted(in_stage) == [1, 2]


def test_nothing_is_in_a_stage_of_a_model_that_does_not_exist(world: World, model: str) -> None:
    assert list(world.registry.versions_in_stage(model, "Production")) == []


def test_ping_tells_the_servers_version(world: World) -> None:
    server = world.registry.ping()
    assert server.version == "3.17.2"
    assert server.latency_ms > 0


# --- What moves a version's time, and what does not


def test_description_and_stage_move_the_time(world: World, model: str) -> None:
    world.engineer.create_version(model)
    first = world.updated_at(model, 1)
    tick()
    world.registry.set_description(model, 1, "Text.")
    second = world.updated_at(model, 1)
    tick()
    world.registry.set_stage(model, 1, "Staging", archive_existing=False)
    assert first < second < world.updated_at(model, 1)


def test_alias_and_tag_move_no_time(world: World, model: str) -> None:
    world.engineer.create_version(model)
    before = (world.updated_at(model, 1), world.registry.model(model).last_updated_at)
    tick()
    world.registry.set_alias(model, "champion", 1)
    world.registry.set_tag(model, 1, "key", "value")
    world.registry.delete_tag(model, 1, "key")
    world.engineer.delete_alias(model, "champion")
    assert (world.updated_at(model, 1), world.registry.model(model).last_updated_at) == before


def test_same_stage_again_moves_the_time(world: World, model: str) -> None:
    world.engineer.create_version(model)
    world.registry.set_stage(model, 1, "Production", archive_existing=True)
    before = world.updated_at(model, 1)
    tick()
    world.registry.set_stage(model, 1, "Production", archive_existing=True)
    assert world.updated_at(model, 1) > before
    assert world.registry.version(model, 1).stage == "Production", "a version does not archive itself"


# --- Writing


def test_description_is_overwritten_whole(world: World, model: str) -> None:
    world.engineer.create_version(model, description="The engineer's own text.")
    world.registry.set_description(model, 1, "Other.")
    assert world.registry.version(model, 1).description == "Other."
    world.registry.set_description(model, 1, "")
    assert world.registry.version(model, 1).description == ""


def test_description_takes_the_limit_in_any_script(world: World, model: str) -> None:
    world.engineer.create_version(model)
    text = ("Zeile — “模型” 🚀\n" * DESCRIPTION_LIMIT)[:DESCRIPTION_LIMIT]
    world.registry.set_description(model, 1, text)
    assert world.registry.version(model, 1).description == text


def test_tags_are_set_replaced_and_deleted(world: World, model: str) -> None:
    world.engineer.create_version(model)
    world.registry.set_tag(model, 1, "countersign.request", "11")
    world.registry.set_tag(model, 1, "countersign.request", "12")
    world.registry.set_tag(model, 1, "countersign.approved_by", "Remy Ortiz <remy@example.com>")
    world.registry.delete_tag(model, 1, "countersign.approved_by")
    world.registry.delete_tag(model, 1, "never.there")
    assert world.registry.version(model, 1).tags == {"countersign.request": "12"}


@pytest.mark.parametrize("spelled", ["production", "PRODUCTION", "Production"])
def test_stage_is_spelled_in_any_case(world: World, model: str, spelled: str) -> None:
    world.engineer.create_version(model)
    world.registry.set_stage(model, 1, spelled, archive_existing=False)
    assert world.registry.version(model, 1).stage == "Production"


def test_unknown_stage_is_refused_in_mlflows_words(world: World, model: str) -> None:
    world.engineer.create_version(model)
    with pytest.raises(
        Refused, match=r"Invalid Model Version stage: Gold.*None, Staging, Production, Archived"
    ) as caught:
        world.registry.set_stage(model, 1, "Gold", archive_existing=False)
    assert not caught.value.may_retry


def test_existing_holders_are_archived_at_once_and_only_they(world: World, model: str) -> None:
    for number in (1, 2, 3, 4):
        world.engineer.create_version(model)
        if number != 4:
            world.registry.set_stage(model, number, "Staging" if number == 3 else "Production", archive_existing=False)
    tick()
    world.registry.set_stage(model, 4, "Production", archive_existing=True)
    found = {number: world.registry.version(model, number) for number in (1, 2, 3, 4)}
    assert {number: each.stage for number, each in found.items()} == {
        1: "Archived",
        2: "Archived",
        3: "Staging",
        4: "Production",
    }
    assert found[1].last_updated_at == found[2].last_updated_at == found[4].last_updated_at
    assert found[3].last_updated_at < found[4].last_updated_at
    assert [each.number for each in world.registry.versions_in_stage(model, "Production")] == [4]


def test_without_archiving_two_versions_hold_one_stage(world: World, model: str) -> None:
    for number in (1, 2):
        world.engineer.create_version(model)
        world.registry.set_stage(model, number, "Production", archive_existing=False)
        tick()
    assert [each.number for each in world.registry.versions_in_stage(model, "Production")] == [2, 1]


@pytest.mark.parametrize("stage", ["None", "Archived"])
def test_archiving_is_refused_for_stages_that_nobody_holds(world: World, model: str, stage: str) -> None:
    world.engineer.create_version(model)
    with pytest.raises(Refused):
        world.registry.set_stage(model, 1, stage, archive_existing=True)
    world.registry.set_stage(model, 1, stage, archive_existing=False)
    assert world.registry.version(model, 1).stage == stage


def test_alias_moves_silently_and_one_version_may_have_several(world: World, model: str) -> None:
    for _ in range(2):
        world.engineer.create_version(model)
    world.registry.set_alias(model, "champion", 1)
    world.registry.set_alias(model, "champion", 2)
    world.registry.set_alias(model, "uat", 2)
    assert world.registry.model(model).aliases == {"champion": 2, "uat": 2}


def test_deleted_alias_is_gone_and_deleting_it_again_does_nothing(world: World, model: str) -> None:
    world.engineer.create_version(model)
    world.registry.set_alias(model, "champion", 1)
    world.registry.set_alias(model, "other", 1)
    world.registry.delete_alias(model, "champion")
    world.registry.delete_alias(model, "champion")
    assert world.registry.model(model).aliases == {"other": 1}
    with pytest.raises(NotFound):
        world.registry.delete_alias(f"{model}_none", "champion")


def test_renamed_model_keeps_its_versions_with_the_times_of_their_making(world: World, model: str) -> None:
    """By this the watch knows a renamed model."""
    run_id = world.engineer.log_run()
    world.engineer.create_version(model, run_id=run_id)
    world.registry.set_stage(model, 1, "Production", archive_existing=False)
    world.registry.set_alias(model, "champion", 1)
    before = world.registry.version(model, 1)
    tick()
    world.engineer.rename_model(model, f"{model}_new")
    after = world.registry.version(f"{model}_new", 1)
    same = ("number", "stage", "source", "run_id", "created_at")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert after.last_updated_at > before.last_updated_at
    assert world.registry.model(f"{model}_new").aliases == {"champion": 1}
    with pytest.raises(NotFound):
        world.registry.model(model)


@pytest.mark.parametrize("alias", ["v1", "V12", "latest", "with space", "a/b"])
def test_reserved_and_odd_alias_names_are_refused(world: World, model: str, alias: str) -> None:
    world.engineer.create_version(model)
    with pytest.raises(Refused):
        world.registry.set_alias(model, alias, 1)
    assert world.registry.model(model).aliases == {}


# --- Deletions and errors


def test_deleted_version_is_not_found_and_not_listed_and_loses_its_alias(world: World, model: str) -> None:
    for _ in range(2):
        world.engineer.create_version(model)
    world.registry.set_alias(model, "champion", 1)
    world.engineer.delete_version(model, 1)
    with pytest.raises(NotFound, match="not found"):
        world.registry.version(model, 1)
    assert world.listed(model) == [2]
    assert world.registry.model(model).aliases == {}
    assert world.engineer.create_version(model) == 3, "numbers are not given again"


def test_deleted_model_is_not_found_and_its_numbers_start_anew(world: World, model: str) -> None:
    world.engineer.create_version(model)
    world.engineer.delete_model(model)
    with pytest.raises(NotFound, match=f"name={model} not found"):
        world.registry.model(model)
    assert (world.listed(model), list(world.registry.versions_in_stage(model, "None"))) == ([], [])
    assert world.engineer.create_version(model) == 1


def test_writing_to_what_is_not_there_says_so(world: World, model: str) -> None:
    writes: tuple[Callable[[], object], ...] = (
        lambda: world.registry.set_description(model, 7, "x"),
        lambda: world.registry.set_stage(model, 7, "Production", archive_existing=True),
        lambda: world.registry.set_tag(model, 7, "key", "value"),
        lambda: world.registry.delete_tag(model, 7, "key"),
        lambda: world.registry.set_alias(model, "champion", 7),
    )
    for write in writes:
        with pytest.raises(NotFound) as caught:
            write()
        assert not caught.value.may_retry
        assert "not found" in caught.value.message


# --- Runs and LoggedModels


def test_run_facts_are_read(world: World) -> None:
    run_id = world.engineer.log_run({"auc_roc": 0.93, "ndcg": 0.0}, {"max_depth": "8"}, tags={"commit": "abc"})
    run = world.registry.runs([run_id])[run_id]
    assert (run.run_id, run.status, run.user, run.is_deleted) == (run_id, "FINISHED", "rita", False)
    assert (run.metrics, run.params, run.tags["commit"]) == ({"auc_roc": 0.93, "ndcg": 0.0}, {"max_depth": "8"}, "abc")
    assert run.started_at is not None
    assert run.ended_at is not None


def test_metric_may_be_not_a_number(world: World) -> None:
    run_id = world.engineer.log_run({"loss": math.nan})
    assert math.isnan(world.registry.runs([run_id])[run_id].metrics["loss"])


@pytest.mark.parametrize("how_many", [1, 9])
def test_runs_that_do_not_exist_are_absent_and_deleted_ones_are_marked(world: World, how_many: int) -> None:
    ids = [world.engineer.log_run({"number": float(number)}) for number in range(how_many)]
    world.engineer.delete_run(ids[0])
    found = world.registry.runs([*ids, "0" * 32, "nobody's'; run"])
    assert set(found) == set(ids)
    assert [found[each].is_deleted for each in ids] == [True] + [False] * (how_many - 1)
    assert [found[each].metrics["number"] for each in ids] == [float(number) for number in range(how_many)]


def test_no_ids_need_no_request(world: World) -> None:
    assert (dict(world.registry.runs([])), dict(world.registry.logged_models([]))) == ({}, {})


@pytest.mark.parametrize("how_many", [1, 5])
def test_logged_models_are_read_and_named_by_the_source(world: World, model: str, how_many: int) -> None:
    ids = [world.engineer.log_model({"auc_roc": 0.9}, {"max_depth": "8"}) for _ in range(how_many)]
    found = world.registry.logged_models([*ids, "m-" + "0" * 32])
    assert set(found) == set(ids)
    assert {(each.status, measured(each), each.params["max_depth"]) for each in found.values()} == {
        ("READY", (("auc_roc", "", "", 0.9),), "8")
    }
    world.engineer.create_version(model, logged_model_id=ids[0])
    assert world.registry.version(model, 1).logged_model_id == ids[0]
    assert world.listed(model) == [1]


def measured(facts: LoggedModelFacts) -> tuple[tuple[str, str, str, Any], ...]:
    """(key, data set, digest, value), with NaN as a word."""
    listed = (
        (m.key, m.dataset_name, m.dataset_digest, "NaN" if math.isnan(m.value) else m.value) for m in facts.metrics
    )
    return tuple(sorted(listed))


@pytest.mark.parametrize("how_many", [1, 5])
def test_nan_of_a_logged_model_is_no_zero(world: World, how_many: int) -> None:
    """MLflow's LoggedModel API answers 0.0 for it; the run knows, and so does its history once it has another value."""
    ids = [world.engineer.log_model() for _ in range(how_many)]
    run_id = world.engineer.log_run()
    for logged in ids:
        world.engineer.log_metric(run_id, "loss", math.nan, logged_model_id=logged)
        world.engineer.log_metric(run_id, "violations", 0.0, logged_model_id=logged)
        world.engineer.log_metric(run_id, "mae", math.nan, logged_model_id=logged, dataset=("train", "d1"))
        world.engineer.log_metric(run_id, "mae", 0.0, logged_model_id=logged, dataset=("test", "d2"))
    for key in ("loss", "violations", "mae"):  # of another model, or of none
        world.engineer.log_metric(run_id, key, 0.5)
    found = world.registry.logged_models(ids)
    assert [measured(found[each]) for each in ids] == [
        (
            ("loss", "", "", "NaN"),
            ("mae", "test", "d2", 0.0),
            ("mae", "train", "d1", "NaN"),
            ("violations", "", "", 0.0),
        )
    ] * how_many
    assert world.registry.runs([run_id])[run_id].metrics == {"loss": 0.5, "violations": 0.5, "mae": 0.5}


def test_extreme_metrics_are_the_same_of_run_and_logged_model(world: World) -> None:
    logged, run_id = world.engineer.log_model(), world.engineer.log_run()
    values = {"up": math.inf, "down": -math.inf, "nothing": -0.0, "large": 1e308, "small": 5e-324, "third": 1 / 3}
    for key, value in values.items():
        world.engineer.log_metric(run_id, key, value, logged_model_id=logged)
    stored = {**values, "up": 1.7976931348623157e308, "down": -1.7976931348623157e308}
    assert world.registry.runs([run_id])[run_id].metrics == stored
    found = world.registry.logged_models([logged])[logged]
    assert {metric.key: metric.value for metric in found.metrics} == stored


# --- The real server alone: transport


@pytest.fixture
def real(mlflow_server: Any) -> tuple[Registry, Backstage]:
    from mirror.mlflow.client import MlflowRegistry

    return MlflowRegistry(mlflow_server.url, timeout_seconds=15), Backstage(mlflow_server.url)


@pytest.mark.server
def test_runs_of_a_deleted_experiment_are_found(real: tuple[Registry, Backstage], model: str) -> None:
    registry, engineer = real
    experiment = engineer.create_experiment(f"experiment {model}")
    ids = [engineer.log_run({"auc_roc": 0.5}, experiment_id=experiment) for _ in range(5)]
    engineer.delete_experiment(experiment)
    assert set(registry.runs(ids)) == set(ids)


@pytest.mark.server
def test_only_postgresql_refuses_a_longer_description(real: tuple[Registry, Backstage], model: str) -> None:
    registry, engineer = real
    fake, text = FakeRegistry(limit=DESCRIPTION_LIMIT if ON_POSTGRESQL else None), "x" * (DESCRIPTION_LIMIT + 1)
    for each, made_by in ((registry, engineer), (fake, fake)):
        made_by.create_version(model, description="Before.")
        if ON_POSTGRESQL:
            with pytest.raises(Refused, match="too long") as caught:
                each.set_description(model, 1, text)
            assert not caught.value.may_retry
            assert each.version(model, 1).description == "Before."
        else:
            each.set_description(model, 1, text)
            assert each.version(model, 1).description == text


@pytest.mark.server
def test_text_that_postgresql_cannot_store_is_replaced(real: tuple[Registry, Backstage], model: str) -> None:
    registry, engineer = real
    if ON_POSTGRESQL:
        with pytest.raises(AssertionError, match="NUL"):
            engineer.create_version(model, tags={"nul": "a\x00b"})
        return
    engineer.create_version(model, tags={"nul": "a\x00b"})
    registry.set_description(model, 1, "NUL \x00 here")
    version = registry.version(model, 1)
    assert (version.description, version.tags) == ("NUL \ufffd here", {"nul": "a\ufffdb"})
    assert [each for page in registry.versions(model=model) for each in page] == [version]


@pytest.mark.server
def test_one_request_per_write(real: tuple[Registry, Backstage], model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    registry, engineer = real
    engineer.create_version(model)
    sent: list[str] = []
    send = requests.Session.send

    def counting(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        sent.append(f"{request.method} {request.path_url.rpartition('/mlflow/')[2]}")
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", counting)
    registry.set_description(model, 1, "Text.")
    registry.set_tag(model, 1, "key", "value")
    registry.set_stage(model, 1, "Production", archive_existing=True)
    registry.set_alias(model, "champion", 1)
    assert sent == [
        "PATCH model-versions/update",
        "POST model-versions/set-tag",
        "POST model-versions/transition-stage",
        "POST registered-models/alias",
    ]


# --- A gate inside


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=[pytest.mark.server, pytest.mark.nodb])])
def gated(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        fake = FakeRegistry()
        fake.is_gated, fake.gates = True, [Gate("0.1", 12, "enforce")]
        return World(fake, fake)
    from mirror.mlflow.client import MlflowRegistry

    url = request.getfixturevalue("gated_server").url
    return World(MlflowRegistry(url, timeout_seconds=15), Backstage(url))


def held(world: World, model: str) -> tuple[list[int], dict[str, int]]:
    in_production = sorted(each.number for each in world.registry.versions_in_stage(model, "Production"))
    return in_production, dict(world.registry.model(model).aliases)


def test_a_place_is_changed_only_while_those_hold_it_who_were_read_there(gated: World, model: str) -> None:
    for _ in range(3):
        gated.engineer.create_version(model)
    registry, nobody = gated.registry, Grounds(7, {"Production": [], "@champion": []})
    registry.set_stage(model, 1, "Production", archive_existing=True, grounds=nobody)
    registry.set_alias(model, "champion", 1, grounds=Grounds(7, {"@champion": []}))
    for wrong in ([], [2], [3]):
        with pytest.raises(Outdated):
            registry.set_stage(model, 2, "Production", archive_existing=True, grounds=Grounds(7, {"Production": wrong}))
        with pytest.raises(Outdated):
            registry.set_alias(model, "champion", 2, grounds=Grounds(7, {"@champion": wrong}))
        with pytest.raises(Outdated):
            registry.delete_alias(model, "champion", grounds=Grounds(7, {"@champion": wrong}))
    assert held(gated, model) == ([1], {"champion": 1})
    registry.set_stage(model, 2, "Production", archive_existing=False, grounds=Grounds(7, {"Production": [1]}))
    registry.set_stage(model, 3, "Production", archive_existing=True, grounds=Grounds(7, {"Production": [2, 1]}))
    registry.delete_alias(model, "champion", grounds=Grounds(7, {"@champion": [1]}))
    assert held(gated, model) == ([3], {})


def test_what_is_so_already_may_be_asked_for_again(gated: World, model: str) -> None:
    """The answer to the first time was lost."""
    gated.engineer.create_version(model)
    nobody = Grounds(7, {"Production": [], "@champion": []})
    for _ in range(2):
        gated.registry.set_stage(model, 1, "Production", archive_existing=True, grounds=nobody)
    for _ in range(2):
        gated.registry.set_alias(model, "champion", 1, grounds=Grounds(7, {"@champion": []}))
    for _ in range(2):
        gated.registry.delete_alias(model, "champion", grounds=Grounds(7, {"@champion": [1]}))
    assert held(gated, model) == ([1], {})


def test_note_and_tags_are_written_through_it(gated: World, model: str) -> None:
    gated.engineer.create_version(model, description="Mine.")
    grounds, registry = Grounds(7), gated.registry
    note = "Mine.\n\n<!-- countersign:begin -->\nApproved.\n<!-- countersign:end -->"
    registry.set_description(model, 1, note, grounds=grounds)
    registry.set_tag(model, 1, "countersign.request", "7", grounds=grounds)
    found = registry.version(model, 1)
    assert (found.description, found.tags) == (note, {"countersign.request": "7"})
    registry.delete_tag(model, 1, "countersign.request", grounds=grounds)
    registry.set_description(model, 1, "Mine.", grounds=grounds)
    found = registry.version(model, 1)
    assert (found.description, found.tags) == ("Mine.", {})


def test_grounds_are_nothing_to_a_server_without_a_gate(world: World, model: str) -> None:
    world.engineer.create_version(model)
    world.registry.set_alias(model, "champion", 1, grounds=Grounds(7, {"@champion": [5]}))
    assert world.registry.model(model).aliases == {"champion": 1}


def test_whether_there_is_a_gate(world: World, gated: World) -> None:
    assert world.registry.gate() is None
    found = gated.registry.gate()
    assert found is not None
    assert (found.serial, found.mode) == (12, "enforce")
