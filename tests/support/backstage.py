"""What engineers do in MLflow behind Countersign's back, over plain REST: the same verbs as FakeRegistry has."""

import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

from tests.support.fakes import MODEL_FILES


class Backstage:
    def __init__(self, url: str, *, workspace: str = "", auth: tuple[str, str] | None = None) -> None:
        self.url, self.auth, self.experiment = url, auth, "0"
        self.headers = {"X-MLFLOW-WORKSPACE": workspace} if workspace else {}
        if workspace not in ("", "default"):
            self.experiment = self.create_experiment("training")

    def _ask(self, method: str, path: str, **body: Any) -> requests.Response:
        url = f"{self.url}/api/2.0/{path}"
        return requests.request(method, url, timeout=30, headers=self.headers, auth=self.auth, **body)

    def call(self, method: str, path: str, **values: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"params": values} if method == "GET" else {"json": values}
        response = self._ask(method, f"mlflow/{path}", **body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def ask_the_gate(self) -> str:
        """What MLflow's gate says to a change that it refuses in any case; without it, that there is no such model."""
        values = {"name": "countersign-probe-backstage", "version": "1", "key": "countersign.probe", "value": "x"}
        return requests.post(f"{self.url}/api/2.0/mlflow/model-versions/set-tag", json=values, timeout=30).text

    def create_model(
        self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None, is_prompt: bool = False
    ) -> str:
        marks = {"mlflow.prompt.is_prompt": "true"} if is_prompt else {}
        listed = [{"key": key, "value": value} for key, value in {**(tags or {}), **marks}.items()]
        self.call("POST", "registered-models/create", name=name, description=description, tags=listed)
        return name

    def create_version(self, model: str, *, run_id: str = "", logged_model_id: str = "", **fields: Any) -> int:
        response = self._ask("GET", "mlflow/registered-models/get", params={"name": model})
        if response.status_code == 404:
            self.create_model(model)
        source = f"models:/{logged_model_id}" if logged_model_id else "s3://bucket/model"
        if run_id and not logged_model_id:
            source = self.upload(run_id, fields.pop("files", MODEL_FILES))
        tags = [{"key": key, "value": value} for key, value in fields.pop("tags", {}).items()]
        if {"key": "mlflow.prompt.is_prompt", "value": "true"} in tags:
            source = "prompt-template"  # MLflow takes no other for a prompt
        values = {"name": model, "source": source, "run_id": run_id, "tags": tags, **fields}
        if logged_model_id:
            values["model_id"] = logged_model_id
        return int(self.call("POST", "model-versions/create", **values)["model_version"]["version"])

    def copy_version(self, model: str, number: int, to: str) -> int:
        from mlflow import MlflowClient

        client = MlflowClient(self.url, registry_uri=self.url)
        return int(client.copy_model_version(f"models:/{model}/{number}", to).version)

    def delete_logged_model(self, logged_model_id: str) -> None:
        self.call("DELETE", f"logged-models/{logged_model_id}")

    def upload(self, run_id: str, files: Mapping[str, bytes]) -> str:
        """Logs a model folder with the run, as `log_model` did before MLflow 3; returns its root."""
        root = f"{self.call('GET', 'runs/get', run_id=run_id)['run']['info']['artifact_uri']}/model-{uuid.uuid4().hex}"
        for path, content in files.items():
            self.put_file(root, path, content)
        return root

    def put_file(self, root: str, path: str, content: bytes) -> None:
        address = f"mlflow-artifacts/artifacts/{root.partition(':/')[2].strip('/')}/{quote(path)}"
        response = self._ask("PUT", address, data=content)
        assert response.status_code == 200, response.text

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        self.call("POST", "registered-models/set-tag", name=name, key=key, value=value)

    def delete_model_tag(self, name: str, key: str) -> None:
        self.call("DELETE", "registered-models/delete-tag", name=name, key=key)

    def delete_version(self, model: str, number: int) -> None:
        self.call("DELETE", "model-versions/delete", name=model, version=str(number))

    def delete_model(self, name: str) -> None:
        self.call("DELETE", "registered-models/delete", name=name)

    def delete_all_models(self) -> None:
        """Prompts aside, which no listing has."""
        while found := self.call("GET", "registered-models/search", max_results=1000).get("registered_models"):
            for each in found:
                self.delete_model(each["name"])

    def rename_model(self, name: str, new_name: str) -> None:
        self.call("POST", "registered-models/rename", name=name, new_name=new_name)

    def delete_alias(self, model: str, alias: str) -> None:
        self.call("DELETE", "registered-models/alias", name=model, alias=alias)

    def log_run(
        self,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        user: str = "rita",
        experiment_id: str = "",
    ) -> str:
        now = time.time_ns() // 1_000_000
        made = self.call(
            "POST",
            "runs/create",
            experiment_id=experiment_id or self.experiment,
            user_id=user,
            run_name="train",
            start_time=now,
        )
        run_id = str(made["run"]["info"]["run_id"])
        self.call(
            "POST",
            "runs/log-batch",
            run_id=run_id,
            metrics=[_metric(key, value, now) for key, value in (metrics or {}).items()],
            params=[{"key": key, "value": value} for key, value in (params or {}).items()],
            tags=[{"key": key, "value": value} for key, value in (tags or {}).items()],
        )
        self.call("POST", "runs/update", run_id=run_id, status="FINISHED", end_time=now)
        return run_id

    def delete_run(self, run_id: str) -> None:
        self.call("POST", "runs/delete", run_id=run_id)

    def create_experiment(self, name: str) -> str:
        return str(self.call("POST", "experiments/create", name=name)["experiment_id"])

    def delete_experiment(self, experiment_id: str) -> None:
        self.call("POST", "experiments/delete", experiment_id=experiment_id)

    def log_model(self, metrics: Mapping[str, float] | None = None, params: Mapping[str, str] | None = None) -> str:
        """A LoggedModel of a new run, which carries the metrics; returns the LoggedModel's id."""
        run_id = self.log_run()
        listed = [{"key": key, "value": value} for key, value in (params or {}).items()]
        made = self.call(
            "POST", "logged-models", experiment_id=self.experiment, name="model", source_run_id=run_id, params=listed
        )
        logged_model_id = str(made["model"]["info"]["model_id"])
        for key, value in (metrics or {}).items():
            self.log_metric(run_id, key, value, logged_model_id=logged_model_id)
        self.call("PATCH", f"logged-models/{logged_model_id}", model_id=logged_model_id, status="LOGGED_MODEL_READY")
        return logged_model_id

    def log_metric(
        self,
        run_id: str,
        key: str,
        value: float,
        *,
        logged_model_id: str = "",
        dataset: tuple[str, str] = ("", ""),
        step: int = 0,
    ) -> None:
        values = {"run_id": run_id, **_metric(key, value, time.time_ns() // 1_000_000), "step": step}
        if logged_model_id:
            values["model_id"] = logged_model_id
        if any(dataset):
            values |= {"dataset_name": dataset[0], "dataset_digest": dataset[1]}
        self.call("POST", "runs/log-metric", **values)
        time.sleep(
            0.002
        )  # one value of a key in a millisecond: MLflow's key of a LoggedModel's metrics has no data set


def _metric(key: str, value: float, now: int) -> dict[str, Any]:
    """JSON has no words for NaN and infinity; protobuf's are strings."""
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return {"key": key, "value": words.get(str(value), value), "timestamp": now, "step": 0}
