"""docker-compose.yml is read by Docker Compose itself, and what it starts is tried as far as no container is needed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from registry_ui.demo.installation import ROOT, answers
from registry_ui.demo.processes import Process, Supervisor
from tests.mlflow_server import free_port
from tests.services.postgres import postgres
from tools.services import find

pytestmark = pytest.mark.server

SECRETS = {
    "COUNTERSIGN_SECRET_KEY": "k" * 50,
    "COUNTERSIGN_DATABASE_PASSWORD": "first-secret",
    "MLFLOW_DATABASE_PASSWORD": "second-secret",
}


def compose(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = find("docker-compose")
    assert command, "Docker Compose is missing: python tools/services.py installs it."
    return subprocess.run(
        [*command.split(), "--file", str(ROOT / "docker-compose.yml"), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = compose("config", **SECRETS)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


def test_every_service_that_stays_up_has_a_health_check(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", "redis", "mlflow", "migrate", "web", "worker", "beat"}
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"migrate"}


def test_nothing_of_countersign_starts_before_the_migrations_have_run(services: dict[str, Any]) -> None:
    for name in ("web", "worker", "beat"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_ports_are_published_on_this_host_alone(services: dict[str, Any]) -> None:
    published = [str(port) for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all("127.0.0.1" in port for port in published)


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_a_missing_secret_stops_it_with_its_name(missing: str) -> None:
    done = compose("config", **{name: value for name, value in SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert missing in done.stderr


def test_every_variable_it_reads_is_in_the_example() -> None:
    read = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    named = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read == named


def test_the_settings_accept_what_it_gives_to_each_process(services: dict[str, Any], tmp_path: Path) -> None:
    for name in ("migrate", "web", "worker", "beat"):
        given = {key: str(value) for key, value in services[name]["environment"].items()}
        done = subprocess.run(
            [sys.executable, "-c", "import registry_ui.settings as s; print(s.DATABASES['default']['HOST'])"],
            env={"PATH": os.environ["PATH"], "COUNTERSIGN_STATE_DIR": str(tmp_path), **given},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "postgres\n"), done.stderr


def test_mlflow_starts_on_the_database_that_the_set_up_makes(services: dict[str, Any], tmp_path: Path) -> None:
    port = free_port()
    command = [str(word) for word in services["mlflow"]["command"]]
    with postgres("countersign") as address, Supervisor(tmp_path / "run") as supervisor:
        made = subprocess.run(
            [
                "psql",
                "--set",
                "ON_ERROR_STOP=1",
                "--file",
                ROOT / "docker/create-mlflow-database.sql",
                f"{address}/countersign",
            ],
            env=os.environ | SECRETS,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        here = address.partition("@")[2]
        there = [
            word.replace("postgres:5432", here).replace("0.0.0.0", "127.0.0.1").replace("5000", str(port))  # noqa: S104
            for word in command
        ]
        there = [re.sub(r"(--artifacts-destination)=.*", rf"\1={tmp_path}", word) for word in there]
        assert there[0] == "mlflow", shlex.join(there)
        server = Process(
            "MLflow",
            [sys.executable, "-m", *there],
            os.environ | {key: str(value) for key, value in services["mlflow"]["environment"].items()},
            output=tmp_path / "log",
            folder=tmp_path,
            is_ready=lambda: answers(f"http://127.0.0.1:{port}/health"),
        )
        supervisor.start(server)
        supervisor.wait_until_ready(server)
        url = f"http://127.0.0.1:{port}/api/2.0/mlflow/registered-models/search"
        for host, status in (("mlflow:5000", 200), ("elsewhere.example.com", 403)):
            answer = requests.get(url, headers={"Host": host}, timeout=20)
            assert answer.status_code == status, (host, answer.text)
