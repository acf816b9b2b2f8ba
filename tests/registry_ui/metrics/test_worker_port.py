"""The worker's own metrics: on its port, with the token, of what only it does."""

import http.client
import socket
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from mirror import calls
from mirror.port import NotFound, Unreachable
from registry_ui import lanes
from registry_ui.metrics import processes, worker_port
from tests.registry_ui.metrics.scrape import parsed
from tests.support.fakes import FakeRegistry
from tests.support.mlflow_server import free_port


@pytest.fixture
def server(settings: Any, token: str) -> Iterator[ThreadingHTTPServer]:
    settings.WORKER_METRICS_PORT = free_port()
    server = worker_port.start()
    assert server is not None
    yield server
    server.shutdown()
    server.server_close()


def ask(server: ThreadingHTTPServer, path: str = "/metrics", token: str = "") -> tuple[int, str]:
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    link.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = link.getresponse()
    return answer.status, answer.read().decode()


def test_without_a_port_nothing_listens(settings: Any) -> None:
    settings.WORKER_METRICS_PORT = 0
    assert worker_port.start() is None


def test_a_port_that_is_taken_stops_no_worker(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        settings.WORKER_METRICS_PORT = taken.getsockname()[1]
        assert worker_port.start() is None
    assert "metrics.no_port" in caplog.text


def test_it_says_nothing_without_the_token_and_has_nothing_else(server: ThreadingHTTPServer, token: str) -> None:
    assert ask(server) == (401, "Send COUNTERSIGN_METRICS_TOKEN as a bearer token.\n")
    assert ask(server, token="wrong")[0] == 401
    assert ask(server, "/", token)[0] == 404
    assert ask(server, token=token)[0] == 200


def test_calls_of_mlflow_by_the_ports_method_and_tasks_by_name(
    server: ThreadingHTTPServer, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeRegistry(limit=1)
    fake.create_version("churn_predictor")
    registry = calls.told(fake)
    assert [len(page) for page in registry.models()] == [1]
    registry.ping()
    with pytest.raises(NotFound):
        registry.model("secret_project")

    def away(*_: object) -> None:
        raise Unreachable("MLflow did not answer.")

    monkeypatch.setattr(fake, "version", away)
    with pytest.raises(Unreachable):
        registry.version("churn_predictor", 1)
    lanes.OF_TASK["approvals.prune"].run(lambda: processes.timed("approvals.prune", lambda: 1))
    with pytest.raises(ValueError, match="no"):
        processes.timed("approvals.expire", lambda: int("no"))
    status, text = ask(server, token=token)
    assert status == 200
    assert "secret_project" not in text
    assert "churn_predictor" not in text
    found = parsed(text)
    asked = {tuple(sorted(dict(each).items())) for each in found["countersign_mlflow_request_duration_seconds_count"]}
    for call, outcome in (("models", "ok"), ("ping", "ok"), ("model", "not_found"), ("version", "unreachable")):
        assert (("call", call), ("outcome", outcome)) in asked
    tasks = {tuple(sorted(dict(each).items())) for each in found["countersign_task_duration_seconds_count"]}
    assert {
        (("outcome", "ok"), ("task", "approvals.prune")),
        (("outcome", "failed"), ("task", "approvals.expire")),
    } <= tasks
