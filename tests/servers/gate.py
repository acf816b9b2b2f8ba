"""The gate in front of the MLflow servers that people run, in the ways in which they start them: the siege of
`tests.support.siege`, and a table of what was refused and what went on. Ends with 1 when anything came otherwise.

python -m tests.servers.gate [VERSION …]
"""

import contextlib
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
from mlflow_gate.attacks import FAILED, GOES_ON, NOT_TAKEN, REFUSED

from registry_ui.demo.installation import ROOT
from tests.servers.__main__ import NEWEST, VERSIONS, install
from tests.support.backstage import Backstage
from tests.support.gate import Countersign, rule
from tests.support.mlflow_server import ADMIN, make_passwords_cheap, passwords
from tests.support.postgres import postgres
from tests.support.siege import GuardedMlflow, Outcome, Siege

ENGINEER, WORKSPACE = "rita", "risk"
WAYS = ("1 process", "4 processes", "gunicorn", "passwords", "prefix", "workspaces", "PostgreSQL")


def has(version: str, way: str) -> bool:
    """Whether this MLflow can be started this way."""
    release = (99, 0) if version == NEWEST else tuple(int(part) for part in version.split(".")[:2])
    # Before 3.5 there was no other server than gunicorn. Behind a prefix older ones have their pages alone, and with
    # passwords a model that 2.14 renamed belongs to nobody.
    since = {"workspaces": (3, 10), "gunicorn": (3, 5), "prefix": (3, 17), "passwords": (2, 22)}
    return release >= since.get(way, (0, 0))


def install_gate(python: Path) -> None:
    """For its entry points; what it needs is there. Raises CalledProcessError."""
    done = python.parents[1] / "gate"
    if not done.exists():
        uv = [sys.executable, "-m", "uv", "--quiet", "pip", "install", "--python", str(python)]
        subprocess.run([*uv, "--no-deps", "--editable", str(ROOT / "packages" / "mlflow_gate")], check=True)
        subprocess.run([*uv, "psycopg2-binary", "cryptography"], check=True)  # MLflow brings the latter from 2.22 on
        done.touch()


@contextlib.contextmanager
def started(way: str, folder: Path, site: Countersign, python: Path) -> Iterator[Siege]:
    """What is to be run against the server. Raises RuntimeError when it does not start."""
    wanted: dict[str, Any] = {"python": str(python)}
    password = secrets.token_urlsafe(16)
    with contextlib.ExitStack() as stack:
        if way == "4 processes":
            wanted["workers"] = 4
        elif way == "gunicorn":
            wanted["options"] = ["--gunicorn-opts=--workers=2 --threads=2"]
        elif way == "passwords":
            wanted |= {"options": ["--app-name=basic-auth"], "environment": passwords(folder, password)}
        elif way == "prefix":
            wanted["prefix"] = "/behind/a-proxy"
        elif way == "workspaces":
            wanted["options"] = ["--enable-workspaces"]
        elif way == "PostgreSQL":
            address = stack.enter_context(postgres("mlflow"))
            wanted["store"] = address.replace("postgresql:", "postgresql+psycopg2:") + "/mlflow"
        server = GuardedMlflow(folder, site, **wanted)
        stack.callback(server.stop)
        server.start(timeout=240)
        siege: dict[str, Any] = {}
        if way == "passwords":
            admin = f"http://{ADMIN}:{password}@127.0.0.1:{server.port}"
            Backstage(admin).call("POST", "users/create", username=ENGINEER, password=password)
            make_passwords_cheap(folder, {ADMIN: password, ENGINEER: password})
            siege = {"engineer": (ENGINEER, password), "worker": (ADMIN, password)}
        elif way == "workspaces":
            made = requests.post(f"{server.url}/api/3.0/mlflow/workspaces", json={"name": WORKSPACE}, timeout=60)
            made.raise_for_status()
            siege["workspace"] = WORKSPACE
        yield Siege(server.url, site, **siege)


def lay_siege(way: str, python: Path) -> list[Outcome]:
    """All outcomes. Raises RuntimeError when the server does not start."""
    rules = [rule(), rule(workspace=WORKSPACE)]
    with (
        tempfile.TemporaryDirectory(prefix="countersign-gate-") as folder,
        Countersign(*rules) as site,
        started(way, Path(folder) / "mlflow", site, python) as siege,
    ):
        outcomes = siege.run()
        said = (Path(folder) / "mlflow" / "mlflow.log").read_text()
        unknown = re.findall("This MLflow has methods that the gate does not know and refuses: (.*)", said)
        return [*outcomes, Outcome("MLflow's methods that the gate does not know", "", ", ".join(set(unknown)))]


def main(versions: Sequence[str]) -> int:
    print(f"{'MLflow':<10}{'started':<14}{'refused':>10}{'not taken':>12}{'went on':>10}{'otherwise':>12}")
    troubles: list[str] = []
    for version in versions:
        python = install(version)
        install_gate(python)
        for way in filter(lambda way: has(version, way), WAYS):
            begun = time.monotonic()
            try:
                outcomes = lay_siege(way, python)
            except RuntimeError as error:
                troubles.append(f"{version}, {way}: {error}")
                print(f"{version:<10}{way:<14}  it does not start", flush=True)
                continue
            refused, not_taken, went_on = (
                sum(each.is_ok and each.came in came for each in outcomes)
                for came in ((REFUSED,), (NOT_TAKEN, FAILED), (GOES_ON,))
            )
            otherwise = [each for each in outcomes if not each.is_ok]
            troubles += [f"{version}, {way}: {each.title}: {each.came} ({each.said})" for each in otherwise]
            print(
                f"{version:<10}{way:<14}{refused:>10}{not_taken:>12}{went_on:>10}{len(otherwise):>12}"
                f"{time.monotonic() - begun:>8.0f} s",
                flush=True,
            )
    print(*troubles, sep="\n")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or VERSIONS))
