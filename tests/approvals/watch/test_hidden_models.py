"""One tag must not blind the watch: models and versions that are marked as prompts, and what MLflow's search then
hides. On the fake and on a real server alike."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from accounts.models import User
from approvals import assessment, ledger, watch
from approvals.models import Incident, Status, Target, Tenure
from approvals.watch import incidents
from mirror import sync
from mirror.models import MirrorState, ModelVersion, RegisteredModel
from mirror.port import PROMPT_TAG, NotFound
from tests.support.backstage import Backstage
from tests.support.factories import approve
from tests.support.fakes import FakeRegistry
from tests.support.world import answered_by, ask, deliver, observe, running, version

pytestmark = pytest.mark.django_db
FOUND, OUTSIDE = Tenure.Origin.FOUND, Tenure.Origin.OUTSIDE
_numbers = count(1)


on_the_fake = pytest.mark.parametrize("world", ["fake"], indirect=True)
"""Where what MLflow answers is what another test has already met on a real server."""


@dataclass
class World:
    registry: Any
    engineer: Any
    model: str

    def poison(self) -> None:
        """Two calls that any engineer may make, and that no call undoes."""
        self.engineer.delete_version(self.model, self.engineer.create_version(self.model, tags={PROMPT_TAG: "true"}))

    def incidents(self) -> list[tuple[str, str, str]]:
        return list(Incident.objects.order_by("pk").values_list("kind", "place", "resolution"))


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=[pytest.mark.server, pytest.mark.further])])
def world(request: pytest.FixtureRequest, db: None) -> Iterator[World]:
    """A model with three versions, the first in Production and champion; known to the watch. It is deleted at the end,
    because all tests share one server, on which what is hidden once stays so."""
    name = f"concealed_{next(_numbers)}"
    if request.param == "fake":
        fake = FakeRegistry()
        world = World(fake, fake, name)
    else:
        from mirror.mlflow.client import MlflowRegistry

        url = request.getfixturevalue("mlflow_server").url
        world = World(MlflowRegistry(url, timeout_seconds=15), Backstage(url), name)
    for number in (1, 2, 3):
        world.engineer.create_version(name, run_id=world.engineer.log_run({"auc_roc": 0.9 + number / 100}))
    world.registry.set_stage(name, 1, "Production", archive_existing=True)
    world.registry.set_alias(name, "champion", 1)
    assert observe(world.registry) == 0
    yield world
    for suffix in ("", "_idle", "_early", "_greeting", "_half"):
        with suppress(NotFound):
            world.registry.model(name + suffix)
            world.engineer.delete_model(name + suffix)


def deleted() -> list[int]:
    return list(ModelVersion.objects.exclude(deleted_at=None).values_list("number", flat=True))


# --- A version that was a prompt and is deleted: MLflow lists no version of the model any more


def test_poisoned_model_stays_mirrored_and_is_one_incident(world: World) -> None:
    world.poison()
    assert observe(world.registry) == 1
    assert observe(world.registry) == 0
    assert world.incidents() == [("hidden", "Production", "")]
    assert RegisteredModel.objects.get(name=world.model).hidden_at is not None
    assert deleted() == []
    assert running("Production", world.model) == running("@champion", world.model) == {1: FOUND}
    assert ledger.verify().is_intact


def test_move_in_a_poisoned_model_is_found_by_the_sweep(world: World) -> None:
    world.poison()
    observe(world.registry)
    world.registry.set_stage(world.model, 2, "Production", archive_existing=True)
    world.registry.set_alias(world.model, "champion", 2)
    assert observe(world.registry) == 2
    assert running("Production", world.model) == running("@champion", world.model) == {2: OUTSIDE}
    assert world.incidents()[1:] == [("moved", "Production", ""), ("moved", "@champion", "")]


@on_the_fake
@pytest.mark.parametrize("change", ["stage", "alias"])
def test_move_in_a_poisoned_model_is_found_by_the_pull(world: World, change: str) -> None:
    world.poison()
    observe(world.registry)
    if change == "stage":
        world.registry.set_stage(world.model, 3, "Production", archive_existing=True)
    else:
        world.registry.set_alias(world.model, "champion", 3)
    sync.pull(world.registry)
    assert watch.look(world.registry).found == 1
    assert Incident.objects.latest("pk").after == [3]


def test_requests_for_a_poisoned_model_go_on(
    world: World, production: Target, rita: User, remy: User, rosa: User
) -> None:
    """Production has one more holder meanwhile, which no listing shows and the promotion has to archive."""
    world.registry.set_stage(world.model, 3, "Production", archive_existing=False)
    observe(world.registry)
    request = ask(world.registry, 2, production, by=rita, model=world.model)
    world.poison()
    observe(world.registry)
    assessment.watch()
    request.refresh_from_db()
    assert (request.status, request.champion and request.champion.number) == (Status.PENDING, 3)
    assert deliver(approve(request, remy, rosa), world.registry) == "applied"
    stages = {number: world.registry.version(world.model, number).stage for number in (1, 2, 3)}
    assert stages == {1: "Archived", 2: "Production", 3: "Archived"}
    assert observe(world.registry) == 0
    assert set(running("Production", world.model)) == {2}


@on_the_fake
def test_request_for_a_version_of_a_poisoned_model_can_be_made(world: World, production: Target, rita: User) -> None:
    world.poison()
    observe(world.registry)
    assert ask(world.registry, 3, production, by=rita, model=world.model).status == Status.PENDING


@on_the_fake
def test_version_registered_after_the_poison_is_mirrored(world: World) -> None:
    world.poison()
    observe(world.registry)
    number = world.engineer.create_version(world.model, run_id=world.engineer.log_run({"auc_roc": 0.99}))
    observe(world.registry)
    assert version(number, world.model).metrics == {"auc_roc": 0.99}


@on_the_fake
def test_version_of_a_poisoned_model_is_deleted_when_mlflow_says_so_of_its_number(world: World) -> None:
    world.poison()
    observe(world.registry)
    world.engineer.delete_version(world.model, 3)
    observe(world.registry)
    assert deleted() == [3]


def test_change_in_a_poisoned_model_is_put_back(world: World, production: Target) -> None:
    answered_by("put_back", production)
    world.poison()
    observe(world.registry)
    assert "not_put_back" in Incident.objects.get().details
    world.registry.set_stage(world.model, 2, "Production", archive_existing=True)
    sync.sweep(world.registry)
    assert watch.run(world.registry) == 1
    assert [world.registry.version(world.model, number).stage for number in (1, 2)] == ["Production", "Archived"]
    assert world.incidents() == [("hidden", "Production", ""), ("moved", "Production", "put_back")]


@on_the_fake
def test_poisoned_model_that_is_deleted_ends_its_incident(world: World) -> None:
    world.poison()
    observe(world.registry)
    world.engineer.delete_model(world.model)
    observe(world.registry)
    assert world.incidents()[0] == ("hidden", "Production", "explained")
    assert set(deleted()) == {1, 2, 3}
    assert {kind for kind, _, _ in world.incidents()[1:]} == {"deleted"}


@on_the_fake
def test_hiding_that_somebody_explained_is_not_told_again(world: World, remy: User) -> None:
    world.poison()
    observe(world.registry)
    incidents.resolve(Incident.objects.get(), by=remy, reason="A mistake of the prompt team; MLflow cannot undo it.")
    assert observe(world.registry) == 0
    assert Incident.objects.count() == 1


@on_the_fake
def test_model_on_which_nothing_depends_is_marked_and_no_incident(world: World) -> None:
    name = f"{world.model}_idle"
    world.engineer.create_version(name)
    observe(world.registry)
    world.engineer.delete_version(name, world.engineer.create_version(name, tags={PROMPT_TAG: "true"}))
    assert observe(world.registry) == 0
    assert RegisteredModel.objects.get(name=name).hidden_at is not None
    assert deleted() == []


@on_the_fake
def test_model_that_was_poisoned_before_it_was_mirrored_is_mirrored(world: World) -> None:
    name = f"{world.model}_early"
    world.engineer.create_version(name)
    world.engineer.delete_version(name, world.engineer.create_version(name, tags={PROMPT_TAG: "true"}))
    world.engineer.create_version(name)
    world.registry.set_stage(name, 1, "Production", archive_existing=True)
    assert observe(world.registry) == 2
    assert running("Production", name) == {1: OUTSIDE}
    assert sorted(ModelVersion.objects.filter(model__name=name).values_list("number", flat=True)) == [1, 3]


# --- The tag on the model, and on a version


def test_model_marked_as_a_prompt_stays_watched(world: World) -> None:
    world.engineer.set_model_tag(world.model, PROMPT_TAG, "true")
    world.registry.set_alias(world.model, "champion", 2)
    assert observe(world.registry) == 2
    assert world.incidents() == [("moved", "@champion", ""), ("prompt", "Production", "")]
    assert deleted() == []
    assert RegisteredModel.objects.get(name=world.model).is_prompt
    world.engineer.delete_model_tag(world.model, PROMPT_TAG)
    assert observe(world.registry) == 0
    assert world.incidents() == [("moved", "@champion", ""), ("prompt", "Production", "undone")]
    assert RegisteredModel.objects.get(name=world.model).hidden_at is None


def test_version_marked_as_a_prompt_and_moved_is_found(world: World) -> None:
    world.registry.set_tag(world.model, 2, PROMPT_TAG, "true")
    world.registry.set_stage(world.model, 2, "Production", archive_existing=True)
    world.registry.set_alias(world.model, "champion", 2)
    assert observe(world.registry) == 3
    assert world.incidents() == [("moved", "Production", ""), ("moved", "@champion", ""), ("prompt", "Production", "")]
    assert Incident.objects.latest("pk").details["versions"] == [2]
    assert deleted() == []
    assert version(2, world.model).is_prompt
    world.registry.delete_tag(world.model, 2, PROMPT_TAG)
    observe(world.registry)
    assert world.incidents()[-1] == ("prompt", "Production", "undone")


@on_the_fake
def test_request_for_a_version_that_became_a_prompt_goes_on(
    world: World, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = ask(world.registry, 2, production, by=rita, model=world.model)
    world.registry.set_tag(world.model, 2, PROMPT_TAG, "true")
    assert observe(world.registry) == 1
    assessment.watch()
    request.refresh_from_db()
    assert request.status == Status.PENDING
    assert deliver(approve(request, remy, rosa), world.registry) == "applied"


@on_the_fake
@pytest.mark.parametrize("value", ["false", "TRUE"])
def test_another_value_of_the_tag_changes_nothing(world: World, value: str) -> None:
    world.engineer.set_model_tag(world.model, PROMPT_TAG, value)
    world.registry.set_tag(world.model, 2, PROMPT_TAG, value)
    assert observe(world.registry) == 0
    assert RegisteredModel.objects.get(name=world.model).hidden_at is None
    world.registry.set_alias(world.model, "champion", 2)
    assert observe(world.registry) == 1
    assert world.incidents() == [("moved", "@champion", "")]


def test_prompt_stays_outside_of_the_mirror(world: World) -> None:
    name = f"{world.model}_greeting"
    world.engineer.create_model(name, is_prompt=True)
    world.engineer.create_version(name, tags={PROMPT_TAG: "true"})
    plain = f"{world.model}_half"
    world.engineer.create_model(plain, is_prompt=True)
    world.engineer.create_version(plain)
    sync.hint(name)
    sync.follow_hints(world.registry)
    observe(world.registry)
    assert RegisteredModel.objects.filter(name__in=[name, plain]).count() == 0


# --- What an earlier release has marked


@on_the_fake
def test_what_was_taken_for_deleted_comes_back_and_its_incidents_end(world: World) -> None:
    now = MirrorState.objects.current().stages_asked_at
    world.engineer.delete_version(world.model, 3)
    RegisteredModel.objects.update(deleted_at=now, read_at=now)
    ModelVersion.objects.update(deleted_at=now, read_at=now)
    assert watch.look().found == 2
    world.poison()
    observe(world.registry)
    assert deleted() == [3]
    assert running("Production", world.model) == running("@champion", world.model) == {1: FOUND}
    assert [each for each in world.incidents() if each[0] == "deleted"] == [
        ("deleted", "Production", "undone"),
        ("deleted", "@champion", "undone"),
    ]
