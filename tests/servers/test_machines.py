"""Countersign on two machines, as an operator would run it: on each a web process, a worker and a beat (one too many),
with nothing in common but PostgreSQL, Redis, MLflow with its gate, and a mail server."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import requests
from aiosmtpd.controller import Controller

from registry_ui.demo.installation import ROOT, answers
from registry_ui.demo.processes import Process, Supervisor
from tests.e2e.probes import PASSWORD
from tests.faults.account import Subject
from tests.support import machines
from tests.support.backstage import Backstage
from tests.support.machines import MAIL, MLFLOW, POSTGRES, REDIS, Machine, Network
from tests.support.mlflow_server import free_port
from tests.support.postgres import postgres
from tests.support.probing import Probes
from tests.support.stack import LOOK_SECONDS, Stack
from tests.support.warm import WarmSupervisor

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.nodb,
    pytest.mark.skipif(not machines.can_be_made(), reason="Network namespaces cannot be made here."),
]

SITE = "http://countersign.test"
GIVEN_UP = 15
"""Seconds after which a database that is out of reach is given up."""


class Mailbox:
    def __init__(self) -> None:
        self.ids: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd calls it
        self.ids.append(message_from_bytes(envelope.content, policy=policy.default)["Message-ID"].strip())
        return "250 OK"


class Site(Stack):
    """Two machines, `first` and `second`; of a Stack it has what tests ask of an installation."""

    probes = "tests.faults.account"

    def __init__(self, supervisor: Supervisor, folder: Path, network: Network, database: str) -> None:
        self.supervisor, self.network, self.mailbox = supervisor, network, Mailbox()
        mlflow_port, mail_port = free_port(), free_port()
        self.mail = Controller(self.mailbox, hostname=network.address(MAIL), port=mail_port)
        self.mlflow_url = f"http://{network.address(MLFLOW)}:{mlflow_port}"
        given = {
            "CELERY_BROKER_URL": f"redis://{network.address(REDIS)}:6379/0",
            "COUNTERSIGN_SITE_URL": SITE,
            "COUNTERSIGN_EXTRA_HOSTS": ",".join(network.address(number) for number in (11, 12)),
            "EMAIL_URL": f"smtp://{network.address(MAIL)}:{mail_port}",
            "COUNTERSIGN_SWEEP_SECONDS": "10",
            "COUNTERSIGN_CHECKPOINT_SECONDS": "10",
        }
        self.machines = [
            Machine(
                folder / f"machine-{number}",
                free_port(),
                mlflow_port,
                database,
                self.mlflow_url,
                network=network,
                look_seconds=LOOK_SECONDS,
                number=number,
                namespace=network.add(number),
                given=given,
            )
            for number in (11, 12)
        ]
        self.first, self.second = self.machines
        for each in self.machines:
            each.prepare()
        for make in (self.first.secret_key, self.first.checkpoint_key, self.first.gate_key, self.first.gate_token):
            make()
        self.second.take_keys_from(self.first)
        self.place, self.url = self.first, self.first.url
        self.engineer, self._probes = Backstage(self.mlflow_url), Probes(self.probes, ROOT)
        self.redis = machines.redis_server(network, folder)
        self.mlflow = self.first.mlflow_server()
        self.mlflow.command = [word.replace("127.0.0.1", network.address(MLFLOW)) for word in self.mlflow.command]
        self.mlflow.environment = {
            **self.mlflow.environment,
            "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
            "COUNTERSIGN_GATE_POLICY": f"{self.first.url}/gate/policy",
        }
        self.mlflow.is_ready = lambda: answers(f"{self.mlflow_url}/health")
        self.webs = [each.web() for each in self.machines]
        self.workers = [each.worker() for each in self.machines]
        self.beats = [each.beat() for each in self.machines]

    def start_all(self) -> None:
        self.mail.start()
        for process in (self.redis, self.mlflow):
            self.supervisor.start(process)
        self.probe("set_up")
        shutil.copytree(self.first.folder / "static", self.second.folder / "static", dirs_exist_ok=True)
        self.supervisor.wait_until_ready(self.mlflow)
        for process in (*self.webs, *self.workers, *self.beats):
            self.supervisor.start(process)
        for process in self.webs:
            self.supervisor.wait_until_ready(process)
        for each in self.machines:
            self.wait_for("the first mirror", lambda each=each: readyz(each)["checks"]["mirror"]["ok"], seconds=120)

    def close(self) -> None:
        super().close()
        self.mail.stop()

    def register(self, models: list[str]) -> list[tuple[str, int]]:
        made = [(model, self.make_version(model)) for model in models]
        self.wait_for("the mirror", lambda: self.probe("mirror_has", made), every=1, seconds=120)
        return made

    def settled(self, subjects: list[Subject]) -> None:
        self.wait_for("all deliveries", lambda: self.probe("is_settled", subjects), seconds=240, every=1)

    def in_order(self, subjects: list[Subject], incidents_before: int | None) -> None:
        """Nothing untrue, nothing twice, nothing left lying."""
        self.settled(subjects)
        wrong = self.probe("audit", self.mlflow_url, subjects, incidents_before)
        assert wrong == {"holder": [], "fact": [], "incident": [], "stuck": []}


class Person:
    """Who is signed in once, and asks whichever machine the balancer chose."""

    def __init__(self, name: str, machine: Machine) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Host"] = SITE.partition("//")[2]
        page = self.get(machine, "/accounts/login/")
        self.post(machine, "/accounts/login/", page, login=f"{name}@example.com", password=PASSWORD)

    def get(self, machine: Machine, path: str, **options: Any) -> requests.Response:
        return self.session.get(f"{machine.url}{path}", allow_redirects=False, timeout=60, **options)

    def post(self, machine: Machine, path: str, seen: requests.Response, **fields: str) -> requests.Response:
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', seen.text)[0]
        return self.session.post(
            f"{machine.url}{path}",
            data={**fields, "csrfmiddlewaretoken": token},
            headers={"Origin": SITE},
            allow_redirects=False,
            timeout=60,
        )

    def approve(self, request: int, *, reads_on: Machine, acts_on: Machine) -> requests.Response:
        page = self.get(reads_on, f"/requests/{request}/")
        assert page.status_code == 200, page.text[:500]
        fingerprint = re.findall(r'name="fingerprint" value="([^"]+)"', page.text)[0]
        fields = {"verdict": "approve", "comment": "Better on every segment.", "fingerprint": fingerprint}
        return self.post(acts_on, f"/requests/{request}/review/", page, **fields)


def readyz(machine: Machine) -> dict[str, Any]:
    return dict(requests.get(f"{machine.url}/readyz", timeout=40).json())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with Network() as network, postgres("countersign", also=network.address(POSTGRES)) as address:
        database = f"{address.replace('127.0.0.1', network.address(POSTGRES))}/countersign"
        with WarmSupervisor(folder / "run") as supervisor:
            made = Site(supervisor, folder, network, database)
            try:
                made.start_all()
                yield made
            finally:
                made.close()
                for process in supervisor.processes:  # all at once; nothing of them is kept
                    if process.pid:
                        os.killpg(process.pid, signal.SIGKILL)


def test_one_session_is_good_on_both_and_ends_on_both(site: Site) -> None:
    person = Person("remy", site.first)
    pages = [person.get(each, "/") for each in (*site.machines, *site.machines)]
    assert [page.status_code for page in pages] == [200] * 4
    sheets = {tuple(sorted(re.findall(r"/static/[^\"]+", page.text))) for page in pages}
    assert len(sheets) == 1, "a page of one machine asks the other one for its files"
    out = person.get(site.second, "/accounts/logout/")
    assert person.post(site.second, "/accounts/logout/", out).status_code == 302
    assert [person.get(each, "/").status_code for each in site.machines] == [302, 302]


def test_both_say_of_the_installation_that_it_is_well(site: Site) -> None:
    def well(machine: Machine) -> bool:
        found = readyz(machine)
        assert found["status"] == "ready", found
        return True

    for each in site.machines:
        site.wait_for("ready", lambda each=each: well(each), seconds=90)
    ada = Person("ada", site.first)
    site.wait_for(
        "both workers on the page",
        lambda: "On gate-11, gate-12 in the last 10 minutes" in ada.get(site.second, "/system/").text,
        seconds=150,
    )


def test_what_two_machines_and_two_beats_do_is_done_once_though_processes_are_killed(site: Site) -> None:
    first, second = site.machines
    remy, rosa = Person("remy", first), Person("rosa", second)
    incidents = site.probe("incidents")
    versions = site.register([f"twice_{number}" for number in range(6)])
    requests_ = site.probe("opened", versions)
    subjects = [(model, number, request) for (model, number), request in zip(versions, requests_, strict=True)]
    for turn, request in enumerate(requests_):
        here, there = (first, second) if turn % 2 else (second, first)
        assert remy.approve(request, reads_on=here, acts_on=there).status_code == 302
        assert rosa.approve(request, reads_on=there, acts_on=here).status_code == 302
        if turn == 2:  # three are queued or under way
            site.kill(site.workers[0])
            site.kill(site.webs[0])
            first, second = site.second, site.second
    for process in (site.workers[0], site.webs[0]):
        site.start(process)
    site.in_order(subjects, incidents)


def test_a_bypass_is_one_incident(site: Site) -> None:
    incidents = site.probe("incidents")
    [(model, number)] = site.register(["bypassed"])
    site.stage(model, number, "Production")
    site.wait_for("the incident", lambda: site.probe("incidents") > incidents)
    time.sleep(15)  # a sweep, and several looks of both
    assert site.probe("incidents") == incidents + 1


def test_checkpoints_continue_one_after_the_other(site: Site) -> None:
    """Both beats ask for them, and both workers take them: each covers more than the one before."""
    site.wait_for("a few checkpoints", lambda: len(site.probe("checkpoints")) > 1, every=1)
    found = site.probe("checkpoints")
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert [sequence for _, sequence in found] == sorted({sequence for _, sequence in found})


def test_a_machine_that_is_cut_off_in_the_middle_holds_up_no_other(site: Site) -> None:
    incidents = site.probe("incidents")
    versions = site.register([f"cut_{number}" for number in range(4)])
    asked = site.probe("opened", versions)
    subjects = [(model, number, request) for (model, number), request in zip(versions, asked, strict=True)]
    remy, rosa = Person("remy", site.second), Person("rosa", site.second)
    for request in asked[:2]:
        remy.approve(request, reads_on=site.second, acts_on=site.second)
        rosa.approve(request, reads_on=site.second, acts_on=site.second)
    holder = holding_the_ledger(site.first)
    site.start(holder)
    with site.first.cut_off():
        began = time.monotonic()
        for request in asked[2:]:
            remy.approve(request, reads_on=site.second, acts_on=site.second)
            rosa.approve(request, reads_on=site.second, acts_on=site.second)
        assert time.monotonic() - began < GIVEN_UP + 40, "the ledger's lock went with the machine"
        site.settled(subjects)  # by the second alone
        # Longer than the cut-off machine needs to notice, which its own monitor can see at its own address.
        said = site.wait_for("503", lambda: inside(site.first, "/readyz"), seconds=2 * GIVEN_UP + 20)
        assert '"status": "unready"' in said
    site.kill(holder)
    site.wait_for("the first one again", lambda: readyz(site.first)["checks"]["database"]["ok"])
    assert Person("vera", site.second).get(site.first, "/").status_code in {200, 302}
    site.in_order(subjects, incidents)


@pytest.mark.parametrize("service", [REDIS, MLFLOW])
def test_what_one_machine_does_not_reach_the_other_one_does(site: Site, service: int) -> None:
    incidents = site.probe("incidents")
    versions = site.register([f"alone_{service}_{number}" for number in range(2)])
    asked = site.probe("opened", versions)
    subjects = [(model, number, request) for (model, number), request in zip(versions, asked, strict=True)]
    remy, rosa = Person("remy", site.first), Person("rosa", site.first)
    with site.first.without(service):
        took = []
        for request in asked:
            for person in (remy, rosa):
                began = time.monotonic()
                answer = person.approve(request, reads_on=site.first, acts_on=site.first)
                took.append(time.monotonic() - began)
                assert answer.status_code == 302
        assert max(took) < 12, f"signatures took {took} seconds"
        site.settled(subjects)
        assert readyz(site.second)["checks"]["broker"]["ok"]
        if service == REDIS:
            assert not readyz(site.first)["checks"]["broker"]["ok"]
            assert requests.get(f"{site.first.url}/readyz", timeout=40).status_code == 200
    site.wait_for("the first one again", lambda: readyz(site.first)["checks"]["broker"]["ok"])
    site.in_order(subjects, incidents)


def unnoted(site: Site) -> set[str]:
    """Mails of which the database knows nothing. Each has an id of its own, and the rows that it told have that of the
    last mail that told them: what was told twice was once told by a mail that no row knows."""
    return set(site.mailbox.ids) - set(site.probe("mails_noted", site.mailbox.ids))


def test_mail_is_told_once_by_two_workers(site: Site) -> None:
    """To somebody who has had none yet: who has had five gets the rest together, later."""
    site.probe("join", "Nils Berg", "reviewer")
    before = unnoted(site)  # a worker that is killed between sending and noting tells it again
    asked = site.probe("opened", site.register([f"told_{number}" for number in range(4)]))
    told = site.wait_for("the mails", lambda: site.probe("mails_of", "nils@example.com", asked), every=1)
    assert sorted(told) == sorted(asked)
    site.wait_for("each mail to be noted", lambda: unnoted(site) == before)


def holding_the_ledger(machine: Machine) -> Process:
    """A process of the machine that is in the middle of recording something."""
    log = machine.folder / "holder.log"
    command = [sys.executable, "-m", Site.probes, "hold_the_ledger"]
    environment = machine.environment()
    return machine.inside(
        Process("Holder", command, environment, output=log, folder=ROOT, is_ready=lambda: "held" in log.read_text())
    )


def inside(machine: Machine, path: str) -> str:
    """What the machine's own web process answers to a monitor on the machine itself; raises when it does not."""
    script = "import sys, urllib.request as u, urllib.error as e\n"
    script += f"try: print(u.urlopen('http://{machine.url.partition('//')[2]}{path}', timeout=40).read().decode())\n"
    script += "except e.HTTPError as answer: print(answer.read().decode())"
    command = ["ip", "netns", "exec", machine.namespace, "python3", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
