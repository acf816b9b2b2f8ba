"""Where the demo lives: its folder, ports and environment, and what each of its processes runs. No Django here."""

import base64
import contextlib
import hashlib
import http.client
import os
import secrets
import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlflow_gate import grants

from registry_ui.demo.processes import Process, is_port_free

ROOT = Path(__file__).resolve().parent.parent.parent
FOREIGN = ("COUNTERSIGN_", "MLFLOW_", "CELERY_", "DATABASE_URL", "EMAIL_URL", "DJANGO_", "GUNICORN_", "PYTHONPATH")
"""Variables of the shell that must not leak in: the demo may not touch a database or an MLflow that means something."""

LONGEST_SOCKET_PATH = 100
"""The system allows 107 bytes (103 on macOS)."""


class CannotStart(Exception):
    """Something on this machine is in the way; the message says what to do."""


@dataclass(frozen=True)
class Installation:
    folder: Path
    port: int
    mlflow_port: int

    @classmethod
    def from_environment(cls) -> "Installation":
        """PORT, MLFLOW_PORT and COUNTERSIGN_STATE_DIR; raises CannotStart."""
        folder = Path(os.environ.get("COUNTERSIGN_STATE_DIR") or ROOT / ".countersign").resolve()
        found = cls(folder, _port("PORT", 8000), _port("MLFLOW_PORT", 5000))
        if found.port == found.mlflow_port:
            raise CannotStart("PORT and MLFLOW_PORT are the same; choose two.")
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def redis(self) -> str | None:
        return shutil.which("redis-server")

    @property
    def redis_socket(self) -> Path:
        path = self.folder / "redis.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"countersign-{os.getuid()}-{name}.sock"

    def has_current_static_files(self) -> bool:
        """Whether nothing that is collected is newer than the collection; that takes seconds and rarely changes."""
        manifest = self.folder / "static" / "staticfiles.json"
        if not manifest.exists():
            return False
        sources = [ROOT / "requirements.txt", *ROOT.glob("*/static/**/*")]
        return all(path.stat().st_mtime < manifest.stat().st_mtime for path in sources)

    def check_ports(self) -> None:
        for name, port, what in (("PORT", self.port, "Countersign"), ("MLFLOW_PORT", self.mlflow_port, "MLflow")):
            if not is_port_free(port):
                raise CannotStart(
                    f"Port {port}, meant for {what}, is taken by another program. Nothing was started.\n"
                    f"Choose another one: make demo {name}={_free_port(port)}"
                )

    def prepare(self) -> None:
        """Makes the folder, readable by this person alone."""
        for folder in (self.folder, self.logs, self.folder / "mlflow" / "artifacts"):
            folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)

    def secret_key(self) -> str:
        return self._made_once("secret-key", lambda: secrets.token_urlsafe(50)).read_text()

    def checkpoint_key(self) -> Path:
        """File with the Ed25519 key that signs checkpoints of the ledger: any 32 bytes are one."""
        return self._made_once("checkpoint-key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    def gate_key(self) -> Path:
        """File with the Ed25519 key that signs for the gate in MLflow; the worker has it, and MLflow the public one."""
        return self._made_once("gate-key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    def gate_token(self) -> str:
        """What MLflow shows when it asks which places are enforced, or tells of a refusal."""
        return self._made_once("gate-token", lambda: secrets.token_urlsafe(32)).read_text()

    @property
    def gate_state(self) -> Path:
        """File in which MLflow keeps the last policy that it has read."""
        return self.folder / "mlflow" / "gate.json"

    def _made_once(self, name: str, make: Callable[[], str]) -> Path:
        path = self.folder / name
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(make())
        return path

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return inherited | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "packages" / "mlflow_gate")]),
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "COUNTERSIGN_STATE_DIR": str(self.folder),
            "COUNTERSIGN_SECRET_KEY": self.secret_key(),
            "COUNTERSIGN_GATE_TOKEN": self.gate_token(),
            "COUNTERSIGN_SITE_URL": self.url,
            "COUNTERSIGN_MFA_REQUIRED_FOR": "none",  # its people are to be tried by a password that it prints
            "COUNTERSIGN_PULL_SECONDS": "2",
            "COUNTERSIGN_SWEEP_SECONDS": "60",
            "CELERY_BROKER_URL": f"redis+socket://{self.redis_socket}" if self.redis else "filesystem://",
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            # The job runner is seven more processes and half a minute, and the registry does not use it.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        }

    # --- What runs, in the order in which it is started

    def mlflow_server(self) -> Process:
        folder = self.folder / "mlflow"
        options = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.mlflow_port), "--workers", "1"]
        database = f"sqlite:///{folder / 'mlflow.sqlite3'}"
        options += ["--backend-store-uri", database, "--registry-store-uri", f"countersign:{database}"]
        options += ["--artifacts-destination", f"countersign:{(folder / 'artifacts').as_uri()}"]
        process = self._python(
            "MLflow",
            options,
            is_ready=lambda: answers(f"{self.mlflow_url}/health"),
            folder=folder,
        )
        process.environment = {**process.environment, **self.gate()}
        return process

    def gate(self) -> dict[str, str]:
        """Environment of the gate in MLflow."""
        public_key = grants.public_key_of(grants.private_key(self.gate_key().read_text()))
        return {"COUNTERSIGN_GATE_KEYS": public_key, "COUNTERSIGN_GATE_STATE": str(self.gate_state)}

    def redis_server(self, program: str) -> Process:
        path = self.redis_socket
        command = [program, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        log = self.logs / "redis.log"
        return Process("Redis", command, self.environment(), output=log, is_ready=lambda: redis_answers(path))

    def web(self) -> Process:
        options = ["--config", "python:registry_ui.gunicorn", "--bind", f"127.0.0.1:{self.port}", "--workers", "2"]
        return self._python(
            "Web", ["-m", "gunicorn", *options, "registry_ui.wsgi"], is_ready=lambda: answers(f"{self.url}/healthz")
        )

    def worker(self) -> Process:
        # Without a Redis there is one worker only: the folder that stands in for it knows no second one.
        options = ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
        return self.signing(self._python("Worker", ["-m", "celery", "-A", "registry_ui.celery", "worker", *options]))

    def beat(self) -> Process:
        options = ["--schedule", str(self.folder / "beat"), "--pidfile", "", "--loglevel", "INFO"]
        return self._python("Beat", ["-m", "celery", "-A", "registry_ui.celery", "beat", *options])

    def manage(self, name: str, *arguments: str, is_shown: bool = False) -> Process:
        process = self._python(name, [str(ROOT / "manage.py"), *arguments])
        process.is_shown = is_shown
        # Nobody reads along in what runs by itself: what it approves is delivered at once.
        process.environment = {**process.environment, "COUNTERSIGN_UNDO_SECONDS": "0"}
        return process

    def signing(self, process: Process) -> Process:
        """With the keys of the gate and of the ledger's checkpoints, which the others do not get."""
        keys = {
            "COUNTERSIGN_GATE_KEY_FILE": str(self.gate_key()),
            "COUNTERSIGN_CHECKPOINT_KEY_FILE": str(self.checkpoint_key()),
        }
        process.environment = {**process.environment, **keys}
        return process

    def _python(
        self, name: str, arguments: list[str], *, is_ready: Callable[[], bool] = lambda: True, folder: Path = ROOT
    ) -> Process:
        log = self.logs / f"{name.lower().replace(' ', '-')}.log"
        command = [sys.executable, *arguments]
        return Process(name, command, self.environment(), output=log, is_ready=is_ready, folder=folder)


def answers(url: str, *, timeout: float = 2) -> bool:
    """Whether the address answers 200; a proxy of the shell is not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def redis_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(1)
        try:
            link.connect(str(path))
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _port(name: str, default: int) -> int:
    raw = os.environ.get(name) or str(default)
    if not raw.isascii() or not raw.isdigit() or not 1 <= int(raw) <= 65535:
        raise CannotStart(f"{name}={raw} is not a port. Choose a number from 1024 to 65535.")
    return int(raw)


def _free_port(near: int) -> int:
    return next((port for port in range(near + 1, min(near + 200, 65536)) if is_port_free(port)), near)
