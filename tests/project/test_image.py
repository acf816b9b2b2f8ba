"""The images, built from the Dockerfiles and started as their own users on a read-only root: what is in them, and that
web, worker, beat and MLflow work. Built without a container engine (tools/image.py), for root alone."""

import hashlib
import json
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from packaging.markers import Marker, default_environment
from packaging.utils import canonicalize_name

from registry_ui.demo.installation import ROOT
from registry_ui.demo.processes import Process, Supervisor
from tests.support.gate import KEY
from tests.support.gated import environment as gate_environment
from tests.support.mlflow_server import free_port
from tests.support.postgres import postgres
from tools import image
from tools.image import Image

pytestmark = [pytest.mark.image, pytest.mark.nodb]

GREEN = image.FOLDER / "green"
MADE_OF = (
    "Dockerfile",
    ".dockerignore",
    "deploy/docker/mlflow/*",
    "requirements-runtime.txt",
    "packages/mlflow_gate/**/*.py",
    "registry_ui/*.py",
    "tools/image.py",
    "tools/install.py",
    "tools/uv.txt",
    "tests/project/test_image.py",
)
MEGABYTES = {"countersign": 450, "countersign-mlflow": 920}
LOCKS = {
    "countersign": ("requirements-runtime.txt", set()),
    "countersign-mlflow": ("deploy/docker/mlflow/requirements.txt", {"countersign-mlflow-gate"}),
}
OPEN_TO_ALL = {"tmp", "var/tmp", "run/lock"}
"""Debian's, with the sticky bit; read-only like all the rest where the root is."""
CERTIFICATES = re.compile(r"(etc/ssl/certs|usr/share/ca-certificates|site-packages/(certifi|botocore|grpc|google))/")
"""Of authorities that everybody trusts."""

both = pytest.mark.parametrize("name", sorted(image.DOCKERFILES))


def fingerprint() -> str:
    found = hashlib.sha256()
    for path in sorted({path for pattern in MADE_OF for path in ROOT.glob(pattern)}):
        found.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


@pytest.fixture(scope="module")
def images(request: pytest.FixtureRequest) -> Iterator[dict[str, Image]]:
    """Under CI always; elsewhere where they can be built, and when something changed since they were last green."""
    if not os.environ.get("CI"):
        if problem := image.missing():
            pytest.skip(problem)
        if GREEN.exists() and GREEN.read_text() == fingerprint():
            pytest.skip("Nothing that the images are made of changed since they were last green.")
    of_what = fingerprint()
    try:
        yield image.build()
        if not request.session.testsfailed and not request.config.option.keyword:
            GREEN.write_text(of_what)
    finally:
        image.release()


@both
def test_nothing_in_it_becomes_another_user_and_its_own_writes_to_nothing(images: dict[str, Image], name: str) -> None:
    root, user = images[name].root, int(images[name].user.partition(":")[0])
    assert user > 10_000
    assert images[name].user == f"{user}:{user}"
    strange = []
    for path in [root, *root.rglob("*")]:
        about, place = path.lstat(), str(path.relative_to(root))
        if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
            continue  # links, and Debian's devices, over which a container lays its own
        becomes = stat.S_ISREG(about.st_mode) and about.st_mode & (stat.S_ISUID | stat.S_ISGID)
        writable = about.st_mode & stat.S_IWOTH and place not in OPEN_TO_ALL
        own = user in (about.st_uid, about.st_gid) and place != f"var/lib/{name.removeprefix('countersign-')}"
        secret = path.suffix in (".pem", ".key", ".p12") and not CERTIFICATES.search(place)
        if becomes or writable or own or secret or path.name.startswith(".env"):
            strange.append(place)
    assert strange == []


def test_it_has_no_demo_no_tests_and_no_tools_to_build_with(images: dict[str, Image]) -> None:
    root = images["countersign"].root
    assert {path.name for path in (root / "app").iterdir() if path.name != "__pycache__"} == {
        *("manage.py", "accounts", "mirror", "components", "approvals", "api", "registry_ui", "templates"),
        *("mlflow_gate", "static"),
    }
    assert not (root / "app/registry_ui/demo").exists()
    assert not (root / "app/registry_ui/management/commands/demo.py").exists()
    assert images["countersign"].run("python", "--version").returncode == 0
    for words in (["python", "-m", "pip"], ["cc"], ["git"], ["curl"]):
        assert images["countersign"].run(*words, "--version").returncode != 0, words
    assert [place for place in ("run/secrets/pip", "run/secrets/ca", "root/.cache") if (root / place).exists()] == []


@both
def test_its_packages_are_those_of_the_lock(images: dict[str, Image], name: str) -> None:
    code = (
        "import importlib.metadata, json, platform\n"
        "found = {each.name: each.version for each in importlib.metadata.distributions()}\n"
        "print(json.dumps([platform.python_version(), found]))"
    )
    done = images[name].run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    python, found = json.loads(done.stdout)
    assert python.startswith("3.13.")
    lock, own = LOCKS[name]
    here = {**default_environment(), "python_version": "3.13", "python_full_version": python}
    locked = re.findall(r"^([\w.-]+)==(\S+)(?: ; (.+?))? \\$", (ROOT / lock).read_text(), re.MULTILINE)
    wanted = {one: version for one, version, marker in locked if not marker or Marker(marker).evaluate(here)}
    assert {canonicalize_name(one): version for one, version in found.items() if one not in own} == wanted
    assert own <= set(found)


@both
def test_it_is_no_larger_than_it_may_be(images: dict[str, Image], name: str) -> None:
    size = sum(path.lstat().st_size for path in images[name].root.rglob("*") if not path.is_dir()) / 1_000_000
    print(f"{name}: {size:.0f} MB")
    assert size <= MEGABYTES[name]


# --- Started


class Running:
    """PostgreSQL and Redis of this machine; MLflow, web, worker and beat of the images."""

    def __init__(self, images: dict[str, Image], folder: Path, address: str, supervisor: Supervisor) -> None:
        self.images, self.folder, self.address, self.supervisor = images, folder, address, supervisor
        self.web, self.mlflow, self.redis = (free_port() for _ in range(3))
        self.volume = folder / "volume"
        self.volume.mkdir()
        gate = gate_environment(self.volume / "gate", self.store)
        self.gate = {key: value.replace(str(self.volume), "/var/lib/mlflow") for key, value in gate.items()}
        (self.volume / "auth.ini").write_text(
            f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {self.store}\n"
            "admin_username = admin\nadmin_password = a-password-for-tests\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        for path in [self.volume, *self.volume.rglob("*")]:
            os.chown(path, 10_002, 10_002)

    @property
    def store(self) -> str:
        return self.address.replace("postgresql:", "postgresql+psycopg2:") + "/mlflow"

    @property
    def environment(self) -> dict[str, str]:
        """Of Countersign's processes."""
        key = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {
            "COUNTERSIGN_SECRET_KEY": "k" * 50,
            "COUNTERSIGN_SITE_URL": f"http://127.0.0.1:{self.web}",
            "COUNTERSIGN_PULL_SECONDS": "1",
            "COUNTERSIGN_GATE_KEY": key,
            "DATABASE_URL": f"{self.address}/countersign",
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{self.redis}/0",
            "EMAIL_URL": "consolemail://",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.mlflow}",
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": "a-password-for-tests",
            "DJANGO_SETTINGS_MODULE": "registry_ui.settings",
            "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{self.web}",
        }

    def start(self, name: str, *command: str) -> Process:
        """A process of Countersign's image; the image's own command when none is given."""
        made = self.images["countersign"]
        return self._start(name, made, command or tuple(made.command), self.environment, {})

    def start_mlflow(self) -> Process:
        made = self.images["countersign-mlflow"]
        own = {"MLFLOW_AUTH_CONFIG_PATH": "/var/lib/mlflow/auth.ini", "MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32}
        own |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        words = [
            "mlflow",
            "server",
            "--host=127.0.0.1",
            f"--port={self.mlflow}",
            "--workers=1",
            "--app-name=basic-auth",
        ]
        words += [f"--backend-store-uri={self.store}", f"--registry-store-uri=countersign:{self.store}"]
        words += ["--artifacts-destination=countersign:/var/lib/mlflow/files"]
        gate = {name: value for name, value in self.gate.items() if name != "PYTHONPATH"}
        return self._start("mlflow", made, tuple(words), gate | own, {self.volume: "/var/lib/mlflow"})

    def _start(
        self, name: str, made: Image, command: tuple[str, ...], environment: dict[str, str], volumes: dict[Path, str]
    ) -> Process:
        words = made.words(command, volumes=volumes)
        environment = {**made.environment, **environment}
        log, sign = self.folder / f"{name}.log", signal.SIGKILL  # nothing of it is kept
        process = Process(name, words, environment, log, stop_signal=sign)
        self.supervisor.start(process)
        return process

    def command(self, *command: str, text: str = "") -> str:
        """What a command in Countersign's image prints. Raises AssertionError when it fails."""
        done = self.images["countersign"].run(*command, environment=self.environment, text=text)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, path: str) -> requests.Response | None:
        try:
            return requests.get(f"http://127.0.0.1:{self.web}{path}", timeout=20)
        except requests.ConnectionError:
            return None

    def wait(self, what: str, look: Callable[[], object], *, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not look():
            logs = "\n".join(path.read_text()[-1500:] for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, f"{what}: never.\n{logs}"
            time.sleep(0.3)


@pytest.fixture(scope="module")
def running(images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("running")
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)  # MLflow's user comes through here to its volume
    with postgres("countersign", "mlflow") as address, Supervisor(folder / "run") as supervisor:
        found = Running(images, folder, address, supervisor)
        redis = [str(shutil.which("redis-server")), "--port", str(found.redis), "--bind", "127.0.0.1", "--save", ""]
        supervisor.start(Process("redis", redis, dict(os.environ), folder / "redis.log", folder=folder))
        found.start_mlflow()
        found.command("python", "manage.py", "migrate", "--no-input")
        yield found


PROMOTE = """
import django, json
django.setup()
from mirror.connect import connect
from mirror.port import Grounds

registry = connect()
registry.create_model("churn")
for number, holders in ((1, []), (2, [1])):
    assert registry.create_version("churn") == number
    grounds = Grounds(request=number, holders={"Production": holders})
    registry.set_stage("churn", number, "Production", archive_existing=True, grounds=grounds)
registry.set_alias("churn", "champion", 2, grounds=Grounds(request=2, holders={"@champion": []}))
registry.delete_alias("churn", "champion", grounds=Grounds(request=2, holders={"@champion": [2]}))
print(json.dumps([registry.version("churn", number).stage for number in (1, 2)]))
"""


def test_mlflow_archives_the_holder_for_the_worker_and_for_nobody_else(running: Running) -> None:
    """As uid 10002 on PostgreSQL, where psycopg 3 fails each second promotion; with sign-in and the gate."""
    url = f"http://127.0.0.1:{running.mlflow}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/health", timeout=5).ok
        except requests.ConnectionError:
            return False

    running.wait("MLflow's health", answers)
    assert json.loads(running.command("python", "-", text=PROMOTE).splitlines()[-1]) == ["Archived", "Production"]
    move = {"name": "churn", "version": "1", "stage": "Production", "archive_existing_versions": True}
    where = f"{url}/api/2.0/mlflow/model-versions/transition-stage"
    assert requests.post(where, json=move, timeout=20).status_code == 401
    refused = requests.post(where, json=move, timeout=20, auth=("admin", "a-password-for-tests"))
    assert (refused.status_code, "two approvals" in refused.text) == (403, True)


def test_web_worker_and_beat_run_on_a_read_only_root(running: Running) -> None:
    running.start("web")
    running.start("worker", "celery", "-A", "registry_ui.celery", "worker", "--hostname", "worker@%h")
    running.start("beat", "celery", "-A", "registry_ui.celery", "beat", "--schedule", "/tmp/b", "--pidfile", "")  # noqa: S108
    running.wait("/healthz", lambda: (answer := running.get("/healthz")) is not None and answer.status_code == 200)
    for path in ("/readyz", "/accounts/login/"):
        answer = running.get(path)
        assert answer is not None
        assert answer.status_code == 200, answer.text
    sheet = re.findall(r'href="(/static/[^"]+\.css)"', answer.text)[0]
    found = running.get(sheet)
    assert found is not None
    assert found.status_code == 200

    # Beat told the worker, which read MLflow and wrote it down.
    with psycopg.connect(f"{running.address}/countersign", autocommit=True) as database:
        count = "SELECT count(*) FROM mirror_modelversion"
        running.wait("versions in the mirror", lambda: (row := database.execute(count).fetchone()) and row[0] == 2)

    logs = "\n".join((running.folder / f"{name}.log").read_text() for name in ("web", "worker", "beat", "mlflow"))
    assert "read-only" not in logs.lower()
    refused = running.images["countersign"].run("touch", "/app/x")
    assert refused.returncode != 0
    assert "Read-only file system" in refused.stderr
    for line in ("NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Uid:\t10001\t10001"):
        assert line in running.command("cat", "/proc/self/status")
