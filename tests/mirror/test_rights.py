"""`manage.py check_mlflow`: what the service account may do, tried on a canary, and what is said of what is missing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mirror import connect, rights, sync
from mirror.models import MirrorState, RegisteredModel, SetupCheck
from mirror.port import Refused
from mirror.rights import Level, Row, Trial
from tests.support.backstage import Backstage
from tests.support.fakes import FakeRegistry
from tests.support.mlflow_server import MlflowServer
from tests.support.monitor import readyz
from tests.support.signed import PASSWORD, SignedMlflow

pytestmark = pytest.mark.django_db


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.what: row for row in rows}


def bad(rows: list[Row]) -> list[str]:
    return [row.what for row in rows if row.level == Level.BAD]


def connected(url: str) -> Any:
    from mirror.mlflow.client import MlflowRegistry

    return MlflowRegistry(url, timeout_seconds=30)


# --- On the fake


def test_everything_allowed_is_good_and_leaves_nothing_behind() -> None:
    fake = FakeRegistry()
    rows = Trial(fake).run()
    assert bad(rows) == []
    assert list(fake._models) == []


def test_psycopg_3_is_named_in_words() -> None:
    class Psycopg3(FakeRegistry):
        def set_stage(self, model: str, number: int, stage: str, *, archive_existing: bool, **values: Any) -> None:
            if archive_existing:
                raise Refused(
                    "(psycopg.errors.UndefinedFunction) operator does not exist: integer <> character varying"
                )
            super().set_stage(model, number, stage, archive_existing=archive_existing, **values)

    fake = Psycopg3()
    rows = Trial(fake).run()
    assert bad(rows) == ["Set a stage, archiving what is there"]
    assert "install psycopg2" in by_name(rows)["Set a stage, archiving what is there"].remedy
    assert list(fake._models) == []


def test_an_account_that_may_not_make_a_model_can_use_one_that_is_there() -> None:
    class Guarded(FakeRegistry):
        def create_model(self, name: str, **fields: Any) -> str:
            raise Refused("Permission denied")

    fake = Guarded()
    rows = Trial(fake).run()
    assert bad(rows) == ["Create a model"]
    assert "check_mlflow --model countersign-canary --version 1" in by_name(rows)["Create a model"].remedy
    FakeRegistry.create_model(fake, "countersign-canary")
    fake.create_version("countersign-canary")
    assert bad(Trial(fake, model="countersign-canary").run()) == []
    assert fake.version("countersign-canary", 1).stage == "None"


def test_a_model_of_somebodys_is_no_canary() -> None:
    fake = FakeRegistry()
    fake.create_version("churn_predictor")
    with pytest.raises(ValueError, match="is not a canary"):
        Trial(fake, model="churn_predictor").run()
    assert fake.calls == []


def test_a_canary_is_not_mirrored_and_nobody_is_accused() -> None:
    fake = FakeRegistry()
    fake.create_version("countersign-canary-0a1b2c3d")
    fake.create_version("countersign-canaryfish")
    sync.sweep(fake)
    sync.pull(fake)
    assert list(RegisteredModel.objects.values_list("name", flat=True)) == ["countersign-canaryfish"]


def test_another_registry_is_called_out() -> None:
    fake = FakeRegistry()
    fake.create_version("churn_predictor")
    sync.sweep(fake)
    other = FakeRegistry()
    other.born_at += 1000
    row = by_name(Trial(other).run())["This is the registry that is mirrored"]
    assert row.level == Level.BAD
    assert "carries no identity" in row.words


@pytest.mark.parametrize(("seconds", "level"), [(2.0, Level.GOOD), (-3600.0, Level.BAD)])
def test_a_clock_that_is_off_is_called_out(seconds: float, level: Level) -> None:
    fake = FakeRegistry()
    fake.skew_seconds = seconds
    row = by_name(Trial(fake).run())["MLflow's clock"]
    assert row.level == level
    assert f"{abs(seconds):.0f} seconds {'ahead of' if seconds > 0 else 'behind'} the database's" in row.words


def test_the_result_is_kept_and_shown(monkeypatch: pytest.MonkeyPatch, ada: Any, client: Any) -> None:
    class Reader(FakeRegistry):
        def delete_alias(self, model: str, alias: str, **_: Any) -> None:
            raise Refused("Permission denied")

    monkeypatch.setattr(connect, "connect", Reader)
    client.force_login(ada)
    assert "The rights of the service account have not been checked yet." in client.get("/system/").content.decode()
    with pytest.raises(SystemExit) as ended:
        call_command("check_mlflow")
    assert ended.value.code == 1
    assert not SetupCheck.objects.get().is_good
    page = client.get("/system/").content.decode()
    assert "Delete an alias: Permission denied" in page
    assert "EDIT is not enough for deleting a tag or an alias" in page
    assert readyz(client).json()["checks"]["rights"] == {"ok": False, "detail": "Missing: Delete an alias."}
    assert client.get("/readyz?strict=1").status_code == 503
    monkeypatch.setattr(connect, "connect", FakeRegistry)
    MirrorState.objects.all().delete()
    call_command("check_mlflow")
    assert client.get("/readyz").json()["checks"]["rights"]["ok"]


def test_a_wrong_model_ends_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "connect", FakeRegistry)
    with pytest.raises(CommandError) as ended:
        call_command("check_mlflow", model="churn_predictor")
    assert ended.value.returncode == 2
    assert SetupCheck.objects.count() == 0


# --- On a real MLflow


@pytest.mark.server
def test_on_a_real_mlflow_without_sign_in(mlflow_server: MlflowServer, capsys: pytest.CaptureFixture[str]) -> None:
    real = connected(mlflow_server.url)
    Backstage(mlflow_server.url).create_version("churn_predictor")
    sync.sweep(real)
    rows = Trial(real).run()
    assert bad(rows) == [], [row for row in rows if row.level == Level.BAD]
    assert by_name(rows)["No writing without sign-in"].words.startswith("Anybody who reaches MLflow")
    assert by_name(rows)["The same on the models that are mirrored"].level == Level.GOOD
    assert [each.name for page in real.models() for each in page] == ["churn_predictor"]


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedMlflow]:
    with SignedMlflow(tmp_path_factory.mktemp("signed")) as server:
        server.model("churn_predictor")
        yield server


def trial_as(signed: SignedMlflow, name: str, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    real = connected(signed.url)
    sync.sweep(real)
    return Trial(real).run()


@pytest.mark.server
@pytest.mark.nodb
def test_under_basic_auth_edit_is_not_enough(signed: SignedMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may do everything with the canary, whose owner it is; the models belong to others."""
    signed.grant(signed.person("editor"), "churn_predictor", "EDIT")
    rows = trial_as(signed, "editor", monkeypatch)
    assert bad(rows) == ["The same on the models that are mirrored"], rows
    row = by_name(rows)["The same on the models that are mirrored"]
    assert "1 of 1 models (churn_predictor)" in row.words
    assert "give editor MANAGE (EDIT is not enough for deleting a tag or an alias)" in row.remedy
    assert by_name(rows)["No writing without sign-in"].level == Level.GOOD


@pytest.mark.server
@pytest.mark.nodb
def test_under_basic_auth_manage_is_enough(signed: SignedMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    signed.grant(signed.person("manager"), "churn_predictor", "MANAGE")
    rows = trial_as(signed, "manager", monkeypatch)
    assert bad(rows) == [], rows


@pytest.mark.server
@pytest.mark.nodb
def test_under_basic_auth_a_wrong_password_is_named(signed: SignedMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "nobody")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    rows = Trial(connected(signed.url)).run()
    assert bad(rows)
    assert any("Set MLFLOW_TRACKING_USERNAME" in row.remedy for row in rows if row.level == Level.BAD)


def test_rows_are_plain_json() -> None:
    trial = Trial(FakeRegistry())
    trial.run()
    rights.keep(trial, rights.clock.now())
    assert json.dumps(SetupCheck.objects.get().rows)
