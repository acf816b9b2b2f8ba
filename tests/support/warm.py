"""MLflow imported once. A start of `mlflow server` takes ten seconds of processor time, nine of them for imports, in
two processes. Here a server is a fork of a process that has them, and does the same from there on."""

import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO, cast

from prometheus_client import REGISTRY

from registry_ui.demo.processes import Process, Supervisor

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.warmed"])
STORE = "sqlite:///"
WRITING = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class Forked:
    """`python -m mlflow server …` in a process group of its own; of subprocess.Popen, what a server needs."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        arguments = [*command], {**environment}, str(folder), str(log)
        self._process = CONTEXT.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("mlflow server", timeout or 0)
        return self._process.exitcode


class WarmSupervisor(Supervisor):
    """Its MLflow is a fork; everything else is started as people do."""

    def _open(self, process: Process, out: BinaryIO) -> "subprocess.Popen[bytes]":
        if process.name != "MLflow":
            return super()._open(process, out)
        forked = Forked(process.command, process.environment, process.folder or Path(), process.output)
        return cast("subprocess.Popen[bytes]", forked)


def _run(command: Sequence[str], environment: Mapping[str, str], folder: str, log: str) -> None:
    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(log, WRITING), number)
    for name in (word.partition(STORE)[2] for word in command):
        if name and not Path(name).exists():
            Path(name).write_bytes(import_module("tests.support.warmed").EMPTY_DATABASE)
    os.environ.clear()
    os.environ.update(environment)
    import mlflow.server

    mlflow.server._exec_cmd = _run_server
    sys.argv = ["mlflow", *command[3:]]
    runpy.run_module("mlflow", run_name="__main__")


def _run_server(command: Sequence[str], extra_env: Mapping[str, str], **_: object) -> Any:
    """What the first process starts another one for."""
    os.environ.update(extra_env)
    for name in [each for each in sys.modules if f"{each}.".startswith(("mlflow.server.", "mlflow_gate."))]:
        del sys.modules[name]  # they read the environment when they are imported
    for each in [*REGISTRY._collector_to_names]:
        REGISTRY.unregister(each)  # its counters make themselves known when it is imported
    _, _, module, *options = command  # python -m uvicorn …, or gunicorn
    sys.argv = [module, *options]
    runpy.run_module(module, run_name="__main__")
