"""Sealed files of a real MLflow server: over each route by which a file is written or deleted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow_gate import attacks
from mlflow_gate.attacks import GOES_ON, NOT_TAKEN, REFUSED

from tests.support.gate import Countersign
from tests.support.mlflow_server import MlflowServer
from tests.support.siege import GuardedMlflow

pytestmark = [pytest.mark.server, pytest.mark.nodb]  # this MLflow is on SQLite in any case

SEALED = "1/models/m-7e81/artifacts"
LARGE = 20_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("sealed")
    (folder / "artifacts" / SEALED).mkdir(parents=True)
    (folder / "artifacts" / SEALED / "model.pkl").write_bytes(b"approved")
    with Countersign() as site, GuardedMlflow(folder, site) as started:
        yield started


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client tries again for minutes."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def at(server: MlflowServer) -> attacks.Mlflow:
    return attacks.Mlflow(server.url)


def test_each_way_in_is_refused(server: MlflowServer, at: attacks.Mlflow) -> None:
    for folder in (SEALED, attacks.SEALED):
        came = {each.title: attacks.judge(each, at.attempt(each)) for each in attacks.file_attacks(folder)}
        odd = {title: verdict for title, verdict in came.items() if verdict != REFUSED}
        # A local destination takes no uploads in parts at all.
        assert set(odd.values()) == {NOT_TAKEN}
        assert {title for title in odd if "in parts" not in title} == set()
    assert (server.artifacts / SEALED / "model.pkl").read_bytes() == b"approved"
    assert [path.name for path in (server.artifacts / SEALED).iterdir()] == ["model.pkl"]


def test_what_is_not_sealed_goes_on(at: attacks.Mlflow) -> None:
    for attempt in attacks.files_that_go_on("2/models/m-0000/artifacts"):
        assert attacks.judge(attempt, at.attempt(attempt)) == GOES_ON, attempt


def test_sealed_files_are_read_as_before(at: attacks.Mlflow) -> None:
    assert at.call("GET", f"mlflow-artifacts/artifacts/{SEALED}/model.pkl").text == "approved"
    listed = json.loads(at.call("GET", f"mlflow-artifacts/artifacts?path={SEALED}").text)
    assert [each["path"] for each in listed["files"]] == ["model.pkl"]


def test_who_uploads_much_reads_why_not(server: MlflowServer, tmp_path: Path) -> None:
    """The refusal comes back before all of it is sent."""
    file = tmp_path / "model.pkl"
    file.write_bytes(b"x" * LARGE)
    repository = get_artifact_repository(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{SEALED}")
    with pytest.raises(Exception, match="The files of churn version 6 cannot be changed"):
        repository.log_artifact(str(file))


def test_the_pages_upload_of_a_run_is_refused(at: attacks.Mlflow, server: MlflowServer) -> None:
    """`upload-artifact` writes into a run's folder."""
    made = json.loads(at.call("POST", "mlflow/runs/create", {"experiment_id": "0"}).text)
    run = made["run"]["info"]["run_id"]
    target = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=notes.txt"
    assert at.send("POST", target, b"mine").status == 200
    assert (server.artifacts / "0" / run / "artifacts/notes.txt").exists()


@pytest.mark.parametrize("source", ["countersign:/etc", "countersign:///etc"])
def test_our_scheme_opens_nothing_of_the_host(source: str, at: attacks.Mlflow) -> None:
    """MLflow keeps engineers from `file:/etc`; the scheme of the gate must not give it to them."""
    name = f"reader-{len(source)}"
    at.call("POST", "mlflow/registered-models/create", {"name": name})
    at.call("POST", "mlflow/model-versions/create", {"name": name, "source": source})
    read = at.send("GET", f"/model-versions/get-artifact?name={name}&version=1&path=hostname")
    assert read.status >= 400
    made = json.loads(at.call("POST", "mlflow/experiments/create", {"name": name, "artifact_location": source}).text)
    run: Any = json.loads(at.call("POST", "mlflow/runs/create", {"experiment_id": made["experiment_id"]}).text)
    run_id = run["run"]["info"]["run_id"]
    written = at.send("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=x", b"x")
    assert written.status == 400
    assert "for no other address" in written.error


def test_training_goes_on(server: MlflowServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    mlflow.set_tracking_uri(server.url)
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with mlflow.start_run():
        mlflow.log_artifact(str(file))
        mlflow.log_artifact(str(file), "deep/er")
        uri = mlflow.get_artifact_uri()
    repository = get_artifact_repository(uri)
    assert {each.path for each in repository.list_artifacts()} == {"notes.txt", "deep"}
    with pytest.raises(MlflowException):
        repository.download_artifacts("missing.txt", str(tmp_path))
