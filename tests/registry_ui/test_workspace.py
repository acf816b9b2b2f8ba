"""Several rooms. The workspace of MLflow that is named is said wherever a model is: on pages, in links, in the API."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from approvals.models import Target
from components.templatetags import values
from mirror.models import MirrorState
from registry_ui import system
from tests.support.api import Machine
from tests.support.factories import approve, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db
KNOWN = {"key": "k" * 32, "born_at": 1, "addresses": ["http://mlflow (workspace risk)"], "workspace": "risk"}


@pytest.fixture(autouse=True)
def named(settings: Any) -> None:
    settings.MLFLOW_WORKSPACE = "risk"
    settings.MLFLOW_UI_URL = "https://mlflow.example.com"


def test_links_lead_into_the_workspace(settings: Any) -> None:
    version = make_version("a/b", 7, run={"experiment_id": "3", "run_id": "run7"})
    links = [values.mlflow_model("a/b"), values.mlflow_version(version), values.mlflow_run(version)]
    assert links == [
        "https://mlflow.example.com/#/models/a%2Fb?workspace=risk",
        "https://mlflow.example.com/#/models/a%2Fb/versions/7?workspace=risk",
        "https://mlflow.example.com/#/experiments/3/runs/run7?workspace=risk",
    ]
    settings.MLFLOW_WORKSPACE = ""
    assert values.mlflow_model("a/b") == "https://mlflow.example.com/#/models/a%2Fb"


def registry() -> system.Part:
    return next(each for each in system.parts() if each.name == "Registry")


@pytest.mark.parametrize(
    ("mirrored", "web", "word", "said"),
    [
        ("risk", "risk", "Known", "http://mlflow (workspace risk), identity"),
        ("", "", "Known", "http://mlflow, identity"),
        ("default", "default", "Known", "http://mlflow, workspace default, identity"),
        ("risk", "", "Named differently", "The worker mirrors the workspace risk of http://mlflow"),
        ("", "risk", "Named differently", "and web names risk: links to MLflow lead elsewhere."),
    ],
)
def test_system_names_it_and_says_when_web_names_another(
    settings: Any, mirrored: str, web: str, word: str, said: str
) -> None:
    settings.MLFLOW_WORKSPACE = web
    address = f"http://mlflow (workspace {mirrored})" if mirrored == "risk" else "http://mlflow"
    MirrorState.objects.record(registry={**KNOWN, "addresses": [address], "workspace": mirrored})
    assert registry().word == word
    assert said in registry().detail


def test_the_certificate_names_it(client: Client, rita: User, remy: User, staging: Target, settings: Any) -> None:
    make_policy("*", staging, (1, None))
    request = approve(make_request(make_version(), staging, by=rita), remy)
    client.force_login(rita)
    address = f"/requests/{request.pk}/certificate/"
    assert "Workspace in MLflow" in client.get(address).content.decode()
    settings.MLFLOW_WORKSPACE = ""
    assert "Workspace in MLflow" not in client.get(address).content.decode()


def test_the_api_says_it_and_takes_no_other(rita: User, staging: Target) -> None:
    make_version("churn_predictor", 7)
    machine = Machine(rita)
    assert machine.get("/models/churn_predictor")["workspace"] == "risk"
    asked = {"model": "churn_predictor", "version": "7", "target": "Staging", "justification": "AUC +2 points."}
    refused = machine.post("/requests", {**asked, "workspace": "fraud"})
    assert refused.status == 422
    assert "Mirrored is risk: leave it out, or say the same." in json.dumps(refused.body)
    made = machine.post("/requests", {**asked, "workspace": "risk"})
    assert (made.status, made["workspace"]) == (201, "risk")
