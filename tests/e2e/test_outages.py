"""Killed workers, a dead MLflow and a dead broker: the end state is the right one, and the ledger has each fact
once."""

import os
import signal

import pytest
import requests

from tests.support.stack import LEASE_SECONDS, Stack

pytestmark = pytest.mark.e2e

STEPS = [
    ("claim", 1),
    ("version", 1),  # look
    ("model", 1),  # look, and the plan is kept
    ("set_description", 1),  # annotate
    ("set_tag", 3),
    ("set_tag", 7),
    ("set_stage", 1),  # move
    ("set_alias", 1),
    ("version", 2),  # read back
    ("settle", 1),
]


def assert_all_promoted(stack: Stack, models: list[str], requests_: list[int]) -> None:
    stack.wait_for(
        "every delivery",
        lambda: all(state["status"] == "applied" for state in stack.probe("states", requests_)),
        seconds=LEASE_SECONDS + 90,
        every=1,
    )
    for model, request_id in zip(models, requests_, strict=True):
        assert_promoted(stack, model, request_id)


def assert_promoted(stack: Stack, model: str, request_id: int, *, number: int = 2, replaced: int = 1) -> None:
    """Production holds the version with its note, and each fact stands in the ledger exactly once."""
    found = stack.version(model, number)
    assert found["current_stage"] == "Production"
    assert stack.version(model, replaced)["current_stage"] == "Archived"
    assert stack.aliases(model) == {"champion": number}
    assert found["description"].startswith(f"Trained for {model}.")
    assert found["description"].count(f"request #{request_id}\n") == 1
    assert (
        "Approved for Production by Remy Ortiz <remy@example.com>, Rosa Lind <rosa@example.com>" in found["description"]
    )
    state = stack.probe("state", request_id)
    assert state["outcomes"] == ["applied"]
    assert sorted(state["actions"]) == sorted(
        [
            "request.created",
            "request.checked",
            "review.approved",
            "review.approved",
            "request.approved",
            "version.promoted",
            "version.replaced",
        ]
    )
    assert stack.probe("mirrored", model)[str(number)] == "Production"
    assert stack.probe("verify")["problem"] == ""


def champion_and_challenger(stack: Stack, model: str) -> None:
    stack.make_version(model)
    stack.stage(model, 1, "Production")
    stack.make_version(model, auc_roc=0.95)


def test_delivery_killed_after_each_of_its_steps_is_resumed(stack: Stack) -> None:
    stack.stop(stack.worker)
    try:
        models = [f"killed_after_{step}_{times}" for step, times in STEPS]
        for model in models:
            champion_and_challenger(stack, model)
        requests_ = stack.probe("approved_requests", models)
        deaths = [(request_id, *step) for step, request_id in zip(STEPS, requests_, strict=True)]
        ends = dict(zip(STEPS, stack.probe("deliver_and_die", deaths), strict=True))
        assert ends == dict.fromkeys(STEPS, -signal.SIGKILL), "one was never reached"
    finally:
        stack.start(stack.worker)
    assert_all_promoted(stack, models, requests_)


def test_a_worker_killed_under_load_loses_nothing(stack: Stack) -> None:
    models = [f"under_load_{number}" for number in range(6)]
    for model in models:
        champion_and_challenger(stack, model)
    made = stack.probe("approved_requests", models[:3])
    stack.kill(stack.worker)
    made += stack.probe("approved_requests", models[3:])
    stack.start(stack.worker)
    assert_all_promoted(stack, models, made)


def test_mlflow_stopped_in_the_middle_is_waited_for(stack: Stack) -> None:
    champion_and_challenger(stack, "while_mlflow_is_away")
    stack.probe("mirrored", "while_mlflow_is_away")
    asked = stack.probe("approved_request", "warm_up_of_mlflow_test", stack.make_version("warm_up_of_mlflow_test"))
    stack.wait_for("the warm-up", lambda: stack.probe("state", asked)["status"] == "applied")
    stack.wait_for("the mirror", lambda: "2" in stack.probe("mirrored", "while_mlflow_is_away"))
    request_id = stack.probe("open_request", "while_mlflow_is_away", 2)
    stack.stop(stack.mlflow)
    stack.probe("approve_only", request_id)
    try:
        stack.wait_for("the delivery that waits", lambda: stack.probe("state", request_id)["waiting"])
        assert stack.probe("state", request_id)["status"] == "approved"
        stack.wait_for("the notice", lambda: not stack.ready()["checks"]["mlflow"]["ok"])
        answer = requests.get(f"{stack.url}/readyz", timeout=10)
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert requests.get(f"{stack.url}/readyz?strict=1", timeout=10).status_code == 503
    finally:
        stack.start(stack.mlflow)
    stack.wait_for("the delivery", lambda: stack.probe("state", request_id)["status"] == "applied")
    assert_promoted(stack, "while_mlflow_is_away", request_id)
    stack.wait_for("recovery", lambda: stack.ready()["checks"]["mlflow"]["ok"])


def test_redis_stopped_in_the_middle_delays_and_loses_nothing(stack: Stack) -> None:
    champion_and_challenger(stack, "while_redis_is_away")
    stack.kill(stack.redis)
    try:
        request_id = stack.probe("approved_request", "while_redis_is_away", 2)
        assert stack.probe("state", request_id)["status"] == "approved"
        assert not stack.ready()["checks"]["broker"]["ok"]
        assert requests.get(f"{stack.url}/accounts/login/", timeout=10).status_code == 200
    finally:
        stack.start(stack.redis)
    stack.wait_for("the delivery", lambda: stack.probe("state", request_id)["status"] == "applied", seconds=90)
    assert_promoted(stack, "while_redis_is_away", request_id)


def test_no_process_is_left_after_a_kill(stack: Stack) -> None:
    """The stack itself must be whole for what comes after."""
    for process in (stack.mlflow, stack.redis, stack.web, stack.worker, stack.beat):
        assert process.pid is not None, f"{process.name} does not run"
        os.kill(process.pid, 0)
