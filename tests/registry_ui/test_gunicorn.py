"""How the web process is served, as gunicorn itself reads the file."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from registry_ui.demo.installation import ROOT
from registry_ui.demo.processes import Process, Supervisor
from tests.support.mlflow_server import free_port

pytestmark = [pytest.mark.nodb, pytest.mark.slow]

SHARED = Path("/dev/shm")  # noqa: S108
COUNTING = """
import os
from registry_ui.metrics import processes

def application(environ, start_response):
    processes.answered("home", "GET", 200, 0.01)
    found = [s for f in processes.collect() for s in f.samples if s.name.endswith("_count")]
    start_response("200 OK", [])
    return [f"{os.getpid()} {sum(each.value for each in found):.0f}".encode()]
"""
"""Counts its answers, and says which process it is and what all of them have counted."""


ANY = "django.core.wsgi:get_wsgi_application"
"""Something that can be called: with its settings printed, gunicorn loads it too."""


def settings_of(*options: str) -> dict[str, str]:
    command = [sys.executable, "-m", "gunicorn", "--config", "python:registry_ui.gunicorn", "--print-config", *options]
    done = subprocess.run([*command, ANY], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.strip(): value.strip() for name, _, value in (row.partition("=") for row in done.stdout.splitlines())}


def test_it_takes_the_file_as_it_stands_and_the_command_line_goes_before_it() -> None:
    found = settings_of("--workers", "5")
    assert (found["bind"], found["workers"], found["threads"]) == ("['0.0.0.0:8000']", "5", "4")
    assert (found["preload_app"], found["control_socket_disable"], found["accesslog"]) == ("True", "True", "None")
    assert found["worker_tmp_dir"] == "/dev/shm"  # noqa: S108


def test_its_processes_count_together_also_when_one_is_killed_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = SHARED / f"countersign-metrics-{ended.pid}"
    left.mkdir()
    port = free_port()
    options = ["--config", "python:registry_ui.gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    command = [sys.executable, "-m", "gunicorn", *options, "--pythonpath", str(tmp_path), "counting"]
    web = Process("web", command, dict(os.environ), tmp_path / "log", folder=ROOT, is_ready=lambda: listens(port))

    def ask() -> tuple[int, int]:
        """Who answered, and what all have counted."""
        pid, count = requests.get(f"http://127.0.0.1:{port}", timeout=30).text.split()
        return int(pid), int(count)

    with Supervisor(tmp_path / "run") as supervisor:
        supervisor.start(web)
        supervisor.wait_until_ready(web)
        folder = SHARED / f"countersign-metrics-{web.pid}"
        first, count = [ask() for _ in range(5)][-1]
        assert count == 5
        os.kill(first, signal.SIGKILL)
        another, count = ask()
        assert (another != first, count) == (True, 6)
        assert list(folder.glob("histogram_*.db"))
        assert not left.exists(), "what a server that was killed has left"
        supervisor.stop(web)
    assert not folder.exists()


def listens(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0
