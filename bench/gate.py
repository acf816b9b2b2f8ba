"""Rows: what the gate costs MLflow's server: the same call with and without it, in milliseconds of processor time."""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.report import Row

ROUNDS = 100
WARM = 10
"""Calls that fill caches before."""

BAR = 1.05
GUARDED_MS = 10
"""By how much a change of what is guarded may be dearer: it needs one more read, and a signature to check."""

NOTE = "Limit: MLflow without the gate, in the same process, turn by turn; processor time."
MODEL = "bench_model"
TRANSITION = "transition_model_version_stage"

Values = dict[str, Any]
Call = Callable[[], tuple[str, str, Values]]
"""Method, path below /api/2.0/mlflow/, values; another one each time where MLflow would not take the same twice."""


def rows(folder: Path, *, rounds: int = ROUNDS) -> Iterator[Row]:
    from tests.support.gate import Countersign

    with Countersign() as site:
        server = Server(folder, site.environment(COUNTERSIGN_GATE_STATE=str(folder / "gate.json")))
        for name, call in free(server.run).items():
            yield Row(f"{name}, behind the gate", *server.costs(call, rounds), bar=BAR, note=NOTE)
        for name, call in guarded().items():
            yield Row(f"{name}, behind the gate", *server.costs(call, rounds), extra_ms=GUARDED_MS, note=NOTE)


def free(run: str) -> dict[str, Call]:
    """What goes on as if there were no gate."""
    number = itertools.count()
    text = {"description": "Trained on October.", "tags": [{"key": "team", "value": "growth"}]}
    version, metric = {"name": MODEL, "version": "1"}, {"run_id": run, "key": "auc", "value": 0.9, "timestamp": 1}
    return {
        "model-versions/get": lambda: ("GET", "model-versions/get", version),
        "registered-models/search": lambda: ("GET", "registered-models/search", {}),
        "registered-models/create": lambda: ("POST", "registered-models/create", {"name": f"new_{next(number)}"}),
        "model-versions/create": lambda: (
            "POST",
            "model-versions/create",
            {"name": "other", "source": "s3://b/m"} | text,
        ),
        "model-versions/set-tag, own": lambda: (
            "POST",
            "model-versions/set-tag",
            version | {"key": "team", "value": "x"},
        ),
        "registered-models/alias, free": lambda: ("POST", "registered-models/alias", version | {"alias": "challenger"}),
        "runs/log-metric": lambda: ("POST", "runs/log-metric", metric | {"step": next(number)}),
    }


def guarded() -> dict[str, Call]:
    """What the gate has to look at."""
    number = itertools.count()
    version = {"name": MODEL, "version": "1"}

    def move(stage: str, number: str) -> Call:
        values = version | {"version": number, "stage": stage, "archive_existing_versions": False}
        return lambda: ("POST", "model-versions/transition-stage", values)

    return {
        "model-versions/update, own text": lambda: (
            "PATCH",
            "model-versions/update",
            version | {"description": f"Text {next(number)}."},
        ),
        "transition-stage to Staging": move("Staging", "1"),
        "transition-stage to Production, granted": move("Production", "2"),
    }


class Server:
    """MLflow's own application in this process, over one database by two stores: MLflow's, and the same guarded."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        uri = f"sqlite:///{folder / 'mlflow.sqlite3'}"
        # The names by which MLflow's command line hands its application the addresses.
        files = (folder / "artifacts").as_uri()
        os.environ |= {
            "_MLFLOW_SERVER_FILE_STORE": uri,
            "_MLFLOW_SERVER_REGISTRY_STORE": uri,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": files,
            **environment,
        }
        from mlflow.server import app, handlers
        from mlflow_gate import store

        self._handlers, self._client = handlers, app.test_client()
        # MLflow gives its application no store by hand, so it is put where the application keeps it.
        self._stores = {False: handlers._get_model_registry_store(), True: store.build(f"countersign:{uri}")}
        for model in (MODEL, "other"):
            self._send(False, "POST", "registered-models/create", {"name": model})
        for _ in range(2):
            self._send(False, "POST", "model-versions/create", {"name": MODEL, "source": "s3://b/m"})
        self._send(False, *guarded()["transition-stage to Production, granted"]())
        begun = self._send(False, "POST", "runs/create", {"experiment_id": "0", "start_time": 1})
        self.run = begun["run"]["info"]["run_id"]

    def costs(self, call: Call, rounds: int) -> tuple[float, float]:
        """Median milliseconds of the processor, guarded and plain."""
        spent: dict[bool, list[float]] = {True: [], False: []}
        warm = min(2 * rounds, WARM)
        for index in range(2 * rounds + warm):
            is_guarded = index % 2 == 0
            started = time.process_time()
            self._send(is_guarded, *call())
            if index >= warm:
                spent[is_guarded].append((time.process_time() - started) * 1000)
        return statistics.median(spent[True]), statistics.median(spent[False])

    def _send(self, is_guarded: bool, method: str, path: str, values: Values) -> Any:
        """The answer; raises RuntimeError for anything but 200. A guarded promotion gets its grant, whose signing is
        not MLflow's work and costs a twentieth of a millisecond."""
        self._handlers._model_registry_store = self._stores[is_guarded]
        headers = {"Host": "127.0.0.1"}
        if values.get("stage") == "Production":
            headers |= _grant(values)
        given = {"query_string": values} if method == "GET" else {"json": values}
        answer = self._client.open(f"/api/2.0/mlflow/{path}", method=method, headers=headers, **given)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json


def _grant(values: Values) -> dict[str, str]:
    from mlflow_gate import grants

    from tests.support.gate import KEY

    return {grants.HEADER: grants.sign(KEY, TRANSITION, values, audience="mlflow", expect={"stage:Production": [2]})}
