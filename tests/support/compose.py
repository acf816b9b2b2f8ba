"""What docker-compose.yml runs, read from that file and run without containers, so that the two cannot drift apart."""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from registry_ui.demo.installation import ROOT
from tests.support.gate import KEY, PUBLIC_KEY, TOKEN
from tests.support.mlflow_server import MlflowServer

FILE = ROOT / "docker-compose.yml"
SECRETS = {
    "COUNTERSIGN_SECRET_KEY": "k" * 50,
    "COUNTERSIGN_DATABASE_PASSWORD": "first-secret",
    "MLFLOW_DATABASE_PASSWORD": "second-secret",
    "COUNTERSIGN_GATE_KEY": base64.b64encode(KEY.private_bytes_raw()).decode(),
    "COUNTERSIGN_GATE_KEYS": PUBLIC_KEY,
    "COUNTERSIGN_GATE_TOKEN": TOKEN,
}
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
"""The image has what the requirements install on its PATH."""

VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\})")


def services(variables: Mapping[str, str] = SECRETS) -> dict[str, Any]:
    """The services by name, with the variables substituted as Compose does. Raises KeyError for a required one."""
    found: dict[str, Any] = _substituted(yaml.safe_load(FILE.read_text())["services"], variables)
    return found


def _substituted(node: Any, variables: Mapping[str, str]) -> Any:
    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        if given := variables.get(found["name"]):
            return given
        if found["how"] == "?":
            raise KeyError(f"{found['name']}: {found['rest']}")
        return found["rest"] or ""

    if isinstance(node, dict):
        return {key: _substituted(each, variables) for key, each in node.items()}
    if isinstance(node, list):
        return [_substituted(each, variables) for each in node]
    return VARIABLE.sub(value, node) if isinstance(node, str) else node


def here(node: Any, places: Mapping[str, str]) -> Any:
    """With the addresses and folders of the containers replaced by those on this machine; nothing else differs."""
    if isinstance(node, dict):
        return {key: here(each, places) for key, each in node.items()}
    if isinstance(node, list):
        return [here(each, places) for each in node]
    text = str(node)
    for there, place in places.items():
        text = text.replace(there, place)
    return text


def make_mlflows_database(address: str) -> None:
    """As the PostgreSQL image does when its volume is new. `address` is that of Countersign's database."""
    script = ROOT / "deploy" / "docker" / "create-mlflow-database.sql"
    done = subprocess.run(
        ["psql", "--set", "ON_ERROR_STOP=1", "--file", script, address],
        env=os.environ | SECRETS,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} failed:\n{done.stderr}")


class MlflowOfCompose(MlflowServer):
    """MLflow with the command and environment of docker-compose.yml, on a PostgreSQL of this machine (`host:port`); its
    gate fetches the policy from `web`, another one. Without one it has no gate, and engineers do as they like."""

    def __init__(
        self, folder: Path, postgres: str, *, web: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, environment=dict(environment or {}))
        self.service, self.web = services()["mlflow"], web
        self.places = {
            "@postgres:5432": f"@{postgres}",
            "--host=0.0.0.0": "--host=127.0.0.1",
            "--port=5000": f"--port={self.port}",
            "127.0.0.1:5000": f"127.0.0.1:{self.port}",
            "//web:8000": f"//{web}",
            "/var/lib/mlflow": str(self.artifacts),
        }

    def _command(self) -> list[str]:
        words = list(here(self.service["command"], self.places))
        if self.web:
            return words
        return [word.replace("=countersign:", "=") for word in words if not word.startswith("--registry-store-uri=")]

    def _environment(self) -> dict[str, str]:
        given = here(self.service["environment"], self.places)
        return super()._environment() | {"PATH": PATH} | given | self.environment
