"""The gate in front of a real MLflow server, as it is started when nothing else is said: in four processes. `make
test-mlflow` lays the same siege to other versions, started in other ways."""

import json
from pathlib import Path

import pytest

from tests.support.gate import Countersign
from tests.support.siege import GuardedMlflow, Siege

pytestmark = [pytest.mark.server, pytest.mark.nodb]  # this MLflow is on SQLite in any case


def test_what_must_not_pass_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    with Countersign() as site, GuardedMlflow(tmp_path, site, workers=4) as server:
        outcomes = Siege(server.url, site).run()
    assert [each for each in outcomes if not each.is_ok] == []
    assert len(outcomes) > 290


def test_without_countersign_what_could_be_a_place_is_closed_and_the_rest_goes_on(tmp_path: Path) -> None:
    """At the very first start; then Countersign comes, and its policy counts without a restart."""
    with Countersign() as site:
        site.is_away = True
        with GuardedMlflow(tmp_path, site) as server:
            siege = Siege(server.url, site)
            siege.prepare("sandbox_x")
            move = {"name": "sandbox_x", "version": "1", "stage": "Staging"}
            said = siege.engineer.call("POST", "mlflow/model-versions/transition-stage", move).error
            assert "Countersign could not be asked yet which places it guards" in said
            assert said.endswith("[gate 0.1 · policy 0 · enforce]")
            tag = {"name": "sandbox_x", "version": "1", "key": "team", "value": "risk"}
            assert siege.engineer.call("POST", "mlflow/model-versions/set-tag", tag).status == 200
            site.is_away = False
            siege.until(30, lambda: siege.has_policy(12))
            assert siege.engineer.call("POST", "mlflow/model-versions/transition-stage", move).status == 200


@pytest.mark.parametrize("missing", ["COUNTERSIGN_GATE_KEYS", "COUNTERSIGN_SITE_URL"])
def test_mlflow_does_not_start_without_what_the_gate_needs(tmp_path: Path, missing: str) -> None:
    with Countersign() as site:
        server = GuardedMlflow(tmp_path, site, environment={missing: ""})
        with pytest.raises(RuntimeError, match=f"The gate cannot stand: {missing} is missing"):
            server.start()


def test_code_that_knows_nothing_of_the_gate_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own client, as training code uses it: what it may not do it is told at once, in a sentence."""
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import RestException

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with Countersign() as site, GuardedMlflow(tmp_path, site) as server:
        client = MlflowClient(server.url, registry_uri=server.url)
        siege = Siege(server.url, site)
        siege.until(30, lambda: siege.has_policy(12))
        run = client.create_run("0")
        client.log_metric(run.info.run_id, "auc", 0.93)
        client.create_registered_model("churn", tags={"team": "risk"}, description="Who leaves.")
        client.create_model_version("churn", "s3://bucket/model", run.info.run_id, description="Trained.")
        client.set_model_version_tag("churn", "1", "reviewed", "no")
        client.update_model_version("churn", "1", "Trained again.")
        client.set_registered_model_alias("churn", "challenger", "1")
        assert client.get_model_version_by_alias("churn", "challenger").version == "1"
        with pytest.raises(
            RestException, match=r"PERMISSION_DENIED: churn version 1 cannot be moved to Production here"
        ):
            client.transition_model_version_stage("churn", "1", "Production")
        with pytest.raises(RestException, match=rf"Ask for it: {site.url}/p/churn/1 \[gate"):
            client.set_registered_model_alias("churn", "champion", "1")
        copied = client.copy_model_version("models:/churn/1", "prod.churn")
        assert (copied.name, copied.version, copied.tags) == ("prod.churn", "1", {"reviewed": "no"})

        mlflow.set_tracking_uri(server.url)
        mlflow.set_registry_uri(server.url)
        try:
            made = mlflow.genai.register_prompt("answer", "Be kind to {{ name }}.")
            mlflow.genai.set_prompt_alias("answer", alias="challenger", version=made.version)
            assert mlflow.genai.load_prompt("prompts:/answer@challenger").template == "Be kind to {{ name }}."
            with pytest.raises(RestException, match="answer version 1 cannot be made @champion here"):
                mlflow.genai.set_prompt_alias("answer", alias="champion", version=made.version)
        finally:
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri(None)
        client.rename_registered_model("prod.churn", "other")
        client.delete_registered_model("other")
        assert json.loads(json.dumps(site.refusals))[0]["who"] == ""
