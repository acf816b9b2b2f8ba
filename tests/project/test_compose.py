"""docker-compose.yml is read by Docker Compose itself, and everything that it starts runs here, without containers."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from registry_ui.demo.installation import ROOT
from registry_ui.demo.processes import Process, Supervisor
from tests.support.backstage import Backstage
from tests.support.compose import PATH, SECRETS, MlflowOfCompose, here, make_mlflows_database, services
from tests.support.mlflow_server import free_port
from tests.support.postgres import postgres
from tools.services import find

pytestmark = [pytest.mark.server, pytest.mark.nodb]


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
def resolved() -> dict[str, Any]:
    """What Docker Compose itself makes of the file."""
    done = compose("config", **SECRETS)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout.replace("$$", "$"))["services"])


def test_the_suite_reads_the_file_as_docker_compose_does(resolved: dict[str, Any]) -> None:
    assert {name: _what_runs(each) for name, each in services().items()} == {
        name: _what_runs(each) for name, each in resolved.items()
    }


def test_the_key_of_mlflows_gate_is_the_workers_alone(resolved: dict[str, Any]) -> None:
    """Neither web nor MLflow can sign a grant or a policy, whoever gets hold of them."""
    have = [name for name, each in resolved.items() if "COUNTERSIGN_GATE_KEY" in each.get("environment", {})]
    assert have == ["worker"]


def _what_runs(service: Mapping[str, Any]) -> Any:
    """Command, health check and environment; Compose writes numbers as words."""
    environment = {key: str(value) for key, value in service.get("environment", {}).items()}
    return service.get("command"), service.get("healthcheck", {}).get("test"), environment


def test_every_service_that_stays_up_has_a_health_check(resolved: dict[str, Any]) -> None:
    assert {"postgres", "redis", "mlflow", "migrate", "web", "worker", "beat"} <= set(resolved)
    assert {name for name, service in resolved.items() if "healthcheck" not in service} == {"migrate"}


def test_nothing_of_countersign_starts_before_the_migrations_have_run(resolved: dict[str, Any]) -> None:
    for name in set(resolved) - {"postgres", "redis", "mlflow", "migrate"}:
        assert resolved[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert resolved["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_ports_are_published_on_this_host_alone(resolved: dict[str, Any]) -> None:
    published = [str(port) for service in resolved.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all("127.0.0.1" in port for port in published)


def test_what_it_mounts_from_here_is_here(resolved: dict[str, Any]) -> None:
    """Docker makes an empty folder of a source that is missing. Older Composes write a volume in one line."""
    volumes = [volume for service in resolved.values() for volume in service.get("volumes", [])]
    sources = [each.partition(":")[0] if isinstance(each, str) else each["source"] for each in volumes]
    mounted = [Path(source) for source in sources if "/" in source]
    assert mounted
    assert [path for path in mounted if not path.is_file()] == []


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_a_missing_secret_stops_it_with_its_name(missing: str) -> None:
    given = {name: value for name, value in SECRETS.items() if name != missing}
    done = compose("config", **given)
    assert done.returncode != 0
    assert missing in done.stderr
    with pytest.raises(KeyError, match=missing):
        services(given)


def test_every_variable_it_reads_is_in_the_example() -> None:
    read = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    named = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read == named


# --- All of it at once


class Image:
    """The Dockerfile, followed as far as no container is needed: what it copies, sets, runs and starts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.app = folder, folder / "app"
        self.text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
        self.app.mkdir(parents=True)
        left_out = {ROOT / line for line in (ROOT / ".dockerignore").read_text().split() if not line.startswith("!")}
        for source, _ in re.findall(r"^COPY (\S+) (\S+)$", self.text, re.MULTILINE):
            if (ROOT / source).is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, self.app / source, ignore=ignore)
            else:
                shutil.copy(ROOT / source, self.app)
        for path in left_out:
            copied = self.app / path.relative_to(ROOT)
            if copied.is_dir() and path.name != "*":
                shutil.rmtree(copied)
            elif path.name != "*":
                copied.unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        lines = re.findall(r"^ENV (.+)$", self.text, re.MULTILINE)
        return dict(pair.split("=", 1) for line in lines for pair in line.split())

    @property
    def command(self) -> list[str]:
        return list(json.loads(re.findall(r"^CMD (.+)$", self.text, re.MULTILINE)[-1]))

    @property
    def collecting(self) -> str:
        """The shell command that puts the static files into the image."""
        return re.findall(r"&& (\S+ python manage.py collectstatic --no-input)", self.text)[0]


class Host:
    """This machine in place of the containers. `places` is all that differs from the file."""

    def __init__(self, folder: Path, postgres_address: str) -> None:
        self.folder, self.image, self.services = folder, Image(folder), services()
        self.postgres = postgres_address.partition("@")[2]
        self.redis_port, self.web_port = str(free_port()), str(free_port())
        self.mlflow = MlflowOfCompose(folder / "mlflow", self.postgres, web=f"127.0.0.1:{self.web_port}")
        self.places = {
            "/tmp": str(folder),  # noqa: S108 -- beat's schedule
            "/app": str(self.image.app),
            "/var/lib/countersign": str(folder / "state"),
            "@postgres:5432": f"@{self.postgres}",
            "redis:6379": f"127.0.0.1:{self.redis_port}",
            "mlflow:5000": f"127.0.0.1:{self.mlflow.port}",
            "127.0.0.1:5000": f"127.0.0.1:{self.mlflow.port}",
            "0.0.0.0:8000": f"127.0.0.1:{self.web_port}",
            "127.0.0.1:8000": f"127.0.0.1:{self.web_port}",
        }
        self.ports = {
            "redis-server": ["--bind", "127.0.0.1", "--port", self.redis_port],
            "redis-cli": ["-p", self.redis_port],
        }

    def environment(self, name: str) -> dict[str, str]:
        given = self.image.environment | self.services[name].get("environment", {})
        outside = {"PATH": PATH, "HOME": str(self.folder), "HOSTNAME": socket.gethostname()}
        return outside | {"PGPORT": self.postgres.partition(":")[2]} | dict(here(given, self.places))

    def words(self, words: list[str]) -> list[str]:
        found: list[str] = here(words, self.places)
        return [found[0], *self.ports.get(found[0], []), *found[1:]]

    def process(self, name: str) -> Process:
        command = self.words(self.services[name].get("command", self.image.command))
        log = self.folder / f"{name}.log"
        return Process(
            name, command, self.environment(name), log, folder=self.image.app, is_ready=lambda: not self.problem(name)
        )

    def problem(self, name: str) -> str:
        """What the service's health check says against it."""
        how, *words = self.services[name]["healthcheck"]["test"]
        assert how in ("CMD", "CMD-SHELL")
        command = self.words(words if how == "CMD" else ["sh", "-c", *words])
        done = subprocess.run(
            command, env=self.environment(name), cwd=self.image.app, capture_output=True, text=True, check=False
        )
        return f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}" if done.returncode else ""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with postgres("countersign") as address:
        make_mlflows_database(f"{address}/countersign")
        yield Host(tmp_path_factory.mktemp("host"), address)


def test_everything_that_it_starts_gets_healthy_and_works_together(host: Host) -> None:
    subprocess.run(["sh", "-c", host.image.collecting], env=host.environment("migrate"), cwd=host.image.app, check=True)
    with host.mlflow, Supervisor(host.folder / "run") as supervisor:
        migrate = host.process("migrate")
        redis = host.process("redis")
        supervisor.start(redis)
        supervisor.run(migrate)
        supervisor.wait_until_ready(redis)
        running = [host.process(name) for name in set(host.services) - {"postgres", "redis", "mlflow", "migrate"}]
        for process in running:
            supervisor.start(process)
        for process in running:
            supervisor.wait_until_ready(process)
        assert [problem for name in ("postgres", "redis", "mlflow") if (problem := host.problem(name))] == []

        # Worker and beat have filled the mirror from MLflow, and the pages have their files.
        url, answer = f"http://127.0.0.1:{host.web_port}", None
        deadline = time.monotonic() + 60
        while (answer := requests.get(f"{url}/readyz?strict=1", timeout=20)).status_code != 200:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.5)
        page = requests.get(f"{url}/accounts/login/", timeout=20)
        assert page.status_code == 200
        sheet = re.findall(r'href="(/static/[^"]+\.css)"', page.text)[0]
        assert requests.get(f"{url}{sheet}", timeout=20).status_code == 200
        assert [each.failures for each in running] == [0] * len(running)

        # MLflow answers to the names that the file allows.
        listing = f"{host.mlflow.url}/api/2.0/mlflow/registered-models/search"
        for name, status in (("mlflow:5000", 200), ("elsewhere.example.com", 403)):
            assert requests.get(listing, headers={"Host": name}, timeout=20).status_code == status, name

        # A new installation enforces Production, and nothing else, in the words of its policy.
        engineer = Backstage(host.mlflow.url)
        engineer.create_version("composed")
        while "policy 0 " in (said := engineer.ask_the_gate()):
            assert time.monotonic() < deadline + 60, said
            time.sleep(0.5)
        move = {"name": "composed", "version": "1"}
        engineer.call("POST", "model-versions/transition-stage", **move, stage="Staging")
        refused = r"it needs 2 approvals from any reviewer. Ask for it: \S+/p/composed/1"
        with pytest.raises(AssertionError, match=refused):
            engineer.call("POST", "model-versions/transition-stage", **move, stage="Production")
