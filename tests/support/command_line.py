"""`countersign` as a process, without what this machine's environment would tell it."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from registry_ui.demo.installation import ROOT

Command = Callable[..., "subprocess.CompletedProcess[str]"]

PYTHON = os.environ.get("CLIENT_PYTHON", sys.executable)
"""Another one shows that the command runs there: CLIENT_PYTHON=/path/to/python3.9, with click and requests."""

FOREIGN = ("COUNTERSIGN_", "GITHUB_", "CI_", "ACTIONS_", "MLFLOW_", "BUILD", "CIRCLE_", "BITBUCKET_")


def clean_environment(**more: str) -> dict[str, str]:
    """This process's, without what the command reads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    packages = (str(ROOT / "packages" / name) for name in ("countersign", "mlflow_gate"))
    return {**kept, "PYTHONPATH": os.pathsep.join(packages), **more}


def started(*words: Any, **environment: str) -> "subprocess.Popen[str]":
    """Begins it and does not wait for its end."""
    return subprocess.Popen(
        [PYTHON, "-m", "countersign", *map(str, words)],
        env=clean_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(*words: Any, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs it to its end, at most a minute."""
    return subprocess.run(
        [PYTHON, "-m", "countersign", *map(str, words)],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
