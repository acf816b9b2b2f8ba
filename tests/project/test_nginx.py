"""deploy/nginx/mlflow.conf before a real MLflow: refused are whole paths, in each spelling, for all but the worker."""

import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow_gate import attacks
from mlflow_gate.attacks import OPEN

from registry_ui.demo.installation import ROOT
from tests.support.backstage import Backstage
from tests.support.mlflow_server import MlflowServer, free_port
from tools.services import find

NGINX = find("nginx") or "nginx is missing: python tools/services.py installs it."

pytestmark = [pytest.mark.server, pytest.mark.nodb]

STAGE = '{"name": "churn", "version": "1", "stage": "Production", "archive_existing_versions": true}'
ALIAS = '{"name": "churn", "alias": "challenger", "version": "1"}'


class Proxy:
    def __init__(self, folder: Path, upstream: int) -> None:
        self.folder, self.people, self.worker = folder, free_port(), free_port()
        text = (ROOT / "deploy" / "nginx" / "mlflow.conf").read_text()
        for there, here in {
            "mlflow.internal:5000": f"127.0.0.1:{upstream}",
            "listen 8080;": f"listen 127.0.0.1:{self.people};",
            "listen 8443 ssl;": f"listen 127.0.0.1:{self.worker} ssl;",
            "/etc/nginx/mlflow/": f"{folder}/",
        }.items():
            assert there in text
            text = text.replace(there, here)
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
            f"http {{ access_log off; {temporary}\n{text}\n}}"
        )
        certificate(folder, "server", "worker-ca", "worker", "stranger")

    def ask(self, method: str, path: str, body: str) -> tuple[int, str]:
        """As it stands: a client library would make the path plain first."""
        connection = HTTPConnection("127.0.0.1", self.people, timeout=60)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def ask_as(self, who: str, path: str, body: str) -> int:
        context = ssl.create_default_context(cafile=self.folder / "server.pem")
        context.check_hostname = False
        if who:
            context.load_cert_chain(self.folder / f"{who}.pem", self.folder / f"{who}.key")
        connection = HTTPSConnection("127.0.0.1", self.worker, timeout=60, context=context)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status


@contextmanager
def started(proxy: Proxy) -> Iterator[Proxy]:
    folder = proxy.folder
    process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")])
    try:
        for _ in range(200):
            with suppress(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{proxy.people}/health", timeout=5)
                break
            time.sleep(0.05)
        yield proxy
    finally:
        process.terminate()
        process.wait(timeout=10)


def certificate(folder: Path, *names: str) -> None:
    """Signed by itself, but the worker's by its authority."""
    for name in names:
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        made += ["-days", "2", "-subj", f"/CN={name}"]
        made += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"]
        if name == "worker":
            made += ["-CA", f"{folder}/worker-ca.pem", "-CAkey", f"{folder}/worker-ca.key"]
        subprocess.run(made, check=True, capture_output=True)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, MlflowServer]]:
    folder = tmp_path_factory.mktemp("nginx")
    with MlflowServer(folder / "mlflow") as mlflow:
        Backstage(mlflow.url).create_version("churn")
        with started(Proxy(folder, mlflow.port)) as made:
            yield made, mlflow


def stage(mlflow: MlflowServer) -> str:
    answer: dict[str, Any] = requests.get(
        f"{mlflow.url}/api/2.0/mlflow/model-versions/get", params={"name": "churn", "version": "1"}, timeout=60
    ).json()
    return str(answer["model_version"]["current_stage"])


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/model-versions/transition-stage",
        "/ajax-api/2.0/mlflow/model-versions/transition-stage",
        "//api/2.0/mlflow/model-versions/transition-stage",
        "/api/2.0/mlflow//model-versions/transition-stage",
        "/api/2.0/mlflow/%6dodel-versions/transition-stage",
        "/api/2.0/mlflow/x/../model-versions/transition-stage",
        "/api/2.0/mlflow/model-versions/transition-stage?x=y",
        "/%61pi/2.0/mlflow/model-versions%2Ftransition-stage",
    ],
)
def test_a_stage_is_refused_in_each_spelling(proxy: tuple[Proxy, MlflowServer], path: str) -> None:
    status, said = proxy[0].ask("POST", path, STAGE)
    assert status == 403
    assert '"error_code": "PERMISSION_DENIED"' in said
    assert stage(proxy[1]) == "None"


def test_whole_paths_are_refused_and_the_rest_goes_on(proxy: tuple[Proxy, MlflowServer]) -> None:
    front, api = proxy[0], "/api/2.0/mlflow/"
    assert front.ask("POST", f"{api}registered-models/alias", ALIAS)[0] == 403, "@challenger, too: nginx cannot tell"
    assert front.ask("DELETE", f"{api}registered-models/alias", ALIAS)[0] == 403
    assert front.ask("POST", f"{api}registered-models/rename", '{"name": "churn", "new_name": "x"}')[0] == 403
    assert front.ask("DELETE", f"{api}model-versions/delete", '{"name": "churn", "version": "1"}')[0] == 403
    assert front.ask("GET", f"{api}registered-models/alias?name=churn&alias=challenger", "")[0] != 403
    source = '{"name": "churn", "source": "s3://nothing/here"}'
    assert front.ask("POST", f"{api}model-versions/create", source)[0] == 200
    assert front.ask("POST", f"{api}runs/create", '{"experiment_id": "0", "start_time": 1}')[0] == 200


def test_of_the_known_attacks_those_are_open_that_the_page_says(tmp_path: Path) -> None:
    model = "countersign-doctor-nginx"
    with MlflowServer(tmp_path / "mlflow") as mlflow, started(Proxy(tmp_path, mlflow.port)) as front:
        at_mlflow, at_nginx = attacks.Mlflow(mlflow.url), attacks.Mlflow(f"http://127.0.0.1:{front.people}")
        assert {at_mlflow.attempt(each).status for each in attacks.preparation(model)} == {200}
        is_open = {each.what for each in attacks.attacks(model) if attacks.judge(each, at_nginx.attempt(each)) == OPEN}
    assert is_open
    assert {what for what in is_open if not re.search(r"\b(tag|note|text|prompt)\b", what)} == set()


def test_the_worker_passes_by_its_certificate(proxy: tuple[Proxy, MlflowServer]) -> None:
    front, mlflow = proxy
    path = "/api/2.0/mlflow/model-versions/transition-stage"
    assert front.ask_as("", path, STAGE) == 400, "nginx says so of a missing certificate"
    assert front.ask_as("stranger", path, STAGE) == 400
    assert stage(mlflow) == "None"
    assert front.ask_as("worker", path, STAGE) == 200
    assert stage(mlflow) == "Production"
