"""The command in a pipeline against every real process: a version that was registered a moment ago is requested, read
by the worker, reviewed by people with tokens of their own, delivered to MLflow, and the job ends with 0."""

import json
import subprocess
import threading
from typing import Any

import pytest
import requests

from tests.support.command_line import started
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
MODEL = "from_a_pipeline"


def start(stack: Stack, *words: str, token: str, **more: str) -> "subprocess.Popen[str]":
    return started(*words, COUNTERSIGN_URL=stack.url, COUNTERSIGN_TOKEN=token, **more)


def run(stack: Stack, *words: str, token: str, **more: str) -> "subprocess.CompletedProcess[str]":
    process = start(stack, *words, token=token, **more)
    out, said = process.communicate(timeout=120)
    return subprocess.CompletedProcess(words, process.returncode, out, said)


class Job:
    """A job that waits, and what it has said so far."""

    def __init__(self, stack: Stack, *words: str, token: str, **more: str) -> None:
        self.process = start(stack, *words, token=token, **more)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def said(self, words: str) -> bool:
        """Raises LookupError with all that it has said while this is not among it."""
        if not any(words in line for line in list(self.lines)):
            raise LookupError(f"{words!r} is not in {self.lines}")
        return True


def approve(stack: Stack, number: int, token: str) -> None:
    """As a person's own program: what was read is what is signed."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{stack.url}/api/v1/requests/{number}"
    fingerprint = requests.get(f"{url}/evidence", headers=headers, timeout=20).headers["ETag"].strip('"')
    body: dict[str, Any] = {"verdict": "approve", "fingerprint": fingerprint, "comment": "Read."}
    answer = requests.post(f"{url}/reviews", json=body, headers=headers, timeout=20)
    assert answer.status_code == 201, answer.text


def test_a_pipeline_promotes_what_it_has_just_registered(stack: Stack) -> None:
    robot = stack.probe("token_of_robot", "train-bot", "Rita Sanz")
    remy, rosa = (stack.probe("token_of", name) for name in ("Remy Ortiz", "Rosa Lind"))
    number = stack.make_version(MODEL)
    ask = (
        "request",
        MODEL,
        str(number),
        "--to",
        "Production",
        "-m",
        "AUC 0.9",
        "--wait",
        "--timeout",
        "100s",
        "--json",
    )
    job = Job(stack, *ask, token=robot, GITHUB_RUN_ID="1")
    # The job gives up after 100 seconds, and the installation has only just begun.
    stack.wait_for("the checks", lambda: job.said("waiting for review, needs 2 approvals"), seconds=100)
    asked = int(next(line for line in job.lines if line.startswith("Request ")).split()[1].rstrip(":"))

    refused = run(stack, "withdraw", str(asked), token=remy)
    assert refused.returncode == 3, "Only who requested it withdraws it."
    approve(stack, asked, remy)
    stack.wait_for("the first approval", lambda: job.said("waiting for review, needs 1 approval"))
    approve(stack, asked, rosa)
    assert job.process.wait(timeout=100) == 0, job.lines
    assert job.process.stdout
    assert json.loads(job.process.stdout.read())["status"] == "applied"
    assert stack.version(MODEL, number)["current_stage"] == "Production"
    assert f"countersign status {asked}" not in "".join(job.lines)

    again = run(stack, *ask, token=robot, GITHUB_RUN_ID="1", GITHUB_RUN_ATTEMPT="2")
    assert (again.returncode, json.loads(again.stdout)["id"]) == (0, asked)
    held = run(stack, "holder", MODEL, "Production", "--json", token=robot)
    assert json.loads(held.stdout)["version"] == str(number)
    assert stack.probe("verify")["problem"] == ""
