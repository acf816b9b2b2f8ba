"""The whole room. What MLflow does not let Countersign read, or what does not fit its tables, is noted; everything else
goes on."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from mirror import sync
from mirror.mlflow import parsing
from mirror.models import Alias, MirrorState, ModelVersion, RegisteredModel
from mirror.port import Denied, Refused, Unreachable, Unsigned
from registry_ui import system
from tests.support.fakes import FakeRegistry
from tests.support.monitor import readyz
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
MODEL = "churn_predictor"


@pytest.fixture
def registry() -> FakeRegistry:
    """Six versions, each with a run and a LoggedModel of its own."""
    fake = FakeRegistry()
    for number in range(6):
        run_id, logged = fake.log_run({"auc_roc": number / 10}), fake.log_model({"loss": 1.0})
        fake.create_version(MODEL, run_id=run_id, logged_model_id=logged)
    fake.create_version("fraud", run_id=fake.log_run({"auc_roc": 0.8}))
    return fake


@pytest.fixture
def seen_by(client: Client, vera: User) -> Callable[[str], str]:
    def get(path: str) -> str:
        client.force_login(vera)
        answer = readyz(client) if path == "/readyz" else client.get(path)
        return text_of(answer.content.decode())

    return get


def version(number: int, model: str = MODEL) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(model__name=model, number=number)


def notes() -> list[str]:
    return list(MirrorState.objects.current().sweep_notes)


# --- Runs and LoggedModels


@pytest.mark.parametrize("is_known", [False, True])
def test_a_run_that_may_not_be_read_is_noted_and_the_rest_is_read(
    registry: FakeRegistry, seen_by: Callable[[str], str], is_known: bool
) -> None:
    if is_known:
        sync.sweep(registry)
    registry.denied = {registry.version(MODEL, 3).run_id}
    sync.sweep(registry)
    run = version(3).run
    assert (run["is_unreadable"], run["is_missing"]) == (True, False)
    assert ("auc_roc" in version(3).metrics) is is_known, "facts read before are kept"
    assert version(3).metrics["loss"] == 1.0
    assert version(4).metrics == {"auc_roc": 0.3, "loss": 1.0}
    page = seen_by(f"/models/{MODEL}/versions/3/")
    assert "May not be read" in page
    assert "MLflow does not let Countersign read the run of version 3, or it is gone." in page
    assert "Run deleted" not in page
    registry.denied = set()
    sync.sweep(registry)
    assert "is_unreadable" not in version(3).run
    assert version(3).metrics["auc_roc"] == 0.2


def test_a_logged_model_that_may_not_be_read_is_noted(registry: FakeRegistry, seen_by: Callable[[str], str]) -> None:
    registry.denied = {registry.version(MODEL, 3).logged_model_id}
    sync.sweep(registry)
    assert version(3).run["logged_model"]["is_unreadable"]
    assert version(3).metrics == {"auc_roc": 0.2}
    assert "May not be read" in seen_by(f"/models/{MODEL}/versions/3/")


# --- Models


def test_a_model_that_may_not_be_read_is_kept_and_noted(registry: FakeRegistry, seen_by: Callable[[str], str]) -> None:
    sync.sweep(registry)
    registry.denied = {"fraud"}
    registry.set_stage(MODEL, 1, "Production", archive_existing=False)
    report = sync.sweep(registry)
    assert (report.deleted, version(1, "fraud").deleted_at, version(1).stage) == (0, None, "Production")
    assert RegisteredModel.objects.get(name="fraud").unreadable_at is not None
    assert notes() == ["MLflow does not let Countersign read the model fraud. Permission denied"]
    assert "does not let Countersign read this model" in seen_by("/models/fraud/")
    assert "read the model fraud" in seen_by("/system/")
    sync.sweep(registry)
    assert version(1, "fraud").deleted_at is None
    registry.denied = set()
    sync.sweep(registry)
    assert RegisteredModel.objects.get(name="fraud").unreadable_at is None
    assert notes() == []


def test_a_deleted_model_is_seen_where_403_is_the_answer_about_its_versions(registry: FakeRegistry) -> None:
    """As MLflow's basic-auth answers to all but administrators."""
    sync.sweep(registry)
    registry.delete_model("fraud")
    registry.fail_next("version", Denied("Permission denied"))
    assert sync.sweep(registry).deleted == 1
    assert RegisteredModel.objects.get(name="fraud").deleted_at is not None


def test_credentials_that_are_refused_stop_the_sweep_and_are_said(registry: FakeRegistry) -> None:
    sync.sweep(registry)
    registry.fail_next("models", Unsigned("MLflow does not accept the credentials."))
    with pytest.raises(Unsigned):
        sync.sweep(registry)
    part = next(part for part in system.parts() if part.name == "Sweep")
    assert (part.word, part.error) == ("Fails", "MLflow does not accept the credentials.")


def test_no_permission_at_all_is_said(registry: FakeRegistry, seen_by: Callable[[str], str]) -> None:
    registry.denied = {MODEL, "fraud"}
    assert sync.pull(registry).error == ""
    sync.pull(registry)
    assert RegisteredModel.objects.count() == 0
    assert "MLflow answers, and shows no model to this account." in seen_by("/system/")
    assert "MLflow answers, and shows no model to this account." in seen_by("/readyz")
    assert "its account lacks the right to read them" in seen_by("/models/")


# --- What does not fit


def test_a_name_that_is_too_long_is_refused_with_a_note_and_the_rest_is_stored(
    registry: FakeRegistry, seen_by: Callable[[str], str]
) -> None:
    long = "m" * 257
    registry.create_version(long)
    sync.sweep(registry)
    registry.create_version(long)
    number = registry.create_version(MODEL)
    registry.calls.clear()
    assert sync.pull(registry).changed == 1
    sync.sweep(registry)
    assert version(number).stage == "None"
    assert set(RegisteredModel.objects.values_list("name", flat=True)) == {MODEL, "fraud"}
    assert [note[:20] for note in notes()] == ["The model mmmmmmmmmm"]
    assert "257 characters" in seen_by("/system/")
    assert registry.count("model") <= 2, "what is refused is not asked for again and again"


def test_an_alias_that_is_too_long_is_left_out_alone(registry: FakeRegistry) -> None:
    registry.set_alias(MODEL, "a" * 257, 1)
    registry.set_alias(MODEL, "champion", 2)
    sync.sweep(registry)
    assert list(Alias.objects.values_list("name", "number")) == [("champion", 2)]
    assert len(notes()) == 1
    assert sync.sweep(registry).changed == 0


def test_an_impossible_number_is_left_out(registry: FakeRegistry) -> None:
    registry._last_number[MODEL] = 2**31
    registry.create_version(MODEL)
    sync.sweep(registry)
    assert ModelVersion.objects.filter(model__name=MODEL).count() == 6


def test_texts_and_times_of_a_version_are_cut_to_what_can_be_kept() -> None:
    read = parsing.version(
        {
            "name": MODEL,
            "version": "1",
            "run_id": "r" * 100,
            "model_id": "m" * 100,
            "status": "s" * 100,
            "current_stage": "c" * 100,
            "creation_timestamp": 10**18,
            "last_updated_timestamp": -5,
        }
    )
    assert (len(read.run_id), len(read.logged_model_id), len(read.status), len(read.stage)) == (64, 64, 40, 20)
    registry = FakeRegistry()
    registry.create_version(MODEL)
    registry.change_version(MODEL, 1, **{name: getattr(read, name) for name in ("run_id", "status", "stage")})
    registry.change_version(MODEL, 1, created_at=read.created_at, last_updated_at=read.last_updated_at)
    sync.sweep(registry)
    assert (version(1).created_at.year, version(1).last_updated_at.year) == (9999, 1970)


# --- The version of the server


@pytest.mark.parametrize("error", [Unreachable("MLflow answered 502"), Refused("Not allowed"), Denied("No")])
def test_a_gateway_that_hides_the_servers_version_stops_nothing(
    registry: FakeRegistry, seen_by: Callable[[str], str], error: Exception
) -> None:
    registry.fail_next("ping", error, times=3)  # type: ignore[arg-type]
    assert sync.pull(registry).changed == 7
    assert sync.sweep(registry).versions == 7
    assert sync.pull(registry).error == ""
    assert "Version unknown" in seen_by("/system/")
    assert "Version unknown." in seen_by("/readyz")


def test_nothing_is_said_where_everything_may_be_read(registry: FakeRegistry) -> None:
    sync.sweep(registry)
    MirrorState.objects.record(pulled_at=timezone.now())
    assert notes() == []
    assert next(part.word for part in system.parts() if part.name == "Sweep") == "On time"
