"""The part of the adapter that is about the installation: which registry this is, and the canary on which
`manage.py check_mlflow` tries what the service account may do. Over `MlflowRegistry`'s own calls; no MLflow here."""

import secrets
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from mlflow_gate.policy import PROBE

from mirror.mlflow import granting
from mirror.port import Gate, Identity, NotFound, Refused, RegistryError, Unreachable

IDENTITY_TAG = "countersign.registry"
SET_TAG = "/api/2.0/mlflow/registered-models/set-tag"
DEFAULT, OWN = "Default", "countersign"
"""The experiments that may keep the identity: MLflow's default one, or, where the account may not write to it, one of
our own. Both are there without being listed among the models, in each workspace for itself."""

OWN_NOTE = (
    "Countersign keeps here which registry it mirrors (tag countersign.registry). Nothing is logged to it; leave it as "
    "it is, and Countersign will know this MLflow again."
)


class MlflowSetup:
    url: str
    workspace: str

    @abstractmethod
    def _send(
        self,
        method: str,
        path: str,
        values: Mapping[str, Any] | None = None,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response: ...

    @abstractmethod
    def _call(
        self,
        method: str,
        path: str,
        values: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]: ...

    @abstractmethod
    def _error(self, response: requests.Response) -> RegistryError: ...

    @abstractmethod
    def _change(self, operation: str, arguments: Mapping[str, Any]) -> None: ...

    # --- Which registry this is

    @property
    def address(self) -> str:
        # The default one is what is answered where none is named, so its address stays the same when it is.
        return f"{self.url} (workspace {self.workspace})" if self.workspace not in ("", "default") else self.url

    def has_workspaces(self) -> bool:
        response = self._send("GET", "/api/3.0/mlflow/server-info")
        if response.status_code == 404:  # an older MLflow, which has none
            return False
        if response.status_code != 200:
            raise self._error(response)
        try:
            return bool(response.json()["workspaces_enabled"])
        except (ValueError, KeyError, TypeError):
            return False

    def identity(self) -> Identity:
        key, born_at = "", None
        for name in (DEFAULT, OWN):
            try:
                found = self._experiment(name)
            except (NotFound, Refused):
                continue
            if name == DEFAULT and found.get("creation_time"):
                born_at = int(found["creation_time"])
            key = next((str(tag.get("value", "")) for tag in found.get("tags", ()) if tag["key"] == IDENTITY_TAG), "")
            if key:
                break
        return Identity(key[:64], born_at, self.address, self.workspace)

    def keep_identity(self, key: str) -> None:
        try:
            self._tag(self._experiment(DEFAULT)["experiment_id"], IDENTITY_TAG, key)
        except (NotFound, Refused):
            try:
                number = self._experiment(OWN)["experiment_id"]
            except NotFound:
                number = self._call("POST", "experiments/create", {"name": OWN})["experiment_id"]
            self._tag(number, "mlflow.note.content", OWN_NOTE)
            self._tag(number, IDENTITY_TAG, key)

    def _experiment(self, name: str) -> dict[str, Any]:
        return dict(self._call("GET", "experiments/get-by-name", {"experiment_name": name})["experiment"])

    def _tag(self, experiment: str, key: str, value: str) -> None:
        self._call("POST", "experiments/set-experiment-tag", {"experiment_id": experiment, "key": key, "value": value})

    def clock_skew(self) -> float | None:
        before = datetime.now(UTC)
        response = self._send("GET", "/version")
        after = datetime.now(UTC)
        try:
            there = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return None
        if there.tzinfo is None:
            return None
        # The header has whole seconds, rounded down; half of one is added on average.
        return ((there - before) + (there - after)).total_seconds() / 2 + 0.5

    # --- Its gate

    def gate(self) -> Gate | None:
        """A tag on a model that never exists: the gate refuses it, and MLflow without one does not find it. (On a
        version MLflow's basic-auth would refuse it first, to all but administrators.)"""
        values = {"name": f"{PROBE}{secrets.token_hex(8)}", "key": "countersign.probe", "value": "x"}
        # Each on a connection of its own, so that another process of the server may answer it.
        response = self._send("POST", SET_TAG, values, headers={"Connection": "close"})
        if response.status_code == 403 and (found := granting.gate_in(response.text)):
            return found
        if response.status_code == 200:
            raise Unreachable("Something else than MLflow took a tag for a model that does not exist.")
        error = self._error(response)
        if isinstance(error, NotFound):
            return None
        raise error

    # --- The canary

    def create_model(self, name: str) -> None:
        self._call("POST", "registered-models/create", {"name": name, "description": OWN_NOTE_OF_CANARY})

    def create_version(self, model: str) -> int:
        values = {"name": model, "source": "s3://countersign-canary/nothing"}
        return int(self._call("POST", "model-versions/create", values)["model_version"]["version"])

    def delete_model(self, name: str) -> None:
        self._change("delete_registered_model", {"name": name})

    def newest_run(self) -> str:
        """The id of the newest run that the account may read; "" when there is none. Reads experiments, then runs."""
        experiments = self._call("POST", "experiments/search", {"max_results": 100, "view_type": "ALL"})
        ids = [each["experiment_id"] for each in experiments.get("experiments", ())]
        if not ids:
            return ""
        found = self._call("POST", "runs/search", {"experiment_ids": ids, "max_results": 1, "run_view_type": "ALL"})
        return next((str(run["info"]["run_id"]) for run in found.get("runs", ())), "")


OWN_NOTE_OF_CANARY = "Made by `manage.py check_mlflow` to try what Countersign's account may do; removed at its end."

__all__ = ["MlflowSetup", "RegistryError"]
