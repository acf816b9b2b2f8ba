"""A real MLflow server in its own process group, on SQLite and a free port, for tests and the benchmark."""

import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from werkzeug.security import generate_password_hash

from tests.support import warm

GATE = Path(__file__).resolve().parents[2] / "packages" / "mlflow_gate"
ADMIN = "admin"


def passwords(folder: Path, password: str) -> dict[str, str]:
    """Environment of a server that asks for passwords (`--app-name=basic-auth`), with this one for its administrator.
    Everybody may read everything."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder / 'auth.sqlite3'}\n"
        f"admin_username = {ADMIN}\nadmin_password = {password}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    return {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex()}


def make_passwords_cheap(folder: Path, known: Mapping[str, str]) -> None:
    """Each call checks the password; with MLflow's own hashes some hundred calls take minutes."""
    with closing(sqlite3.connect(folder / "auth.sqlite3")) as database, database:
        for name, password in known.items():
            cheap = generate_password_hash(password, "pbkdf2:sha256:1")
            database.execute("UPDATE users SET password_hash = ? WHERE username = ?", [cheap, name])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """`with MlflowServer(folder) as server:`; `stop()` and `start()` keep the port and the data, for outage tests."""

    def __init__(
        self, folder: Path, *, port: int | None = None, workers: int = 1, environment: dict[str, str] | None = None
    ) -> None:
        self.folder, self.port, self.workers = folder, port or free_port(), workers
        self.environment = environment or {}
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | warm.Forked | None = None

    def __enter__(self) -> "MlflowServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, timeout: float = 90) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.artifacts.mkdir(exist_ok=True)
        log = self.folder / "mlflow.log"
        command, environment = self._command(), self._environment()
        if self._can_be_forked(command):
            self._process = warm.Forked(command, environment, self.folder, log)
        else:
            with log.open("ab") as out:
                self._process = subprocess.Popen(
                    command,
                    stdout=out,
                    stderr=out,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                    cwd=self.folder,
                    start_new_session=True,
                )
        deadline = time.monotonic() + timeout
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"MLflow did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)

    @property
    def artifacts(self) -> Path:
        """Folder in which it keeps what it serves as `mlflow-artifacts:`."""
        return self.folder / "artifacts"

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={self.port}"]
        command += [f"--workers={self.workers}", f"--backend-store-uri=sqlite:///{self.folder / 'mlflow.sqlite3'}"]
        return [*command, f"--artifacts-destination={self.artifacts.as_uri()}"]

    def _environment(self) -> dict[str, str]:
        # The job runner is seven more processes and half a minute, and the registry does not use it.
        small = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        # A server with the gate has the gate of this folder, and not the one that was installed some time ago.
        return os.environ | small | {"PYTHONPATH": str(GATE)} | self.environment

    def stop(self) -> None:
        """Ends the whole process group: the uvicorn workers outlive their parent otherwise."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                continue
        process.wait()

    def _can_be_forked(self, command: list[str]) -> bool:
        """Whether it is this environment's MLflow in one process."""
        more = [each for each in command if each.startswith(("--workers=", "--gunicorn-opts"))]
        return command[:4] == [sys.executable, "-m", "mlflow", "server"] and more == ["--workers=1"]

    def _is_healthy(self) -> bool:
        return self._answers(self.url)

    def _answers(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
