"""The trials. Each makes promotions, gets in their way, and returns what has to be in order afterwards."""

import json
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from registry_ui.demo.processes import Process, Supervisor
from tests.faults.account import Subject
from tests.faults.liar import Liar, Lie
from tests.support.stack import Stack

SETTLING = 120.0
SWEEP = 13.0
"""Seconds. Sweeps come every ten, and the watch has to make something of each."""

ROUNDS, KILLS_PER_ROUND = 3, 10


class FaultStack(Stack):
    """The installation of the browser tests, with a proxy before MLflow and nobody but Countersign that writes."""

    probes = "tests.faults.account"

    def __init__(self, supervisor: Supervisor, folder: Path, liar: Liar) -> None:
        super().__init__(supervisor, folder, mlflow_port=liar.mlflow_port, tracking_url=liar.url)
        self.liar = liar

    def register(self, models: Sequence[str]) -> list[tuple[str, int]]:
        return [(model, self.make_version(model, auc_roc=0.9)) for model in models]

    def promote(self, versions: Sequence[tuple[str, int]]) -> list[Subject]:
        """Asked for and approved; the worker has yet to deliver."""
        ids = self.probe("approved", versions)
        return [(model, number, request) for (model, number), request in zip(versions, ids, strict=True)]

    def settle(self, subjects: Sequence[Subject], *, seconds: float = SETTLING) -> None:
        """Waits until nothing is on its way; what is then is found by the audit."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.supervisor.tend()
            if self.probe("is_settled", subjects):
                return
            time.sleep(1)

    def rest(self, seconds: float) -> None:
        """Time for pulls and sweeps, in which processes that ended are started again."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.supervisor.tend()
            time.sleep(0.2)


@dataclass
class Outcome:
    name: str
    subjects: list[Subject]
    detail: str = ""
    wrong: dict[str, list[str]] = field(default_factory=dict)
    """By kind, beside what the audit finds."""


class InBackground(threading.Thread):
    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work, self._result, self._error = work, None, None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:  # raised where it is waited for
            self._error = error

    def result(self) -> Any:
        self.join()
        if self._error:
            raise self._error
        return self._result


def kill(stack: FaultStack, dice: random.Random, deliveries: int) -> list[Outcome]:
    """SIGKILL of the worker at random, in the middle of its writes."""
    models = [f"killed_{number}" for number in range(-(-deliveries // ROUNDS))]
    subjects: list[Subject] = []
    kills = 0

    def kill_one() -> None:
        nonlocal kills
        stack.liar.writes.clear()
        if stack.liar.writes.wait(2):
            time.sleep(dice.uniform(0, 1.5))
            stack.kill(stack.worker)
            stack.supervisor.start(stack.worker)
            kills += 1

    for turn in range(1, ROUNDS + 1):
        versions = stack.register(models)
        asking = InBackground(lambda versions=versions: stack.promote(versions))
        while asking.is_alive():
            kill_one()
        made = asking.result()
        while kills < turn * KILLS_PER_ROUND and not stack.probe("is_settled", made):
            kill_one()
        stack.settle(made)
        subjects += made
    stack.rest(SWEEP)
    return [Outcome("kill", subjects, f"{kills} × SIGKILL")]


# --- Lies


def lies_about_one(stack: FaultStack) -> list[Outcome]:
    """Lies about one version or run each, told at the same time."""
    names = ("description", "tag", "stage", "alias", "curves", "run")
    versions = stack.register([f"lied_to_about_its_{name}" for name in names])
    runs = [stack.version(model, number)["run_id"] for model, number in versions]
    about = [model for model, _ in versions]
    for step in (1, 2):
        stack.engineer.call(
            "POST", "runs/log-metric", run_id=runs[4], key="loss", value=1 / step, timestamp=1, step=step
        )
    lies = [
        Lie("200 without effect, description", "model-versions/update", "PATCH", about[0], times=1),
        Lie("200 without effect, tag", "model-versions/set-tag", "POST", about[1], times=1),
        Lie("200 without effect, stage", "model-versions/transition-stage", "POST", about[2], times=1),
        Lie("alias refused with 403", "registered-models/alias", "POST", about[3], 403, DENIED, times=3),
        Lie("404 on the curves", "metrics/get-history-bulk-interval", "GET", runs[4], 404, b"", "text/plain"),
    ]
    with stack.liar.telling(*lies):
        subjects = stack.promote(versions[:-1])
        stack.settle(subjects)
    # The run is forbidden after its version was asked for and before it is delivered; then it may be read again.
    stack.wait_for("the mirror", lambda: stack.probe("mirror_has", versions[-1:]), every=1)
    [request] = stack.probe("opened", versions[-1:])
    with stack.liar.telling(Lie("403 on a run", "runs/get", "GET", runs[-1], 403, DENIED)):
        stack.probe("approve_only", request)
        beside = stack.promote(stack.register(["beside_the_forbidden_run"]))
        stack.settle(beside)
        stack.rest(SWEEP)
    subjects += [(*versions[-1], request), *beside]
    stack.settle(subjects)
    stack.rest(SWEEP)
    told = [*(lie.name for lie in lies), "403 on a run", "403 on a run, the model beside it"]
    return [Outcome(f"lie: {name}", [each]) for name, each in zip(told, subjects, strict=True)]


def lies_everywhere(stack: FaultStack) -> list[Outcome]:
    """One lie after the other for two sweeps, and under each a promotion that is approved meanwhile, in models where
    the policy has bypasses put back; then MLflow answers as it is."""
    models = [f"lied_to_by_{name.replace(' ', '_')}" for name in EVERYWHERE]
    stack.probe("vigilant", models)
    before = stack.promote(stack.register(models))
    stack.settle(before)
    versions = stack.register(models)
    stack.wait_for("the mirror", lambda: stack.probe("mirror_has", versions), every=1)
    requests = stack.probe("opened", versions)
    stack.rest(SWEEP)  # what a stale listing repeats
    after = [(model, number, request) for (model, number), request in zip(versions, requests, strict=True)]
    for lies, request in zip(EVERYWHERE.values(), requests, strict=True):
        with stack.liar.telling(*lies):
            stack.probe("approve_only", request)
            stack.rest(2 * SWEEP)
    stack.settle(after)
    stack.rest(SWEEP)
    return [
        Outcome(f"lie: {name}", [first, second]) for name, first, second in zip(EVERYWHERE, before, after, strict=True)
    ]


def json_error(code: str, message: str) -> bytes:
    return json.dumps({"error_code": code, "message": message}).encode()


DENIED = json_error("PERMISSION_DENIED", "Permission denied")
EVERYWHERE = {
    "empty listings": [Lie("versions", "model-versions/search"), Lie("models", "registered-models/search")],
    "stale listings": [Lie("versions", "/search", "GET", is_stale=True)],
    "401": [Lie("401", status=401, body=json_error("UNAUTHENTICATED", "The token has expired."))],
    "an HTML page": [Lie("HTML", body=b"<!doctype html><title>Sign in</title>", kind="text/html")],
    "404 on the version of MLflow": [Lie("version", "/version", "GET", status=404, body=b"", kind="text/plain")],
}


# --- Races and restores


def race(stack: FaultStack, dice: random.Random) -> list[Outcome]:
    """Two workers and two beats, and a Redis that forgets everything again and again."""
    second_worker = _twin(stack.worker, ["--hostname", "second@%h"])
    second_beat = _twin(stack.beat, ["--schedule", str(stack.place.folder / "beat-2")])
    for process in (second_worker, second_beat):
        stack.start(process)
    broker = redis.Redis(unix_socket_path=str(stack.place.redis_socket))
    subjects: list[Subject] = []
    flushes = 0
    for _ in range(2):
        versions = stack.register([f"raced_{number}" for number in range(6)])
        asking = InBackground(lambda versions=versions: stack.promote(versions))
        while asking.is_alive():
            time.sleep(dice.uniform(0.2, 2))
            broker.flushall()
            flushes += 1
        made = asking.result()
        subjects += made
        stack.settle(made)
    stack.rest(SWEEP)
    for process in (second_worker, second_beat):
        stack.stop(process)
    return [Outcome("race: 2 workers, 2 beats", subjects, f"{flushes} × FLUSHALL")]


def _twin(process: Process, options: list[str]) -> Process:
    """The same with other options, the last of which count."""
    name = f"{process.name} 2"
    output = process.output.with_stem(f"{process.output.stem}-2")
    return Process(name, [*process.command, *options], process.environment, output, folder=process.folder)


def restore(stack: FaultStack) -> list[Outcome]:
    """An older backup of Countersign comes back, and the policy says that bypasses are put back."""
    models = [f"restored_{number}" for number in range(3)]
    stack.probe("vigilant", models)
    first = stack.promote(stack.register(models))
    stack.settle(first)
    stack.rest(SWEEP)
    with closing(sqlite3.connect(stack.place.folder / "countersign.sqlite3")) as database:
        database.execute("VACUUM INTO ?", [str(stack.place.folder / "backup.sqlite3")])
    second = stack.promote(stack.register(models))
    stack.settle(second)
    before = stack.probe("audit", stack.mlflow_url, second, 0)["holder"]
    for process in (stack.beat, stack.worker, stack.web):
        stack.stop(process)
    for leftover in stack.place.folder.glob("countersign.sqlite3*"):
        leftover.unlink()
    (stack.place.folder / "backup.sqlite3").rename(stack.place.folder / "countersign.sqlite3")
    for process in (stack.web, stack.worker, stack.beat):
        stack.start(process)
    stack.rest(3 * SWEEP)
    wrong: dict[str, list[str]] = {"holder": before, "incident": [], "stuck": []}
    for model, number, _ in second:
        held = [each for each in (1, 2) if stack.version(model, each)["current_stage"] == "Production"]
        if held != [number] or stack.aliases(model) != {"champion": number}:
            wrong["holder"].append(f"{model}: version {held} is in Production after the restore, not [{number}]")
    return [Outcome("restore of an older backup", [], f"{len(models)} models", wrong)]
