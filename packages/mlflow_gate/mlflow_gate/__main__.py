"""`python -m mlflow_gate`: what the gate enforces here, the operator's way past it, and the doctor, who tries it.

`policy` and `open` are for MLflow's own host and read the environment that its server has; `doctor` is for anybody.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Sequence

from mlflow_gate import __version__, opening, source
from mlflow_gate.doctor import Doctor
from mlflow_gate.policy import ENFORCE, UNKNOWN, Policy
from mlflow_gate.settings import Settings

AS_MEANT, OTHERWISE, NOT_SEEN = 0, 1, 2
"""Exit codes. `policy`: it enforces, it does not; `doctor`: nothing is open, something is; both: it cannot be told."""


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlflow_gate", description="The gate of Countersign in MLflow.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    commands.add_parser("policy", help="what the gate enforces here, and since when it knows")

    opens = commands.add_parser("open", help="let all through for some minutes, and have it reviewed afterwards")
    opens.add_argument("--minutes", type=int, help=f"from now on, at most {opening.LONGEST}")
    opens.add_argument("--reason", help="why; Countersign shows it to who reviews it")
    opens.add_argument("--close", action="store_true", help="shut the gate before its time")

    tries = commands.add_parser("doctor", help="try as an engineer what must be refused, and what must go on")
    tries.add_argument("url", help="address of MLflow, as engineers use it")
    tries.add_argument("--user", default=os.environ.get("MLFLOW_TRACKING_USERNAME", ""), help="who to be there")

    given = parser.parse_args(words)
    if given.command == "doctor":
        return doctor(given.url, given.user)
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        return _complain(f"{error} Run this where MLflow's server runs, with its environment.")
    if given.command == "policy":
        return show(settings)
    if given.close:
        return close(settings)
    if given.minutes is None or given.reason is None:
        opens.error("say for how many --minutes and for which --reason, or --close")
    return let_through(settings, given.minutes, given.reason)


# --- policy


def show(settings: Settings) -> int:
    """What the processes of the server know when they start, and what Countersign says now."""
    known = _kept(settings)
    current = opening.standing(settings)
    print(f"The MLflow {settings.audience!r} of {settings.site}, gate {__version__}, set to {settings.mode}.")
    if current:
        left = (current.until - time.time()) / 60
        print(f"It is OPEN until {_moment(current.until)}, {left:.0f} more minutes, by {current.who}: {current.reason}")
    print(_asked(settings, known))
    print()
    for rule in known.rules:
        models = ", ".join(rule.models) + (f" except {', '.join(rule.excepted)}" if rule.excepted else "")
        places = ", ".join(place.replace("stage:", "").replace("alias:", "@") for place in rule.places)
        print(f"  {rule.mode:8} {places:24} of {models}: {rule.words}")
    print(f"  {len(known.sealed)} folders of files are sealed.")
    enforces = known.serial and settings.mode_now() == ENFORCE and any(rule.mode == ENFORCE for rule in known.rules)
    return AS_MEANT if enforces else OTHERWISE


def _kept(settings: Settings) -> Policy:
    try:
        known = source.checked(settings, source.Signed.read(settings.state))
        kept = _moment(settings.state.stat().st_mtime)
        print(f"Policy {known.serial}, as of {known.issued_at}, is kept in {settings.state} since {kept}.")
        return known
    except FileNotFoundError:
        print(f"No policy is kept in {settings.state}: what could be a place is closed, and no files are sealed.")
    except (OSError, ValueError) as error:
        print(f"The policy in {settings.state} does not count: {error} What could be a place is closed.")
    return UNKNOWN


def _asked(settings: Settings, known: Policy) -> str:
    try:
        found = source.fetch(settings)
        if found is None:
            return f"{settings.policy} gave no policy."
        serial = source.checked(settings, found, at_least=known.serial).serial
    except (OSError, ValueError) as error:
        return f"{settings.policy} cannot be asked now: {error}"
    return f"{settings.policy} says the same." if serial == known.serial else f"{settings.policy} has policy {serial}."


# --- open


def let_through(settings: Settings, minutes: int, reason: str) -> int:
    """Opens the gate for all processes of the server on this host."""
    who = os.environ.get("SUDO_USER") or getpass.getuser()
    try:
        made = opening.begin(settings, minutes=minutes, reason=reason, who=who)
    except (OSError, ValueError) as error:
        return _complain(str(error))
    print(
        f"The gate is open until {_moment(made.until)}: what it would refuse goes on, and Countersign is told of each."
    )
    if not settings.state.exists():
        where = f"no server has kept a policy in {settings.state}"
        print(f"But {where}: is COUNTERSIGN_GATE_STATE the one of MLflow's server, and this its user?")
    if opening.tell(settings):
        print("Countersign knows.")
    else:
        print("Countersign cannot be reached; MLflow's server tells it as soon as it can be.")
    print("Shut it earlier with: python -m mlflow_gate open --close")
    return AS_MEANT


def close(settings: Settings) -> int:
    """Shuts it at once."""
    try:
        ended = opening.end(settings)
    except OSError as error:
        return _complain(str(error))
    print("The gate is shut." if ended else "The gate was not open.")
    return AS_MEANT


# --- doctor


def doctor(url: str, user: str) -> int:
    """Asks for the password, unless MLFLOW_TRACKING_PASSWORD has it."""
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user and not password:
        password = getpass.getpass(f"Password of {user} in MLflow: ")
    try:
        report = Doctor(url, user=user, password=password).examine()
    except (OSError, ValueError) as error:
        return _complain(f"MLflow at {url} cannot be tried: {error}")
    print(report.text)
    if report.is_open:
        return OTHERWISE
    return AS_MEANT if report.is_certain else NOT_SEEN


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _complain(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return NOT_SEEN


if __name__ == "__main__":
    sys.exit(main())
