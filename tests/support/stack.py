"""The real thing on loopback: MLflow, Redis, web, worker and beat as processes, and what tests ask of them."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from registry_ui.demo.installation import ROOT, Installation
from registry_ui.demo.processes import Process, Supervisor, end_group
from tests.support.backstage import Backstage
from tests.support.mlflow_server import free_port
from tests.support.postgres import make_database
from tests.support.probing import Probes

T = TypeVar("T")
BEGINNING = "beginning"
"""Name of the database that those of several stacks are copies of."""

LEASE_SECONDS = 6
LOOK_SECONDS = 4
"""What people click reaches the worker at once; to look every second for what else is due, here and in MLflow, takes a
third of a core, and every fourth a tenth."""


@dataclass(frozen=True)
class Trial(Installation):
    """The demo's installation with short intervals, on the database that the suite runs on."""

    database_url: str = ""
    tracking_url: str = ""
    """Of what stands before MLflow, if anything does."""
    look_seconds: int = 1

    def environment(self) -> dict[str, str]:
        given = {"DATABASE_URL": self.database_url, "MLFLOW_TRACKING_URI": self.tracking_url}
        chosen = {name: value for name, value in given.items() if value}
        return super().environment() | {
            "COUNTERSIGN_PULL_SECONDS": str(self.look_seconds),
            "COUNTERSIGN_PULL_SECONDS_MOST": str(self.look_seconds),
            "COUNTERSIGN_SWEEP_SECONDS": "10",
            "COUNTERSIGN_SWEEP_SECONDS_MOST": "10",
            "COUNTERSIGN_DRAIN_SECONDS": str(self.look_seconds),
            "COUNTERSIGN_UNDO_SECONDS": "0",
            "COUNTERSIGN_DELIVERY_LEASE_SECONDS": str(LEASE_SECONDS),
            "COUNTERSIGN_DELIVERY_BACKOFF_CAP_SECONDS": "2",
            "COUNTERSIGN_MLFLOW_TIMEOUT_SECONDS": "5",
            "COUNTERSIGN_LOG_FORMAT": "json",
            **chosen,
        }


class Stack:
    """`with Supervisor(...) as supervisor: Stack(supervisor, folder, database_url)`; each process by its name."""

    probes = "tests.e2e.probes"

    def __init__(
        self,
        supervisor: Supervisor,
        folder: Path,
        database_url: str = "",
        *,
        mlflow_port: int = 0,
        tracking_url: str = "",
    ) -> None:
        self.supervisor = supervisor
        ports = free_port(), mlflow_port or free_port()
        self.place = Trial(folder, *ports, database_url, tracking_url, LOOK_SECONDS)
        self.url, self.mlflow_url = self.place.url, self.place.mlflow_url
        self.engineer = Backstage(self.mlflow_url)
        self._probes = Probes(self.probes, ROOT)
        if not self.place.redis:
            raise RuntimeError("redis-server is missing: apt-get install redis-server")
        self.place.prepare()
        self.mlflow = self.place.mlflow_server()
        self.redis = self.place.redis_server(self.place.redis)
        self.web, self.worker, self.beat = self.place.web(), self.place.worker(), self.place.beat()

    def start_all(self, template: Path | None = None) -> None:
        """`template` is a folder for what several stacks begin with: the first that comes makes it."""
        for process in (self.mlflow, self.redis):
            self.supervisor.start(process)
        if template is None:
            self.probe("set_up")
        else:
            self._begin_with(template)
        for process in (self.redis, self.mlflow):
            self.supervisor.wait_until_ready(process)
        for process in (self.web, self.worker, self.beat):
            self.supervisor.start(process)
        self.supervisor.wait_until_ready(self.web)
        self.wait_for("the first mirror", lambda: self.ready()["checks"]["mirror"]["ok"], seconds=90)
        self.wait_for_the_gate("off")

    def _begin_with(self, template: Path) -> None:
        template.mkdir(exist_ok=True)
        server, _, own = self.place.database_url.rpartition("/")
        with (template / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            source, goal = template, self.place.folder
            is_first = not (template / "static").exists()
            if own:
                make_database(self.place.database_url, like="template1" if is_first else BEGINNING)
            if is_first:
                self.probe("set_up")
                source, goal = goal, source
            if is_first and own:
                make_database(f"{server}/{BEGINNING}", like=own)
            for each in (*source.glob("*.sqlite3*"), source / "static"):
                (shutil.copytree if each.is_dir() else shutil.copy2)(each, goal / each.name)

    def start(self, process: Process) -> None:
        self.supervisor.start(process)
        self.supervisor.wait_until_ready(process)

    def stop(self, process: Process) -> None:
        self.supervisor.stop(process)

    def kill(self, process: Process) -> None:
        """SIGKILL to the process and its children; it is no longer watched."""
        if process.popen is None:
            raise RuntimeError(f"{process.name} does not run.")
        self.supervisor.processes.remove(process)
        end_group(process.popen.pid, signal.SIGKILL, 5, popen=process.popen)

    def wait_for(self, what: str, look: Callable[[], T], *, seconds: float = 60, every: float = 0.2) -> T:
        """Looks until it is true, and keeps the processes running as whatever supervises them in earnest would; the
        last error is told when it never is."""
        deadline, last = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            self.supervisor.tend()
            try:
                if found := look():
                    return found
            except Exception as error:  # whatever a server says while it starts or stops
                last = f" ({error})"
            time.sleep(every)
        raise AssertionError(f"{what} did not come within {seconds:.0f} seconds{last}.")

    def ready(self) -> dict[str, Any]:
        import requests

        return dict(requests.get(f"{self.url}/readyz", timeout=10).json())

    def wait_for_the_gate(self, enforcement: str) -> None:
        """Until MLflow's gate has the policy that does this about Production, and the process that answers has it."""

        def found() -> bool:
            policy = json.loads(json.loads(self.place.gate_state.read_text())["policy"])
            modes = {rule["mode"] for rule in policy["rules"] if rule["models"] == ["*"]} or {"off"}
            return modes == {enforcement} and f"policy {policy['serial']} " in self.engineer.ask_the_gate()

        self.wait_for(f"a policy of {enforcement}", found)

    def probe(self, name: str, *arguments: object) -> Any:
        """Calls a function of the probes inside the installation's environment; returns what it returns."""
        return self._probes.call(self.place.environment(), name, *arguments)

    def close(self) -> None:
        """Ends what answers the probes; the rest is the supervisor's, which need not wait for what is under way."""
        self._probes.close()
        for process in self.supervisor.processes:
            process.grace = 0

    def make_version(self, model: str, *, auc_roc: float = 0.9) -> int:
        """Registers a version with a run behind it; returns its number."""
        run_id = self.engineer.log_run({"auc_roc": auc_roc, "ndcg": 0.8}, {"max_depth": "8", "n_estimators": "100"})
        return self.engineer.create_version(model, run_id=run_id, description=f"Trained for {model}.")

    def version(self, model: str, number: int) -> dict[str, Any]:
        return dict(self.engineer.call("GET", "model-versions/get", name=model, version=str(number))["model_version"])

    def aliases(self, model: str) -> dict[str, int]:
        found = self.engineer.call("GET", "registered-models/get", name=model)["registered_model"]
        return {each["alias"]: int(each["version"]) for each in found.get("aliases", [])}

    def stage(self, model: str, number: int, stage: str, *, archive: bool = False) -> None:
        self.engineer.call(
            "POST",
            "model-versions/transition-stage",
            name=model,
            version=str(number),
            stage=stage,
            archive_existing_versions=archive,
        )


def own_database_url(name: str) -> str:
    """Of a database for an installation on the PostgreSQL that the suite runs on; "" where it is on SQLite."""
    server = os.environ.get("COUNTERSIGN_E2E_SERVER", "")
    return f"{server}/{name}" if server else ""
