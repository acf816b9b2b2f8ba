"""The whole of `w.model_registry` at MLflow's address: a real MLflow with the gate and its application, Countersign
behind it, and the unmodified SDK, the newest one and the last with the old words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.test import override_settings
from mlflow_gate import databricks
from pytest_django.live_server_helper import LiveServer

from approvals import assessment
from approvals.models import PromotionRequest, Target
from mirror import sync
from mirror.mlflow.client import MlflowRegistry
from tests.support.backstage import MODEL_FILES, Backstage
from tests.support.databricks import INSTALLED, OLD, Program, Refused
from tests.support.factories import make_person, make_policy, make_token
from tests.support.gate import KEY, Countersign
from tests.support.gated import GatedMlflow
from tests.support.siege import GuardedMlflow
from tests.support.world import deliver

pytestmark = [pytest.mark.server, pytest.mark.nodb]  # this MLflow is on SQLite in any case
NAME = "churn.predictor"


class WithApp(GatedMlflow):
    def _command(self) -> list[str]:
        return [*super()._command(), "--app-name=countersign"]


@pytest.fixture
def countersign(committed: None) -> Iterator[LiveServer]:
    server = LiveServer("127.0.0.1")
    with override_settings(SITE_URL=server.url, GATE_KEY=KEY.private_bytes_raw()):
        yield server
    server.stop()


@pytest.fixture
def server(countersign: LiveServer, tmp_path: Path) -> Iterator[GatedMlflow]:
    with WithApp(tmp_path / "mlflow", environment={"COUNTERSIGN_SITE_URL": countersign.url}) as made:
        yield made


def test_one_host_serves_the_whole_registry(countersign: LiveServer, server: GatedMlflow) -> None:
    for target in Target.objects.current():
        make_policy("*", target, (1, None))
    texts = [make_token(make_person(name, *roles)) for name, *roles in PEOPLE]
    registry = MlflowRegistry(server.url, timeout_seconds=20)
    for version in (INSTALLED, OLD):
        with Program(version) as program:
            sdk = program.at(server.url)
            rita, remy = (sdk.as_(text) for text in texts)
            go_through(rita, remy, registry, Backstage(server.url), f"{NAME}.{version or 'new'}")
    countersign.stop()
    with Program() as program, pytest.raises(Refused) as caught:
        program.at(server.url, patience=1).as_(texts[0]).list_transition_requests(name=f"{NAME}.new", version="1")
    assert caught.value.kinds[0] == "TimeoutError"  # it was sent again until its patience ended
    with Program() as program:  # MLflow itself goes on
        assert f"{NAME}.new" in [
            each["name"] for each in program.at(server.url, patience=1).as_(texts[0]).search_models()
        ]


@pytest.mark.parametrize("options", [["--gunicorn-opts=--threads=2"], ["--workers=2"]], ids=["gunicorn", "uvicorn"])
def test_each_way_to_start_mlflow_has_it(tmp_path: Path, options: list[str]) -> None:
    """Behind a proxy with a path; without one it is the test above."""
    with Countersign() as site:
        site.is_away = True
        app = ["--app-name=countersign", *options]
        with GuardedMlflow(tmp_path, site, options=app, prefix="/behind/a-proxy") as server:
            assert requests.get(f"{server.url}/.well-known/databricks-config", timeout=60).json() == {}
            said = requests.get(f"{server.url}{databricks.PLAIN}transition-requests/list", timeout=60)
            assert (said.status_code, said.json()["message"]) == (503, databricks.AWAY)
            requests.post(f"{server.url}{databricks.PLAIN}registered-models/create", json={"name": "x"}, timeout=60)
            found = requests.get(f"{server.url}{databricks.PREVIEW}registered-models/list/", timeout=60).json()
            assert [each["name"] for each in found["registered_models"]] == ["x"]


PEOPLE = (("Rita Sanz", "requester"), ("Remy Ortiz", "reviewer"))


def go_through(rita: Any, remy: Any, registry: MlflowRegistry, training: Backstage, name: str) -> None:
    """Every method, from making a model to deleting it; of Countersign's the way of one promotion."""
    # MLflow's own.
    rita.create_model(name=name, description="Who leaves.", tags=[])
    run_id = training.log_run({"auc_roc": 0.9})
    source = training.upload(run_id, MODEL_FILES)
    for number in (1, 2):
        made = rita.create_model_version(name=name, source=source, run_id=run_id, description=f"Version {number}.")
        assert made["model_version"]["version"] == str(number)
    rita.set_model_tag(name=name, key="team", value="risk")
    rita.set_model_version_tag(name=name, version="1", key="seen", value="yes")
    rita.update_model_version(name=name, version="1", description="The first.")
    assert name in [each["name"] for each in rita.list_models()]
    assert [each["name"] for each in rita.search_models(filter=f"name = '{name}'")] == [name]
    assert {each["version"] for each in rita.search_model_versions(filter=f"name = '{name}'")} == {"1", "2"}
    assert rita.get_model_version(name=name, version="1")["model_version"]["description"] == "The first."
    assert rita.get_model_version_download_uri(name=name, version="1")["artifact_uri"] == source
    rita.create_model(name=f"{name}.draft")
    rita.update_model(name=f"{name}.draft", description="Not yet.")
    rita.rename_model(name=f"{name}.draft", new_name=f"{name}.old")
    rita.delete_model(name=f"{name}.old")
    assert [each["name"] for each in rita.search_models(filter=f"name LIKE '{name}%'")] == [name]
    # Countersign's.
    sync.sweep(registry)
    wanted = {"name": name, "version": "1", "stage": "Production"}
    rita.create_transition_request(**wanted, comment="AUC up 2 points.")
    asked = PromotionRequest.objects.latest("pk")
    assert assessment.assess(asked.pk, registry) == "concluded"
    approving = wanted | {"archive_existing_versions": True}
    with pytest.raises(Refused) as caught:
        rita.approve_transition_request(**approving)
    assert caught.value.reason == "SELF_APPROVAL"
    with pytest.raises(Refused) as caught:
        rita.transition_stage(**approving)
    assert caught.value.kinds[0] == "PermissionDenied"
    said = remy.approve_transition_request(**approving, comment="Good.")["activity"]
    assert said["activity_type"] == "APPROVED_REQUEST"
    asked.refresh_from_db()
    assert deliver(asked, registry) == "applied"
    latest = list(rita.get_latest_versions(name=name, stages=["Production"]))
    assert [each["version"] for each in latest] == ["1"]
    assert rita.get_model(name=name)["registered_model_databricks"]["latest_versions"]
    rita.create_comment(name=name, version="1", comment="Thanks.")
    assert rita.me()["userName"] == "rita@example.com"
    # MLflow's own words again, for which Databricks has others.
    rita.delete_model_version_tag(name=name, version="1", key="seen")
    rita.delete_model_tag(name=name, key="team")
    rita.delete_model_version(name=name, version="2")
    assert {each["version"] for each in rita.search_model_versions(filter=f"name = '{name}'")} == {"1"}
    with pytest.raises(Refused) as caught:
        rita.delete_model(name=name)
    assert caught.value.kinds[0] == "PermissionDenied"  # by the gate: version 1 is in Production
