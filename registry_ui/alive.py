"""Whether this host's worker or beat lives, for a health check: `python -I registry_ui/alive.py worker`, or `beat`.

Ends with 0 when it does, else with 1 and what is wrong. A check runs every half minute in every container, and a Python
with Django and Celery costs a second of processor time: so this is a file to run, and it imports next to nothing.

Being alive means one thing: the loop that the process is there for goes round. In a worker that is the one that takes
messages from the broker, in beat the one that sends them. Whoever restarts what is not alive mends a hung process, and
only that. So a broker that is away is no reason, and the process says that it looks for it; nor is a database, MLflow
or a mail server, which no restart brings back: `/readyz` and *System* tell of them. A single task that never ends is
not seen here either: its kind of work falls behind (`registry_ui.lanes`), which they tell as well.
"""

import os
import sys
import time
from pathlib import Path

FRESH_SECONDS = 60
"""After this long without a sign, a process counts as hung."""


def folder() -> Path:
    """Where the signs are: in the state folder, which the settings read from the same variables."""
    state = os.environ.get("COUNTERSIGN_STATE_DIR", "").strip()
    if named := os.environ.get("COUNTERSIGN_STATE_DIR_FILE", "").strip():
        state = Path(named).read_text(encoding="utf-8").strip()
    return (Path(state) if state else Path(__file__).resolve().parent.parent / ".countersign") / "alive"


def write(process: str, at: float) -> None:
    """The sign of `process` (a file's name): `at`, by the monotonic clock, which all processes of a host share and
    nobody sets. Raises OSError. Always as many bytes over the same ones, which a full disk takes too."""
    folder().mkdir(parents=True, exist_ok=True)
    file = os.open(folder() / process, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, b"%020.3f" % at, 0)
    finally:
        os.close(file)


def problems(kind: str) -> list[str]:
    """Sentences; none when all processes of the kind that wrote here are alive. Several workers may share a host: each
    has a file, which it removes when it ends in order."""
    signs = sorted(path for path in folder().glob(f"{kind}*") if path.name.partition("-")[0] == kind)
    if not signs:
        return [f"{kind}: no sign of life in {folder()}; it has not started, or it has ended."]
    found = []
    for path in signs:
        try:
            age = time.monotonic() - float(path.read_bytes())
        except (OSError, ValueError) as error:
            found.append(f"{path.name}: {path} cannot be read: {error}")
            continue
        if not 0 <= age <= FRESH_SECONDS:  # below 0: from before the host was started, when the clock began anew
            found.append(f"{path.name}: its loop has not gone round for {abs(age):.0f} seconds, by {path}.")
    return found


def main(words: list[str]) -> int:
    """The exit code; what is wrong goes to standard error."""
    if words not in (["worker"], ["beat"]):
        print("usage: python -I registry_ui/alive.py worker|beat", file=sys.stderr)
        return 2
    found = problems(words[0])
    print("".join(f"{line}\n" for line in found), end="", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
