"""Everything that docker-compose.yml starts runs here, without containers: each command as the user and the role in the
database that the file names, with its own secrets and no other; then a promotion, a rollback and a change behind its
back."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from registry_ui.demo.installation import ROOT
from registry_ui.demo.processes import Process, Supervisor
from tests.support.backstage import Backstage
from tests.support.composed import Host
from tests.support.factories import PASSWORD
from tests.support.postgres import postgres

pytestmark = [pytest.mark.server, pytest.mark.nodb]

T = TypeVar("T")
MODEL = "churn_predictor"
PEOPLE = """
import json, django
django.setup()
from tests.support.factories import make_person, make_token
roles = {"Rita": "requester", "Remy": "reviewer", "Rosa": "reviewer", "Otto": "responder"}
print(json.dumps({name: make_token(make_person(f"{name} Berg", role)) for name, role in roles.items()}))
"""


def wait_for(what: str, look: Callable[[], T], *, seconds: float = 60) -> T:
    """Looks until it is true; what was seen last is told when it never is."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not come: {found!r}"
        time.sleep(0.3)
    return found


@dataclass
class Installation:
    host: Host
    running: dict[str, Process]
    tokens: dict[str, str]
    engineer: Backstage
    """MLflow's administrator."""

    def api(self, who: str, method: str, path: str, **body: str) -> Any:
        answer = requests.request(
            method,
            f"{self.host.url}/api/v1{path}",
            json=body or None,
            headers={"Authorization": f"Bearer {self.tokens[who]}"},
            timeout=60,
        )
        assert answer.ok, answer.text
        return answer.json()

    def ask(self, version: int) -> int:
        """Asks for it, as soon as the worker has read it from MLflow; the number of the request."""
        words = {"model": MODEL, "version": str(version), "target": "Production", "justification": "Better by far."}

        def asked() -> Any:
            answer = requests.post(
                f"{self.host.url}/api/v1/requests",
                json=words,
                headers={"Authorization": f"Bearer {self.tokens['Rita']}"},
                timeout=60,
            )
            assert answer.ok or answer.json()["code"] in ("unknown_version", "not_possible"), answer.text
            return answer.json().get("id")

        return int(wait_for(f"version {version} in the mirror", asked))

    def reaches(self, number: int, status: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def reached() -> bool:
            found.update(self.api("Rita", "GET", f"/requests/{number}"))
            return bool(found["status"] == status)

        wait_for(f"{status} for request {number}, which was {found.get('status_reason')}", reached)
        return found

    def promote(self, version: int) -> None:
        number = self.ask(version)
        fingerprint = self.reaches(number, "pending")["fingerprint"]
        for who in ("Remy", "Rosa"):
            words = {"verdict": "approve", "fingerprint": fingerprint, "comment": "Better on every segment."}
            self.api(who, "POST", f"/requests/{number}/reviews", **words)
        self.reaches(number, "applied")

    def stages(self) -> dict[str, str]:
        found = self.engineer.call("GET", "model-versions/search", filter=f"name='{MODEL}'")["model_versions"]
        return {each["version"]: each["current_stage"] for each in found}

    def holder(self) -> Any:
        return self.api("Rita", "GET", f"/models/{MODEL}/targets/Production/holder")


class Person:
    """Signed in on the pages."""

    def __init__(self, name: str, url: str) -> None:
        self.session, self.url = requests.Session(), url
        self.send("/accounts/login/", login=f"{name.lower()}@example.com", password=PASSWORD)

    def send(self, path: str, **fields: str) -> requests.Response:
        """Opens the page and sends its form."""
        page = self.session.get(f"{self.url}{path}", timeout=60)
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        answer = self.session.post(f"{self.url}{path}", data=hidden | fields, headers={"Origin": self.url}, timeout=60)
        assert answer.ok, answer.text[:2000]
        return answer


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="countersign-compose-"))
    folder.chmod(0o755)  # the users of the containers go through it
    try:
        with postgres("countersign") as address, Supervisor(folder / "run") as supervisor:
            host = Host(folder, address)
            insist_on_passwords(address)
            running = host.start_all(supervisor)
            made = host.run("web", "python", "-c", PEOPLE, DJANGO_SETTINGS_MODULE="registry_ui.settings")
            assert made.returncode == 0, made.stderr
            admin = f"http://admin:{host.secret('mlflow_admin_password')}@127.0.0.1:{host.ports['mlflow']}"
            yield Installation(host, running, json.loads(made.stdout), Backstage(admin))
            for process in running.values():  # all at once; nothing of them is kept
                if process.pid:
                    os.killpg(process.pid, signal.SIGKILL)
    finally:
        shutil.rmtree(folder)


def insist_on_passwords(address: str) -> None:
    """As the PostgreSQL image does for everybody who comes by the network; only the superuser comes without here."""
    rules = "local all all trust\nhost all countersign 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    said = subprocess.run(
        ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", "SHOW hba_file", f"{address}/countersign"],
        capture_output=True,
        text=True,
        check=True,
    )
    Path(said.stdout.strip()).write_text(rules)
    subprocess.run(
        ["psql", "--quiet", "--command", "SELECT pg_reload_conf()", f"{address}/countersign"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def test_a_promotion_a_rollback_and_a_change_behind_its_back(installation: Installation) -> None:
    engineer, host = installation.engineer, installation.host
    for number in (1, 2):
        run_id = engineer.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
        assert engineer.create_version(MODEL, run_id=run_id) == number

    # MLflow itself refuses what nobody has approved, to its administrator as well.
    move = {"name": MODEL, "version": "1", "archive_existing_versions": True}
    refused = rf"it needs 2 approvals from any reviewer. Ask for it: {re.escape(host.url)}/p/{MODEL}/1"
    wait_for("the policy in MLflow", lambda: "policy 0 " not in engineer.ask_the_gate())
    with pytest.raises(AssertionError, match=refused):
        engineer.call("POST", "model-versions/transition-stage", **move, stage="Production")

    installation.promote(1)
    assert installation.stages() == {"1": "Production", "2": "None"}
    installation.promote(2)
    assert installation.stages() == {"1": "Archived", "2": "Production"}

    otto = Person("Otto", host.url)
    page = otto.session.get(f"{host.url}/models/{MODEL}/", timeout=60).text
    link = re.findall(rf'href="(/models/{MODEL}/roll-back/\d+/)"', page)[0]
    otto.send(link, to="1", reason="Version 2 scores every customer as lost since nine o'clock.")
    wait_for("the rollback", lambda: installation.stages() == {"1": "Production", "2": "Archived"})

    # Staging is not enforced: MLflow lets it pass, and the watch sees it.
    engineer.call("POST", "model-versions/transition-stage", **move | {"version": "2"}, stage="Staging")
    incidents = wait_for("the incident", lambda: installation.api("Rita", "GET", "/incidents")["items"])
    assert [(each["what"], each["target"], each["after"]) for each in incidents] == [("moved", "Staging", ["2"])]


def test_everything_is_healthy_and_web_has_its_files(installation: Installation) -> None:
    host = installation.host
    assert [problem for name in [*installation.running, "postgres"] if (problem := host.problem(name))] == []
    assert {name: process.failures for name, process in installation.running.items() if process.failures} == {}
    wait_for("readiness", lambda: requests.get(f"{host.url}/readyz?strict=1", timeout=20).status_code == 200)
    page = requests.get(f"{host.url}/accounts/login/", timeout=20)
    sheet = re.findall(r'href="(/static/[^"]+\.css)"', page.text)[0]
    assert requests.get(f"{host.url}{sheet}", timeout=20).status_code == 200


def test_the_commands_of_the_installation_work(installation: Installation) -> None:
    """Those of docs/operations.md, in its order, each in the service that it names."""
    page = (ROOT / "docs" / "operations.md").read_text()
    install = page.partition("\n### Install\n")[2].partition("\n### ")[0]
    commands = re.findall(r"docker compose (?:exec|run --rm) ([\w-]+) (python manage\.py .+)", install)
    assert [words.split()[2] for _, words in commands] == ["create_admin", "check_mlflow", "mlflow_roles"]
    # The last one ran already, as the command of its service.
    assert commands[2][1].split()[:3] == installation.host.services[commands[2][0]]["command"][:3]
    for (service, words), more in zip(commands[:2], (["--password-stdin"], []), strict=True):
        done = installation.host.run(service, *shlex.split(words), *more, text=f"{PASSWORD}\n")
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


def test_mlflow_answers_to_its_names_and_to_who_has_a_password(installation: Installation) -> None:
    address, opened = installation.host.mlflow_url, installation.engineer.url
    listing = "/api/2.0/mlflow/registered-models/search"
    assert {
        path: requests.get(f"{address}{path}", timeout=20).status_code for path in (listing, "/version", "/health")
    } == {
        listing: 401,
        "/version": 401,
        "/health": 200,
    }
    for name, status in (("mlflow:5000", 200), ("elsewhere.example.com", 403)):
        assert requests.get(f"{opened}{listing}", headers={"Host": name}, timeout=20).status_code == status, name
    changes = f"{opened}/api/2.0/mlflow/registered-models/create"
    for origin, status in ((address, 200), ("https://elsewhere.example.com", 403)):
        sent = requests.post(changes, json={"name": f"by {status}"}, headers={"Origin": origin}, timeout=20)
        assert sent.status_code == status, sent.text


def test_the_broker_wants_its_password(installation: Installation) -> None:
    said = installation.host.run("valkey", "sh", "-c", "valkey-cli ping")
    assert "NOAUTH" in said.stdout + said.stderr


def test_what_runs_has_room_in_its_memory(installation: Installation) -> None:
    limits = {name: in_bytes(installation.host.services[name]["mem_limit"]) for name in installation.running}
    used = {name: installation.host.memory(process) for name, process in installation.running.items()}
    assert min(used.values()) > 2**20
    assert {name: each for name, each in used.items() if each > 0.75 * limits[name]} == {}


def in_bytes(words: str) -> int:
    return int(words[:-1]) * {"m": 2**20, "g": 2**30}[words[-1]]
