"""What one process counts and times: answers of the web process, calls of MLflow and tasks of the worker.

Under gunicorn the processes of one web server write into files of a folder (`registry_ui.gunicorn`), and whichever is
asked adds them up; elsewhere they are in memory. No Django here: the settings read `registry_ui.lanes`, which times
its tasks.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, multiprocess
from prometheus_client.core import Metric

from mirror import tracing

T = TypeVar("T")

registry = CollectorRegistry()
"""Of this process alone."""

ANSWERS = Histogram(
    "countersign_http_request_duration_seconds",
    "Answers of the web process, by the name of the address, never the address itself.",
    ["route", "method", "status"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=registry,
)
MLFLOW = Histogram(
    "countersign_mlflow_request_duration_seconds",
    "What was asked of MLflow, by the method of the registry port.",
    ["call", "outcome"],
    buckets=(0.05, 0.1, 0.5, 1, 5, 15),
    registry=registry,
)
TASKS = Histogram(
    "countersign_task_duration_seconds",
    "Tasks of the worker, without those that gave way.",
    ["task", "outcome"],
    buckets=(0.05, 0.25, 1, 5, 15, 60, 300, 1800),
    registry=registry,
)
SIGN_INS = Counter(
    "countersign_sign_ins",
    "Attempts to sign in.",
    ["result", "method"],
    registry=registry,
)
for _result in ("ok", "failed", "limited"):
    SIGN_INS.labels(_result, "password")  # there from the beginning: a series that begins with a burst has no increase
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def answered(route: str, method: str, status: int, seconds: float) -> None:
    """`route` is the name of a URL; anybody may send any method, so those that nobody sends are one."""
    known = method if method in METHODS else "other"
    ANSWERS.labels(route, known, f"{status // 100}xx").observe(seconds)


def signed_in(sender: object, *, event: str, facts: Mapping[str, object], **_: object) -> None:
    """Receiver of `accounts.security_log.recorded`: of its lines, those on attempts to sign in."""
    kind, result = event.split(".", 1) if "." in event else (event, "")
    if kind == "signin":
        SIGN_INS.labels(result, facts.get("method") or "unknown").inc()


def asked(sender: object, *, call: str, outcome: str, seconds: float, **_: object) -> None:
    """Receiver of `mirror.calls.called`."""
    MLFLOW.labels(call, outcome).observe(seconds)


def timed(task: str, work: Callable[[], T]) -> T:
    """What `work` returns or raises."""
    started, outcome = time.monotonic(), "failed"
    try:
        with tracing.span(f"task {task}"):
            found = work()
        outcome = "ok"
    finally:
        TASKS.labels(task, outcome).observe(time.monotonic() - started)
    return found


def collect() -> Iterable[Metric]:
    """Of all processes of this web server, or of this process where it stands alone."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return registry.collect()
    found: Iterable[Metric] = multiprocess.MultiProcessCollector(None).collect()  # type: ignore[no-untyped-call]
    return found
