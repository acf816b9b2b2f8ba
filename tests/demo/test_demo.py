"""`make demo` itself, as a person runs it: from an empty folder to the printed block, interrupted, resumed, killed."""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from registry_ui.demo.installation import ROOT
from tests.support.mlflow_server import free_port

pytestmark = pytest.mark.e2e


class Demo:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.mlflow_port = folder, free_port(), free_port()
        self.url, self.mlflow_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.mlflow_port}"
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    def start(self) -> None:
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "registry_ui.demo"],
            cwd=ROOT,
            env=os.environ
            | {"COUNTERSIGN_STATE_DIR": str(self.folder), "PORT": str(self.port), "MLFLOW_PORT": str(self.mlflow_port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read_until(self, text: str) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} never came:\n{''.join(self.lines)}")

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=60)
        self.lines.append(said)
        return self.process.returncode

    def rows(self, question: str) -> list[tuple[object, ...]]:
        """What its database answers."""
        with contextlib.closing(sqlite3.connect(self.folder / "countersign.sqlite3", timeout=20)) as connection:
            return connection.execute(question).fetchall()

    def left_behind(self) -> list[str]:
        """Command lines of what still runs with this folder in its environment."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.folder).encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    made = Demo(tmp_path_factory.mktemp("demo") / "state")
    yield made
    if made.process and made.process.poll() is None:
        made.end(signal.SIGTERM)


def test_a_first_start_that_is_interrupted_half_way_leaves_no_process(demo: Demo) -> None:
    demo.start()
    demo.read_until("training churn_predictor version 4")
    assert demo.end(signal.SIGINT) == 0
    assert demo.left_behind() == []


def test_the_next_start_goes_on_and_tells_the_whole_story(demo: Demo) -> None:
    demo.start()
    demo.read_until("Ctrl-C stops everything")
    said = "".join(demo.lines)
    assert "training churn_predictor version 7" in said
    assert "training churn_predictor version 1 " not in said
    assert requests.get(f"{demo.url}/readyz?strict=1", timeout=10).json()["status"] == "ready"

    client = MlflowClient(demo.mlflow_url)
    versions = {int(each.version): each for each in client.search_model_versions("name = 'churn_predictor'")}
    assert {number: each.current_stage for number, each in versions.items()} == {
        **dict.fromkeys((1, 2, 3), "None"),
        **dict.fromkeys((4, 5), "Archived"),
        6: "Production",
        7: "Staging",
    }
    approved = versions[6].description
    assert "Remy Ortiz <remy@example.com>, Rosa Lind <rosa@example.com>" in approved
    assert "Approved for Production by Rosa Lind" in versions[5].description  # to roll back to
    assert "Approved" not in versions[4].description
    assert client.get_model_version_by_alias("churn_predictor", "champion").version == "6"
    assert client.get_model_version("demand_forecast", "2").current_stage == "Production"
    assert demo.rows("select model_name, resolved_at from approvals_incident") == [("demand_forecast", None)]
    assert demo.rows("select number from approvals_checkpoint") == [(1,)]
    assert demo.rows("select count(*) from approvals_promotionrequest where status = 'pending'") == [(8,)]
    assert demo.rows("select count(distinct model_name) from approvals_tenure where origin = 'imported'") == [(10,)]
    run = client.get_run(versions[7].run_id)
    assert set(run.data.metrics) == {"auc_roc", "auc_roc_by_trees", "precision_at_k", "ndcg"}
    assert {"n_estimators", "max_depth", "min_samples_leaf"} < set(run.data.params)
    assert re.fullmatch("[0-9a-f]{64}", versions[7].tags["training_data_hash"])
    assert re.fullmatch("[0-9a-f]{40}", run.data.tags["mlflow.source.git.commit"])
    assert run.inputs.dataset_inputs[0].dataset.name == "churn_predictor_2026-10-31"


def test_a_second_one_says_that_the_first_one_runs(demo: Demo) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "registry_ui.demo"],
        cwd=ROOT,
        env=os.environ | {"COUNTERSIGN_STATE_DIR": str(demo.folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "The demo runs already." in second.stdout


def test_a_process_that_is_killed_comes_back(demo: Demo) -> None:
    pid = int((demo.folder / "run" / "worker.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    demo.read_until("Worker runs again.")
    assert int((demo.folder / "run" / "worker.pid").read_text().split()[0]) != pid


def test_killing_the_supervisor_leaves_nothing_and_the_next_start_takes_seconds(demo: Demo) -> None:
    demo.end(signal.SIGKILL)
    deadline = time.monotonic() + 15
    while demo.left_behind():
        assert time.monotonic() < deadline, demo.left_behind()
        time.sleep(0.1)
    started = time.monotonic()
    demo.start()
    demo.read_until("Ctrl-C stops everything")
    assert time.monotonic() - started < 60
    assert "training" not in "".join(demo.lines)
    assert demo.end(signal.SIGTERM) == 0
    assert "Worker stopped" in demo.lines[-1]
    assert demo.left_behind() == []


def test_a_taken_port_stops_it_before_anything_is_started(demo: Demo) -> None:
    with socket.create_server(("127.0.0.1", demo.port)):
        demo.start()
        assert demo.process is not None
        said, _ = demo.process.communicate(timeout=30)
    assert demo.process.returncode == 1
    assert f"Port {demo.port}, meant for Countersign, is taken" in said
    assert "make demo PORT=" in said
    assert "Broker" not in said


def test_reset_removes_everything(demo: Demo) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "registry_ui.demo", "--reset"],
        cwd=ROOT,
        env=os.environ | {"COUNTERSIGN_STATE_DIR": str(demo.folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert not demo.folder.exists()
