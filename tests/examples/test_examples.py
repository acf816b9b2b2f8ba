"""The code that a team has already runs unmodified: train, stage, test, promote, serve, with and without the gate."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pytest
from mlflow import MlflowClient
from pytest_django import Settings

from accounts.models import User
from approvals import assessment, delivery, workflow
from approvals.models import PromotionRequest, Target
from mirror import sweep
from mirror.mlflow.client import MlflowRegistry
from mirror.models import ModelVersion
from registry_ui.demo.installation import ROOT, answers
from registry_ui.demo.processes import Process, Supervisor
from tests.support.mlflow_server import MlflowServer, free_port

pytestmark = [pytest.mark.server, pytest.mark.nodb]  # what the scripts call is called on each database by others

EXAMPLES = ROOT / "examples"
MODEL = "churn_predictor"


def environment(server: MlflowServer) -> dict[str, str]:
    return os.environ | {"MLFLOW_TRACKING_URI": server.url, "MODEL_NAME": MODEL, "GIT_PYTHON_REFRESH": "quiet"}


def run(server: MlflowServer, script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        env=environment(server),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def serving(server: MlflowServer, folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "serve:app", "--port", str(port)]
    process = Process(
        "Serving", command, environment(server), output=folder / "log", is_ready=lambda: answers(f"{url}/healthz")
    )
    with Supervisor(folder / "run") as supervisor:
        supervisor.start(process)
        supervisor.wait_until_ready(process)
        yield url


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 -- our own server
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.load(answer)


CUSTOMERS = {
    "rows": [
        {"tenure_months": 60, "monthly_charge": 40, "support_tickets": 0, "days_since_login": 1},
        {"tenure_months": 2, "monthly_charge": 95, "support_tickets": 6, "days_since_login": 40},
    ]
}


@pytest.mark.django_db
def test_the_story_beside_the_gate_runs_unmodified(
    mlflow_server: MlflowServer,
    tmp_path: Path,
    settings: Settings,
    rita: User,
    remy: User,
    rosa: User,
    production: Target,
) -> None:
    settings.MLFLOW_TRACKING_URI = mlflow_server.url
    client = MlflowClient(mlflow_server.url)

    # Version 1 gets to Production as it always did.
    assert "version 1 is in Staging" in run(mlflow_server, "train.py", "--cutoff", "2026-08-31", "--max-depth", "3")
    assert "fit to be served" in run(mlflow_server, "integration_test.py")
    run(mlflow_server, "promote.py", "1", "--by", "Rita Sanz")
    assert "Promoted to Production by Rita Sanz" in client.get_model_version(MODEL, "1").description

    # Version 2 goes through the gate.
    assert "version 2 is in Staging" in run(mlflow_server, "train.py")
    run(mlflow_server, "integration_test.py")
    registry = MlflowRegistry(mlflow_server.url, timeout_seconds=20)
    sweep_all(registry)
    version = ModelVersion.objects.get(model__name=MODEL, number=2)
    assert version.stage == "Staging"
    assert {"auc_roc", "precision_at_k", "ndcg"} <= set(version.metrics)
    assert version.params["max_depth"] == "6"
    assert version.tags["training_cutoff"] == "2026-10-31"
    request = workflow.request_promotion(version, production, by=rita, justification="Better on all three.")
    assert request.champion is not None
    assert request.champion.number == 1
    assert assessment.drain(registry) == 1
    frozen = json.loads(PromotionRequest.objects.get(pk=request.pk).evidence)
    assert "model.skops" in {path for path, _, _ in frozen["version"]["files"]["manifest"]}
    assert (
        frozen["version"]["packaging"]["signature"]["inputs"] == frozen["champion"]["packaging"]["signature"]["inputs"]
    )

    with serving(mlflow_server, tmp_path / "before") as url:
        before = ask(f"{url}/predict", CUSTOMERS)
        for reviewer in (remy, rosa):
            workflow.review(request, by=reviewer, verdict="approve")
        delivery.drain(registry)
        assert ask(f"{url}/version")["version"] == 1, "It serves what it has loaded until it is restarted."
    assert PromotionRequest.objects.get(pk=request.pk).status == "applied"

    with serving(mlflow_server, tmp_path / "after") as url:
        assert ask(f"{url}/version") == {"model": MODEL, "version": 2, "run_id": version.run_id}
        after = ask(f"{url}/predict", CUSTOMERS)
    assert (before["version"], after["version"]) == (1, 2)
    assert after["churn"] != before["churn"]
    assert 0 <= after["churn"][0] < after["churn"][1] <= 1

    # What people have in their notebooks.
    mlflow.set_tracking_uri(mlflow_server.url)
    loaded = mlflow.sklearn.load_model(f"models:/{MODEL}/Production")
    assert loaded.get_params()["max_depth"] == 6
    by_alias = mlflow.sklearn.load_model(f"models:/{MODEL}@champion")
    assert by_alias.get_params() == loaded.get_params()
    assert client.get_latest_versions(MODEL, stages=["Production"])[0].version == "2"
    assert client.get_model_version(MODEL, "1").current_stage == "Archived"
    assert (
        "Remy Ortiz <remy@example.com>, Rosa Lind <rosa@example.com>"
        in client.get_model_version(MODEL, "2").description
    )


def sweep_all(registry: MlflowRegistry) -> None:
    """Until the mirror has the run's metrics too."""
    deadline = time.monotonic() + 30
    while not ModelVersion.objects.filter(model__name=MODEL, number=2, facts_at__isnull=False).exists():
        assert time.monotonic() < deadline, "The mirror never had the facts."
        sweep.sweep(registry)
