"""Calls of a module's functions in the environment of an installation: one process answers many, because to start
Django costs ten times what most of them do. One line of JSON asks, one answers."""

import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Probes:
    """`module` is run with `-m` and ends in `main(globals())`. The process starts with the first call."""

    def __init__(self, module: str, folder: Path) -> None:
        self.module, self.folder = module, folder
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def call(self, environment: Mapping[str, str], name: str, *arguments: object) -> Any:
        """What the function `name` returns; RuntimeError with its traceback when it fails."""
        with self._one_at_a_time:
            return self._call(environment, name, arguments)

    def _call(self, environment: Mapping[str, str], name: str, arguments: tuple[object, ...]) -> Any:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                env=dict(environment),
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        asks, answers = self._process.stdin, self._process.stdout
        if asks is None or answers is None:
            raise RuntimeError("The process of the probes has no pipes.")
        asks.write(json.dumps([name, arguments]) + "\n")
        asks.flush()
        answer = json.loads(answers.readline() or '{"failure": "its process ended"}')
        if "failure" in answer:
            raise RuntimeError(f"{name} failed:\n{answer['failure']}")
        return answer["result"]

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=30)
            self._process = None


def main(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Answers until its input ends, or runs the one function that the command line names, which may never return."""
    import django
    from django.db import connections

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_ui.settings")
    django.setup()
    if sys.argv[1:]:
        functions[sys.argv[1]](*map(json.loads, sys.argv[2:]))
        return
    answers, sys.stdout = sys.stdout, sys.stderr  # what a function prints is no answer
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"result": functions[name](*arguments)}
        except Exception:
            answer = {"failure": traceback.format_exc()}
        connections.close_all()  # the database may be stopped, or replaced by a copy, before the next
        print(json.dumps(answer), file=answers, flush=True)
