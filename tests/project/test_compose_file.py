"""docker-compose.yml, as Docker Compose itself reads it: who gets which secret, who reaches whom, what each may do."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry_ui import settings
from registry_ui.demo.installation import ROOT
from tests.project.processes import OPTIONAL, SECRETS
from tests.support.compose import here, make_secrets, services
from tools.services import find

pytestmark = [pytest.mark.server, pytest.mark.nodb]

ONCE = {"migrate", "mlflow-accounts"}
"""Services that do something and end."""


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
def whole() -> dict[str, Any]:
    """What Docker Compose itself makes of the file."""
    done = compose("config")
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout.replace("$$", "$")))


@pytest.fixture(scope="module")
def resolved(whole: dict[str, Any]) -> dict[str, Any]:
    return dict(whole["services"])


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("made") / "secrets")


def mounted(service: Mapping[str, Any]) -> set[str]:
    """Names in /run/secrets. Composes write them as words or as mappings."""
    return {each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])}


def networks(service: Mapping[str, Any]) -> set[str]:
    return set(service["networks"])


# --- As the suite reads it


def test_the_suite_reads_the_file_as_docker_compose_does(resolved: dict[str, Any]) -> None:
    assert {name: _what_runs(each) for name, each in services().items()} == {
        name: _what_runs(each) for name, each in resolved.items()
    }


def _what_runs(service: Mapping[str, Any]) -> Any:
    """Command, health check, environment, user and files; Compose writes numbers as words."""
    environment = {key: str(value) for key, value in service.get("environment", {}).items()}
    words = [service.get("entrypoint"), service.get("command"), service.get("healthcheck", {}).get("test")]
    return words, environment, service.get("user"), mounted(service)


def test_every_variable_it_reads_is_in_the_example_with_its_default() -> None:
    read = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text()))
    named = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named == read


# --- Secrets


@pytest.mark.parametrize("process", SECRETS)
def test_a_process_gets_the_secrets_of_the_table_and_no_other(resolved: dict[str, Any], process: str) -> None:
    environment = resolved[process]["environment"]
    given = {name.removesuffix("_FILE") for name in environment if name.endswith("_FILE")}
    assert given == SECRETS[process]


def test_no_secret_stands_in_an_environment_or_in_the_example(resolved: dict[str, Any]) -> None:
    """`docker inspect` shows those to everybody who may ask Docker, and /proc to whoever breaks into a process."""
    every = frozenset().union(*SECRETS.values())
    for name, service in resolved.items():
        if name != "mlflow-accounts":  # it needs a key to start, and signs nothing
            given = {each for each, value in service.get("environment", {}).items() if value != "none"}
            assert every & given == set(), name
    suspicious = re.compile(r"PASSWORD|TOKEN|SECRET|(?<!PUBLIC_)KEY|EMAIL_URL|DATABASE_URL|CHAT_URLS|BROKER")
    named = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert [name for name in named if suspicious.search(name)] == []


def test_each_container_gets_the_files_that_it_reads_and_no_other(resolved: dict[str, Any], secrets: Path) -> None:
    for name, service in resolved.items():
        read = set(re.findall(r"/run/secrets/([\w.]+)", str(_what_runs(service))))
        if name == "postgres":  # roles.sql reads the others
            read |= set(re.findall(r"database_\w+_password", (ROOT / "deploy" / "docker" / "roles.sql").read_text()))
        assert mounted(service) == read, name
    used = set().union(*map(mounted, resolved.values()))
    assert used == {path.name for path in secrets.iterdir()}, "make-secrets.sh makes what is used"


def test_what_signs_for_mlflow_and_for_the_ledger_is_the_workers_alone(resolved: dict[str, Any]) -> None:
    for secret in ("gate_key", "checkpoint_key"):
        assert [name for name, service in resolved.items() if secret in mounted(service)] == ["worker"]


def test_only_migrations_have_the_role_that_owns_the_tables(resolved: dict[str, Any]) -> None:
    assert [name for name, each in resolved.items() if "database_owner_url" in mounted(each)] == ["migrate"]


def test_the_made_secrets_are_strong_and_stay_and_the_settings_take_them(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    make_secrets(secrets)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before
    values = [text.strip() for name, text in before.items() if not name.endswith(".conf")]
    assert len({each for each in values if each}) == len([each for each in values if each]), "two are the same"
    empty = {name for name, text in before.items() if not text}
    assert empty == {"email_url", "oidc_client_secret", "proxy_auth_secret", "chat_urls", "mlflow_token"}
    assert all(before[name].strip() and len(before[name]) > 64 for name in before if name.endswith("_password"))
    writable = {path.name for path in secrets.iterdir() if path.stat().st_mode & 0o777 != 0o444}
    assert writable == {*empty, "mlflow_password"}


def test_a_secret_that_is_missing_is_made_from_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "database_app_password").write_text("from-before")
    make_secrets(folder)
    assert (folder / "database_app_password").read_text() == "from-before"
    assert (folder / "database_app_url").read_text().strip() == (
        "postgresql://countersign_app:from-before@postgres:5432/countersign"
    )


# --- Networks


def test_web_shares_no_network_with_mlflow(resolved: dict[str, Any]) -> None:
    """Who breaks into what people reach cannot speak to MLflow, whatever password they find."""
    assert networks(resolved["web"]) & networks(resolved["mlflow"]) == set()


def test_who_reaches_whom(resolved: dict[str, Any]) -> None:
    reached = {
        name: {other for other, each in resolved.items() if other != name and networks(service) & networks(each)}
        for name, service in resolved.items()
    }
    countersign = {"web", "gate", "worker", "beat", "migrate"}
    assert reached["web"] == (countersign - {"web"}) | {"postgres", "valkey"}
    assert reached["mlflow"] == {"postgres", "gate", "worker", "mlflow-accounts"}
    assert reached["valkey"] == countersign | {"postgres"}
    assert reached["mlflow-accounts"] == {"mlflow", "worker"}


def test_what_has_a_way_out_or_in(whole: dict[str, Any], resolved: dict[str, Any]) -> None:
    internal = {name for name, each in whole["networks"].items() if each and each.get("internal")}
    assert {name for name, each in resolved.items() if networks(each) - internal} == {"web", "mlflow", "worker"}
    assert {name for name, each in resolved.items() if each.get("ports")} == {"web", "mlflow"}


def test_ports_are_published_on_this_host_alone(resolved: dict[str, Any]) -> None:
    published = [str(port) for service in resolved.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all("127.0.0.1" in port for port in published)


def test_mlflow_may_be_published_elsewhere_because_it_asks_for_a_password() -> None:
    done = compose("config", MLFLOW_PUBLISHED="0.0.0.0:5000")
    assert done.returncode == 0, done.stderr
    mlflow = yaml.safe_load(done.stdout)["services"]["mlflow"]
    assert "0.0.0.0" in str(mlflow["ports"])  # noqa: S104
    assert "--app-name=basic-auth" in mlflow["command"]


# --- What each may do


@pytest.mark.parametrize("name", services())
def test_no_container_may_more_than_it_needs(resolved: dict[str, Any], name: str) -> None:
    service = resolved[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["pids_limit"]) <= 256
    assert service["init"] is True
    assert any(str(each).startswith("/tmp:size=") for each in service["tmpfs"])  # noqa: S108
    assert service["mem_limit"]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])


# --- Order and health


def test_every_service_that_stays_up_has_a_health_check(resolved: dict[str, Any]) -> None:
    assert {"postgres", "valkey", "mlflow", "web", "gate", "worker", "beat"} == set(resolved) - ONCE
    assert {name for name, service in resolved.items() if "healthcheck" not in service} == ONCE
    assert {name for name, service in resolved.items() if service["restart"] == "no"} == ONCE


def test_what_ends_is_waited_for_by_something_that_stays(resolved: dict[str, Any]) -> None:
    """Otherwise `up --wait` calls it a failure that it has ended."""
    waited = {
        name
        for service, each in resolved.items()
        for name, how in each.get("depends_on", {}).items()
        if service not in ONCE and how["condition"] == "service_completed_successfully"
    }
    assert waited == ONCE


def test_roles_that_hold_less_than_they_should_do_not_keep_the_worker_away(resolved: dict[str, Any]) -> None:
    assert resolved["worker"]["depends_on"]["mlflow-accounts"]["condition"] == "service_completed_successfully"
    assert resolved["mlflow-accounts"]["command"][2:] == ["mlflow_roles", "--only-say"]


def test_nothing_of_countersign_starts_before_the_migrations_have_run(resolved: dict[str, Any]) -> None:
    for name in ("web", "gate", "worker", "beat"):
        assert resolved[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert resolved["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_web_and_worker_can_be_several() -> None:
    """`--scale web=2 --scale worker=2`: nothing of theirs is there only once; the published port is a span."""
    done = compose("config", COUNTERSIGN_PUBLISHED="127.0.0.1:8000-8001")
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    for name in ("web", "worker"):
        assert {"container_name", "hostname", "network_mode"} & found[name].keys() == set()
    assert "volumes" not in found["web"]
    assert "ports" not in found["worker"]
    # As words of an older Compose, or as one entry a port of a newer one.
    assert "8000-8001" in str(found["web"]["ports"])
    assert "@%h" in shlex.join(found["worker"]["command"]), "two workers of one name take each other's pings"


def test_web_and_gate_answer_to_the_names_by_which_they_are_asked(resolved: dict[str, Any]) -> None:
    hosts = {name: resolved[name]["environment"]["COUNTERSIGN_EXTRA_HOSTS"].split(",") for name in ("web", "gate")}
    assert hosts == {"web": ["127.0.0.1"], "gate": ["127.0.0.1", "gate"]}
    assert "//gate:8000/" in resolved["mlflow"]["environment"]["COUNTERSIGN_GATE_POLICY"]


def test_what_it_mounts_from_here_is_here(resolved: dict[str, Any]) -> None:
    """Docker makes an empty folder of a source that is missing. Older Composes write a volume in one line."""
    volumes = [volume for service in resolved.values() for volume in service.get("volumes", [])]
    sources = [each.partition(":")[0] if isinstance(each, str) else each["source"] for each in volumes]
    paths = [Path(source) for source in sources if "/" in source]
    assert paths
    assert [path for path in paths if not path.is_file()] == []


def test_files_of_a_store_that_the_worker_reads_itself_go_to_the_disk(resolved: dict[str, Any]) -> None:
    """To a folder that the image has, with its user as the owner: else a new volume would belong to root."""
    worker = resolved["worker"]
    folder = worker["environment"]["TMPDIR"]
    assert folder in str(worker["volumes"])
    owner = f"install --directory --owner={worker['user'].partition(':')[0]} --group={worker['user'].partition(':')[2]}"
    assert f"{owner} {folder}\n" in (ROOT / "Dockerfile").read_text()


def test_the_variables_exist(resolved: dict[str, Any]) -> None:
    for name in (*SECRETS, "mlflow-accounts"):
        given = {each.removesuffix("_FILE") for each in resolved[name]["environment"]} - {"TMPDIR"}
        assert given <= settings.env.names, name
    assert frozenset().union(*SECRETS.values()) <= settings.env.names
    assert frozenset().union(*SECRETS.values()) >= OPTIONAL


def test_to_run_it_here_changes_addresses_and_no_password() -> None:
    written = "password=ab9100cd\nhost=postgres\nport=5432\n"
    places = {"9100": "0", "host=postgres": "host=127.0.0.1", "port=5432": "port=61234"}
    assert here(written, places) == "password=ab9100cd\nhost=127.0.0.1\nport=61234\n"
