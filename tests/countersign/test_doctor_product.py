"""The doctor against the product and real MLflow servers, with the gate and without it."""

import json
from pathlib import Path

import pytest

from tests.support.command_line import command
from tests.support.factories import make_person, make_token
from tests.support.gate import Countersign
from tests.support.mlflow_server import MlflowServer
from tests.support.siege import GuardedMlflow

pytestmark = [pytest.mark.server, pytest.mark.nodb]  # what answers is asked on each database by the tests of its room


@pytest.fixture
def access(site: str) -> dict[str, str]:
    return {"COUNTERSIGN_URL": site, "COUNTERSIGN_TOKEN": make_token(make_person("Rita Sanz", "requester"))}


def test_a_guarded_mlflow_is_well(access: dict[str, str], tmp_path: Path) -> None:
    with Countersign() as gate, GuardedMlflow(tmp_path, gate) as server:
        done = command("doctor", server.url, **access)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("Countersign: OK")
    assert "MLflow: OK" in done.stdout
    assert "Nothing is open." in done.stdout


def test_an_open_mlflow_is_not(access: dict[str, str], tmp_path: Path) -> None:
    with MlflowServer(tmp_path) as server:
        done = command("doctor", "--json", MLFLOW_TRACKING_URI=server.url, **access)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["is_well"], found["countersign"]["is_well"], found["mlflow"]["is_well"]) == (False, True, False)
    assert "The gate is not shut." in found["mlflow"]["detail"]
