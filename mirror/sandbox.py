"""Has files of others parsed in a process of its own, with limits of time and memory: `packaging.py` run as a program.
For `inspection` and `exhibits`.

One at a time in each worker, and what was parsed last is remembered by its bytes: however many requests want the same
file, it is parsed once, and never by two threads.
"""

import base64
import hashlib
import json
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from mirror import packaging

SECONDS = 20
REMEMBERED = 32
TOO_MUCH = "needs more time or memory than a file of its size should, so it was not read."

_one_at_a_time = Lock()
_answers: "OrderedDict[str, Any]" = OrderedDict()


def described(texts: Mapping[str, bytes]) -> tuple[dict[str, Any] | None, str]:
    """As `packaging.read`, with a sentence where the limits were met."""
    found = _ask("read", texts)
    return (None, f"The MLmodel file {TOO_MUCH}") if found is None else (found[0], found[1])


def is_table(content: bytes) -> bool:
    """As `packaging.is_table`; False where the limits were met."""
    return bool(_ask("is_table", {"": content}))


def _ask(question: str, texts: Mapping[str, bytes]) -> Any:
    told = json.dumps([question, {name: base64.b64encode(text).decode() for name, text in texts.items()}]).encode()
    key = hashlib.sha256(told).hexdigest()
    with _one_at_a_time:
        if key in _answers:
            return _answers[key]
        found = _run(told)
        if found is not None:
            _answers[key] = found
        if len(_answers) > REMEMBERED:
            _answers.popitem(last=False)
        return found


def _run(told: bytes) -> Any:
    """The program's answer; None where it met a limit. Nothing of the worker's environment goes with it."""
    command = [sys.executable, "-I", packaging.__file__]
    try:
        done = subprocess.run(command, input=told, capture_output=True, timeout=SECONDS, env={}, check=True)
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
