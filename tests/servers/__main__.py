"""`make test-mlflow`: Countersign's worker code against the MLflow servers that people run, each in an environment of
its own below .countersign/mlflow-servers, and a table of what came of it. Ends with 1 when any step is not ok.

python -m tests.servers [VERSION …]
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from registry_ui.demo.installation import ROOT, Installation
from tests.support.mlflow_server import ADMIN, MlflowServer, free_port, make_passwords_cheap, passwords

CACHE = ROOT / ".countersign" / "mlflow-servers"
NEWEST = "newest"
VERSIONS = ("2.14.3", "2.22.5", "3.1.4", "3.5.1", "3.9.0", "3.17.2", NEWEST)
ACCOUNT = "countersign"
STEPS = ("mirror", "promotion", "rollback", "bypass by stage", "bypass by alias", "deletion", "refused permission")


def pins(version: str) -> list[str]:
    """What a server needs beside what it asks for, because it came out before these were."""
    if version == NEWEST:
        return []
    release = tuple(int(part) for part in version.split(".")[:2])
    found = ["sqlalchemy<2.1"] if release < (3, 10) else []
    found += ["setuptools<80"] if release < (3, 0) else []  # for pkg_resources
    return found + (["fastapi==0.116.1", "starlette<0.48"] if (3, 5) <= release < (3, 10) else [])


def install(version: str) -> Path:
    """Makes the environment when it is not there; its Python. Raises CalledProcessError."""
    folder = CACHE / version
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        uv = [sys.executable, "-m", "uv", "--quiet"]
        wanted = "mlflow[auth]" if version == NEWEST else f"mlflow[auth]=={version}"
        subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([*uv, "pip", "install", "--python", python, wanted, *pins(version)], check=True)
        done.touch()
    return python


class OtherServer(MlflowServer):
    """An MLflow of another version, which asks for passwords."""

    def __init__(self, folder: Path, python: Path) -> None:
        super().__init__(folder)
        self.python, self.password = python, secrets.token_urlsafe(16)
        self.environment = {
            **passwords(folder, self.password),
            "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),  # it starts gunicorn or uvicorn
        }

    @property
    def admin_url(self) -> str:
        return f"http://{ADMIN}:{self.password}@127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        return [str(self.python), *super()._command()[1:], "--app-name=basic-auth"]


def drive(server: OtherServer, folder: Path) -> dict[str, str]:
    """What each step came to."""
    from tests.support.backstage import Backstage

    password = secrets.token_urlsafe(16)
    Backstage(server.admin_url).call("POST", "users/create", username=ACCOUNT, password=password)
    make_passwords_cheap(server.folder, {ADMIN: server.password, ACCOUNT: password})
    place = Installation(folder, free_port(), server.port)
    place.prepare()
    environment = place.environment() | {
        "MLFLOW_TRACKING_USERNAME": ACCOUNT,
        "MLFLOW_TRACKING_PASSWORD": password,
        "COUNTERSIGN_MLFLOW_TIMEOUT_SECONDS": "60",
        "COUNTERSIGN_UNDO_SECONDS": "0",
        "COUNTERSIGN_LOG_LEVEL": "ERROR",
        "CELERY_BROKER_URL": "filesystem://",
        "EMAIL_URL": "memorymail://",
    }
    command = [sys.executable, "-m", "tests.servers.drive", server.admin_url]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    said = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    if done.returncode:
        said.setdefault("mirror", done.stderr.strip().splitlines()[-1])
    return said


def outcome(version: str) -> tuple[str, dict[str, str]]:
    """The version that was installed, and what each step came to."""
    try:
        python = install(version)
    except subprocess.CalledProcessError:
        return version, {"mirror": "it cannot be installed"}
    tell = [python, "-c", "import importlib.metadata as m; print(m.version('mlflow'))"]
    installed = subprocess.run(tell, capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="countersign-servers-") as folder:
        server = OtherServer(Path(folder) / "mlflow", python)
        try:
            server.start(timeout=240)
        except RuntimeError as error:
            return installed, {"mirror": f"it does not start: {error}"}
        try:
            return installed, drive(server, Path(folder) / "countersign")
        finally:
            server.stop()


def main(versions: Sequence[str]) -> int:
    print(f"{'MLflow':<16}" + "".join(f"{step:<20}" for step in STEPS))
    troubles: list[str] = []
    for version in versions:
        started = time.monotonic()
        installed, said = outcome(version)
        found = {step: said.get(step, "not reached") for step in STEPS}
        name = f"{installed} ({NEWEST})" if version == NEWEST else installed
        cells = ("ok" if each == "ok" else "NOT OK" for each in found.values())
        print(
            f"{name:<16}" + "".join(f"{cell:<20}" for cell in cells) + f"{time.monotonic() - started:.0f} s", flush=True
        )
        troubles += [f"{name}, {step}: {each}" for step, each in found.items() if each != "ok"]
    print(*troubles, sep="\n")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or VERSIONS))
