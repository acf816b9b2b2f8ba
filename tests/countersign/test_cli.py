"""The command as a process against a stub: exit codes, what goes where, and no traceback whatever happens. Against the
product: `test_client_product.py`."""

import json
import os
import pty
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.support import stub_api
from tests.support.command_line import PYTHON, Command, clean_environment
from tests.support.mlflow_server import free_port
from tests.support.stub_api import TOKEN, Answer, StubApi, problem

pytestmark = [pytest.mark.slow, pytest.mark.nodb]

REQUESTS = ("POST", "/api/v1/requests")
TWELVE = ("GET", "/api/v1/requests/12")
ASK = ("request", "churn_predictor", "7", "--to", "Production", "-m", "AUC +2 points")
URL = "https://countersign.example/requests/12/"


def goes(stub: StubApi, *statuses: str) -> None:
    """The request stands like this, one answer after the other."""
    stub.says(*REQUESTS, Answer(201, stub_api.request(status=statuses[0])))
    answers = [Answer(body=stub_api.request(status=each, revision=str(n))) for n, each in enumerate(statuses)]
    stub.says(*TWELVE, *answers)


def test_a_request_is_made_and_shown(stub: StubApi, run: Command) -> None:
    goes(stub, "pending")
    done = run(*ASK)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Request 12: churn_predictor version 7 to Production",
        "  waiting for review, needs 2 approvals from any reviewer",
        "  requested by Rita Sanz, 2026-05-01 12:00 UTC",
        f"  {URL}",
    ]
    assert json.loads(run(*ASK, "--json").stdout) == stub_api.request(revision="0")


@pytest.mark.parametrize(("end", "code"), [("applied", 0), ("rejected", 1), ("withdrawn", 1), ("expired", 1)])
def test_waiting_says_each_change_on_its_own_line_and_ends_with_a_code(
    stub: StubApi, run: Command, end: str, code: int
) -> None:
    goes(stub, "checking", "checking", "pending", "pending", end)
    done = run(*ASK, "--wait", "--json")
    assert done.returncode == code
    assert json.loads(done.stdout)["status"] == end
    assert done.stderr.splitlines() == [
        f"Request 12: churn_predictor version 7 to Production, {URL}",
        "Request 12: in checks",
        "Request 12: waiting for review, needs 2 approvals from any reviewer",
        f"Request 12: {end}",
    ]


def test_a_wait_that_is_too_long_ends_with_2_and_says_how_to_continue(stub: StubApi, run: Command) -> None:
    goes(stub, "pending")
    done = run("status", 12, "--wait", "--timeout", "1s", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["status"] == "pending"
    assert "Request 12 is still open after 1 s. `countersign status 12 --wait` waits for it again" in done.stderr


def test_ctrl_c_leaves_the_request_open_and_says_how_to_continue(stub: StubApi) -> None:
    goes(stub, "pending")
    process = subprocess.Popen(
        # Whoever runs the tests in the background of a shell has them, and what they start, ignore the signal.
        ["env", "--default-signal=INT", PYTHON, "-m", "countersign", *ASK, "--wait"],
        env=clean_environment(**stub.environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(stub.calls) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert f"Request 12 stays open: {URL} `countersign status 12 --wait` waits for it again" in said
    assert "Traceback" not in said
    assert not any(path.endswith("withdraw") for path in stub.paths())


def test_on_a_terminal_the_last_line_is_written_over(stub: StubApi) -> None:
    goes(stub, "pending", "pending", "applied")
    mine, theirs = pty.openpty()
    environment = clean_environment(**stub.environment())
    command = [PYTHON, "-m", "countersign", "status", "12", "--wait"]
    subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, timeout=30, check=True)
    os.close(theirs)
    said = os.read(mine, 10_000).decode()
    os.close(mine)
    assert said.count("waiting for review") == 1
    assert said.count("Waiting since 0 s.") + said.count("Waiting since 1 s.") >= 2
    assert said.endswith("\r\x1b[K")


def test_why_it_is_so_is_said_and_a_terminal_without_the_letters_ends_nothing(stub: StubApi, run: Command) -> None:
    why = {"status": "rejected", "status_reason": "The holdout is too small, Женя says."}
    stub.says(*TWELVE, Answer(body=stub_api.request(**why)))
    done = run("status", 12, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == r"  rejected: The holdout is too small, \u0416\u0435\u043d\u044f says."


def test_a_refusal_is_a_sentence_a_page_and_code_3(stub: StubApi, run: Command) -> None:
    refused = problem(
        409, "already_open", "Request 11 asks the same.", url="https://c.example/requests/11/", request=11
    )
    stub.says(*REQUESTS, refused)
    done = run(*ASK, "--json")
    assert done.returncode == 3
    assert done.stderr == (
        "Request 11 asks the same. https://c.example/requests/11/ `countersign status 11 --wait` waits for it.\n"
    )
    assert json.loads(done.stdout)["error"] == {
        "code": "already_open",
        "detail": "Request 11 asks the same.",
        "status": 409,
        "url": "https://c.example/requests/11/",
    }
    assert run(*ASK).stdout == ""


def test_the_same_run_with_another_message_is_told_what_to_do(stub: StubApi, run: Command) -> None:
    stub.says(*REQUESTS, problem(422, "idempotency_key_reused", "This Idempotency-Key was sent before."))
    done = run(*ASK, GITHUB_RUN_ID="9")
    assert (done.returncode, done.stderr.strip()) == (
        3,
        "This CI run requested the same with another message before. Keep -m as it was, or give --key.",
    )


def test_a_wrong_token_no_network_a_failing_server_and_no_settings_are_sentences(stub: StubApi, run: Command) -> None:
    stub.says("GET", "/api/v1/me", problem(401, "token_revoked", "This token was revoked. Make a new one."))
    wrong = run("token", "check")
    assert (wrong.returncode, wrong.stderr) == (3, "This token was revoked. Make a new one.\n")
    stub.says("GET", "/api/v1/me", Answer(500, b"oops", {"Retry-After": "0"}))
    failing = run("token", "check", "--json")
    assert failing.returncode == 4
    assert json.loads(failing.stdout)["error"]["code"] == "unavailable"
    away = run("token", "check", COUNTERSIGN_URL=f"http://127.0.0.1:{free_port()}")
    assert away.returncode == 4
    assert "cannot be reached: Connection refused." in away.stderr
    unset = run("token", "check", COUNTERSIGN_TOKEN="", COUNTERSIGN_URL="")
    assert (unset.returncode, unset.stderr) == (
        64,
        "There is no address. Set COUNTERSIGN_URL, such as https://countersign.example.\n",
    )
    for done in (wrong, failing, away, unset):
        assert "Traceback" not in done.stderr
        assert TOKEN not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "words",
    [("request", "churn_predictor"), ("status", "twelve"), ("nothing",), (*ASK, "--wait", "--timeout", "soon")],
    ids=lambda words: words[0],
)
def test_wrong_words_are_told_apart_from_a_timeout(run: Command, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 64
    assert "Usage: " in done.stderr
    assert "Error: " in done.stderr


def test_every_command_has_help_and_json(run: Command) -> None:
    top = run("--help").stdout
    assert "Exit codes: 0 done" in top
    for name in ("request", "status", "withdraw", "holder", "evidence", "incidents", "export", "verify", "doctor"):
        assert name in top
        assert "--json" in run(name, "--help").stdout


def test_holders_incidents_and_withdrawing(stub: StubApi, run: Command) -> None:
    holder = {"model": "churn", "version": "6", "target": "Production", "since": None, "url": None, "how": "Before."}
    stub.says("GET", "/api/v1/models/churn/targets/Production/holder", Answer(body=holder))
    assert run("holder", "churn", "Production", "--at", "2026-05-01").stdout == (
        "churn version 6 holds Production\n  Before.\n"
    )
    assert stub.calls[-1].query == {"at": "2026-05-01"}
    stub.says("GET", "/api/v1/incidents", Answer(body={"items": [], "next": None}))
    assert run("incidents", "--status", "all").stdout == "No incidents.\n"
    assert "is_open" not in stub.calls[-1].query
    assert json.loads(run("incidents", "--json").stdout) == {"items": []}
    assert stub.calls[-1].query["is_open"] == "true"
    stub.says("POST", "/api/v1/requests/12/withdraw", Answer(body=stub_api.request(status="withdrawn")))
    assert "  withdrawn\n" in run("withdraw", 12, "-m", "Another one is better.").stdout
    assert stub.calls[-1].body == {"reason": "Another one is better."}


def test_evidence_is_printed_as_it_was_signed(stub: StubApi, run: Command) -> None:
    fingerprint = "da4d73f9ad35b44e3d05f4e2d46c01f9b6a1bc0a6f4e6a2d2bb7e9c1a9c9a5ba"
    text = '{"a":"ü"}'.encode()
    stub.says("GET", "/api/v1/requests/12/evidence", Answer(body=text, headers={"ETag": f'"{fingerprint}"'}))
    done = run("evidence", 12)
    assert (done.stdout, done.returncode) == (text.decode(), 4)
    assert "which does not fit this text" in done.stderr


def events(*numbers: int) -> list[dict[str, Any]]:
    return [{"sequence": number, "record": {"sequence": number, "hash": "0" * 64, "at": "é"}} for number in numbers]


def test_a_pipe_that_closes_is_no_error(stub: StubApi) -> None:
    stub.says("GET", "/api/v1/events", Answer(body={"items": events(*range(1, 4000)), "next": 3999, "last": 3999}))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {PYTHON} -m countersign export | head -n 1"],
        env=clean_environment(**stub.environment()),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["sequence"] == 1


def test_the_doctor_without_the_other_package_or_an_address_says_so(stub: StubApi, run: Command) -> None:
    me = {"token": {"name": "ci", "prefix": "csn_abcdef", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"}}
    stub.says("GET", "/api/v1/me", Answer(body=me))
    done = run("doctor")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "Countersign: OK",
        f"  {stub.url} answers, and takes the token ci.",
        "MLflow: not tried",
        "  Give MLflow's address, or set MLFLOW_TRACKING_URI, to try MLflow as well.",
    ]
    stub.says("GET", "/api/v1/me", problem(401, "token_unknown", "Countersign does not know this token."))
    assert run("doctor", "--json").returncode == 1
