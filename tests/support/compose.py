"""What docker-compose.yml runs, read from that file and run without containers, so that the two cannot drift apart."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from registry_ui.demo.installation import ROOT
from tests.support.mlflow_server import MlflowServer

FILE = ROOT / "docker-compose.yml"
DOCKER = ROOT / "deploy" / "docker"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
"""The images have what the requirements install on their PATH."""

VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+):-(?P<default>[^}]*)\})")


def services(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The services by name, with the variables of .env substituted as Compose does."""
    found: dict[str, Any] = _substituted(yaml.safe_load(FILE.read_text())["services"], variables or {})
    return found


def _substituted(node: Any, variables: Mapping[str, str]) -> Any:
    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found["name"]) or found["default"]

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
    # From the beginning of a word: the digits of a port stand in the random passwords, too.
    longest_first = sorted(places, key=len, reverse=True)
    begin = {True: r"(?<!\w)", False: ""}
    words = "|".join(begin[each[0].isalnum()] + re.escape(each) for each in longest_first)
    pattern = rf"(?:{words})(?!\d)"
    return re.sub(pattern, lambda found: places[found[0]], str(node))


def make_secrets(folder: Path) -> Path:
    """As the operator does; the folder."""
    done = subprocess.run(
        ["sh", DOCKER / "make-secrets.sh", folder], capture_output=True, text=True, check=False, cwd=folder.parent
    )
    if done.returncode:
        raise RuntimeError(f"make-secrets.sh failed:\n{done.stdout}{done.stderr}")
    return folder


def mount(secrets: Path, names: Iterable[str], into: Path, places: Mapping[str, str]) -> None:
    """What Docker puts into /run/secrets: these files and no other, as they are but for the addresses in them."""
    into.mkdir(parents=True)
    into.chmod(0o755)
    for name in names:
        (into / name).write_text(here((secrets / name).read_text(), places))
        (into / name).chmod((secrets / name).stat().st_mode)


def make_databases(address: str, secrets: Path) -> None:
    """As the PostgreSQL image does when its volume is new. `address` is that of Countersign's database, as the
    superuser."""
    done = subprocess.run(
        ["psql", "--no-psqlrc", "--set", f"passwords={secrets}", "--file", DOCKER / "roles.sql", address],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"roles.sql failed:\n{done.stderr}")


class MlflowOfCompose(MlflowServer):
    """MLflow with the command and environment of docker-compose.yml, on the PostgreSQL of this machine at `address`
    (with the superuser, without a database); as most tests want it, without a sign-in and without the gate."""

    def __init__(self, folder: Path, address: str, *, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, environment=dict(environment or {}))
        self.service = services()["mlflow"]
        folder.mkdir(parents=True, exist_ok=True)
        secrets, host, port = make_secrets(folder / "secrets"), *address.rpartition("@")[2].split(":")
        make_databases(f"{address}/countersign", secrets)
        mounted = folder / "run-secrets"
        mount(secrets, self.service["secrets"], mounted, {"host=postgres": f"host={host}", "port=5432": f"port={port}"})
        self.places = {
            "/run/secrets": str(mounted),
            "--host=0.0.0.0": "--host=127.0.0.1",
            "--port=5000": f"--port={self.port}",
            "=countersign:": "=",
            "/var/lib/mlflow": str(self.artifacts),
        }

    def _command(self) -> list[str]:
        left_out = ("--app-name=", "--registry-store-uri=")
        words = [word for word in self.service["command"] if not word.startswith(left_out)]
        return list(here([*self.service["entrypoint"], *words], self.places))

    def _environment(self) -> dict[str, str]:
        given = here(self.service["environment"], self.places)
        return super()._environment() | {"PATH": PATH} | given | self.environment
