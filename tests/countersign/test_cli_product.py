"""The command against the product: a pipeline requests, people decide, the job is answered; and what else it reads."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from approvals import workflow
from approvals.models import Action, AuditEvent, PromotionRequest, Status, Target
from tests.support.command_line import Command, command, started
from tests.support.factories import check, make_person, make_policy, make_service_account, make_token, make_version
from tests.support.waiting import within
from tests.support.world import bypass, hold, settle

pytestmark = [pytest.mark.slow, pytest.mark.nodb]  # what answers is asked on each database by the tests of its room

ASK = ("request", "churn_predictor", "2", "--to", "Production", "-m", "AUC +2 points", "--wait", "--timeout", "50s")
GITHUB = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/churn", "GITHUB_RUN_ID": "9"}
RUN = "https://github.com/acme/churn/actions/runs/9"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def production(site: str) -> Target:
    """Version 1 is in it, version 2 is not, and one approval is needed."""
    found = Target.objects.get(name="Production")
    make_policy("*", found, (1, None), on_record=True)
    hold(make_version("churn_predictor", 1), found)
    make_version("churn_predictor", 2, metrics={"auc": 0.9})
    return found


@pytest.fixture
def remy(site: str) -> User:
    return make_person("Remy Ortiz", "reviewer")


@pytest.fixture
def access(site: str, production: Target) -> dict[str, str]:
    """Of a pipeline: the service account of Rita Sanz."""
    bot = make_service_account(owner=make_person("Rita Sanz", "requester"), groups=("requester", "auditor"))
    return {"COUNTERSIGN_URL": site, "COUNTERSIGN_TOKEN": make_token(bot)}


@pytest.fixture
def run(access: dict[str, str]) -> Command:
    return lambda *words, **more: command(*words, **access, **more)


@pytest.fixture
def start(access: dict[str, str]) -> Start:
    """Begins it and does not wait for its end."""
    return lambda *words, **more: started(*words, **access, **more)


def asked() -> PromotionRequest:
    """The request that a process has made by now, after the worker has looked at it."""
    assert within(40, PromotionRequest.objects.exists)
    return check(PromotionRequest.objects.with_subject().get())


def test_a_job_waits_is_answered_and_finds_its_request_when_it_runs_again(
    start: Start, run: Command, remy: User
) -> None:
    job = start(*ASK, "--json", **GITHUB)
    request = settle(asked(), remy)
    out, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    found = json.loads(out)
    assert (found["id"], found["status"], found["version"]) == (request.pk, "applied", "2")
    lines = said.splitlines()
    assert lines[0] == f"Request {request.pk}: churn_predictor version 2 to Production, {found['url']}"
    assert lines[-1] == f"Request {request.pk}: applied"

    again = run(*ASK, "--json", **GITHUB, GITHUB_RUN_ATTEMPT="2")
    assert (again.returncode, json.loads(again.stdout)["id"]) == (0, request.pk)
    assert PromotionRequest.objects.count() == 1
    through = AuditEvent.objects.get(action=Action.REQUEST_CREATED).data["through"]
    assert through["run"] == RUN
    assert through["owner"].startswith("Rita Sanz")

    shown = run("holder", "churn_predictor", "Production")
    assert shown.stdout.startswith("churn_predictor version 2 holds Production since ")
    refused = run(*ASK, "--json", GITHUB_RUN_ID="10")
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["error"]["detail"] == refused.stderr.strip()


def test_a_rejection_ends_the_job_with_1(start: Start, run: Command, remy: User) -> None:
    job = start(*ASK, **GITHUB)
    request = asked()
    assert within(20, lambda: "waiting for review" in run("status", request.pk).stdout)
    workflow.review(request, by=remy, verdict="reject", comment="The holdout is too small.")
    out, said = job.communicate(timeout=60)
    assert (job.returncode, out.splitlines()[1]) == (1, "  rejected: The holdout is too small.")
    # What it says in between is what it sees when it asks: on a busy machine, nothing.
    assert said.splitlines()[0].startswith(f"Request {request.pk}: ")


def test_a_request_is_shown_and_withdrawn_and_another_run_is_refused_while_it_is_open(run: Command) -> None:
    made = run(*ASK[:7], "--json", **GITHUB)
    assert made.returncode == 0, made.stderr
    number = json.loads(made.stdout)["id"]
    other = run(*ASK, GITHUB_RUN_ID="10")
    assert other.returncode == 3
    assert f"/requests/{number}/ `countersign status {number} --wait` waits for it." in other.stderr
    late = run("status", number, "--wait", "--timeout", "1s")
    assert (late.returncode, late.stdout) == (2, "")
    other_words = run(*ASK[:6], "AUC +3 points", **GITHUB)
    assert "Keep -m as it was" in other_words.stderr
    gone = run("withdraw", number, "-m", "Version 3 is better.", "--json")
    assert json.loads(gone.stdout)["status"] == "withdrawn"
    assert PromotionRequest.objects.get().status == Status.WITHDRAWN
    again = run("withdraw", number)
    assert again.returncode == 3
    # The run's request was withdrawn; the same run does not ask once more, the next one does.
    assert run(*ASK, **GITHUB).returncode == 1
    assert run(*ASK[:7], GITHUB_RUN_ID="11").returncode == 0


def test_evidence_is_what_is_signed(run: Command) -> None:
    number = json.loads(run(*ASK[:7], "--json").stdout)["id"]
    check(PromotionRequest.objects.with_subject().get())
    done = run("evidence", number)
    fingerprint = PromotionRequest.objects.get().fingerprint
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout.encode()).hexdigest() == fingerprint
    assert done.stderr == f"Fingerprint {fingerprint}\n"


def test_incidents(run: Command, production: Target) -> None:
    assert run("incidents").stdout == "No incidents.\n"
    bypass(make_version("churn_predictor", 3), production, "Production")
    shown = run("incidents")
    assert shown.stdout.startswith("Incident ")
    assert "/incidents/" in shown.stdout.splitlines()[-1]
    (found,) = json.loads(run("incidents", "--json").stdout)["items"]
    assert (found["is_open"], found["after"], found["target"]) == (True, ["3"], "Production")
    assert run("incidents", "--status", "resolved").stdout == "No incidents.\n"


def test_the_ledger_is_exported_continued_and_verified_offline(run: Command, tmp_path: Path, remy: User) -> None:
    run(*ASK[:7])
    path = tmp_path / "history.jsonl"
    first = json.loads(run("export", "-o", path, "--json").stdout)
    assert first["first"] == 1
    settle(check(PromotionRequest.objects.with_subject().get()), remy)
    second = json.loads(run("export", "-o", path, "--json").stdout)
    assert second["first"] == first["last"] + 1
    last = AuditEvent.objects.order_by("-sequence").first()
    assert last
    assert second["last"] in {last.sequence, last.sequence - 1}  # that it was read is an event, too
    good = command("verify", path, "--complete", "--head", f"{last.sequence}:{last.hash}")
    assert (good.returncode, good.stderr) == (0, "")
    path.write_text(path.read_text().replace("AUC +2 points", "AUC +9 points"))
    assert command("verify", path).returncode == 1


def test_what_the_account_may_not_do_is_refused_with_the_sentence_of_the_page(site: str, production: Target) -> None:
    vera = make_token(make_person("Vera Holm", "auditor"))
    done = command(*ASK, COUNTERSIGN_URL=site, COUNTERSIGN_TOKEN=vera)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    missing: Any = command(*ASK[:2], "99", *ASK[3:], COUNTERSIGN_URL=site, COUNTERSIGN_TOKEN=vera)
    assert missing.returncode == 3
