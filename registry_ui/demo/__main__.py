"""`python -m registry_ui.demo`: starts everything, fills it the first time, and keeps it running until Ctrl-C.

Ports, secret key and broker are settled here first, so Django is only loaded in the processes that it starts.
"""

import argparse
import os
import shutil
import signal
import sys
import time

from registry_ui.demo.console import Console
from registry_ui.demo.installation import ROOT, CannotStart, Installation, answers
from registry_ui.demo.processes import Interrupted, ProcessError, Supervisor, exclusive

PASSWORD = "countersign-demo"  # noqa: S105  printed on the screen; the demo listens on this machine alone


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--reset", action="store_true", help="remove everything that the demo has stored, and end")
    options = parser.parse_args()
    console = Console()
    try:
        installation = Installation.from_environment()
        installation.prepare()
        with exclusive(installation.folder / "lock") as is_alone:
            if not is_alone:
                raise CannotStart("The demo runs already. Stop it with Ctrl-C where it was started.")
            if options.reset:
                return reset(installation, console)
            return run(installation, console)
    except CannotStart as problem:
        console.say(f"\n{problem}")
        return 1


def run(installation: Installation, console: Console) -> int:
    supervisor = Supervisor(installation.folder / "run", say=lambda text: console.say(f"  ! {text}"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.interrupt)
    try:
        with supervisor:
            try:
                start(installation, supervisor, console)
                console.say(welcome(installation))
                supervisor.watch()
            except Interrupted:
                console.say("\nStopping.")
            finally:
                stop(supervisor, console)
    except ProcessError as problem:
        console.say(f"\n{problem}\n\nEverything that was started is stopped. The logs: {shown(installation.logs)}")
        return 1
    console.say("Everything is stopped. `make demo` continues from here; `make demo-reset` starts afresh.")
    return 0


def start(installation: Installation, supervisor: Supervisor, console: Console) -> None:
    console.say(f"Countersign demo, in {shown(installation.folder)}\n")
    for name in supervisor.end_leftovers():
        console.say(f"  ! {name} was still running from an earlier time. It is stopped.")
    installation.check_ports()
    mlflow = installation.mlflow_server()
    supervisor.start(mlflow)  # the slowest to start; the rest does not wait for it
    with console.step("Broker") as step:
        if program := installation.redis:
            redis = installation.redis_server(program)
            supervisor.start(redis)
            supervisor.wait_until_ready(redis)
            step.label = "Broker: redis-server on a private socket"
        else:
            step.label = "Broker: a folder, because redis-server is not on the PATH"
    with console.step("Database: SQLite, migrated"):
        supervisor.run(installation.manage("Migrate", "migrate", "--no-input"))
    with console.step("Static files"):
        if not installation.has_current_static_files():
            supervisor.run(installation.manage("Collectstatic", "collectstatic", "--no-input"))
    web = installation.web()
    supervisor.start(web)
    with console.step(f"MLflow at {installation.mlflow_url}"):
        supervisor.wait_until_ready(mlflow)
    with console.step(f"Web server at {installation.url}"):
        supervisor.wait_until_ready(web)
    seeded = installation.folder / "seeded"
    seed = ("demo", "--password", PASSWORD)
    if not seeded.exists():  # before the worker's first look: what is in place then was held before the gate
        supervisor.run(installation.signing(installation.manage("Models", *seed, "--before-the-gate", is_shown=True)))
    elif seeded.read_text() not in ("", installation.mlflow_url):
        supervisor.run(installation.manage("Registry", *seed, "--moved", is_shown=True))
    with console.step("Worker and beat: the mirror is filled"):
        supervisor.start(installation.beat())
        supervisor.start(installation.worker())
        wait_until_well(installation, supervisor)
    if not seeded.exists():
        supervisor.run(installation.manage("Seeding", *seed, is_shown=True))
    seeded.write_text(installation.mlflow_url)


def wait_until_well(installation: Installation, supervisor: Supervisor, *, seconds: float = 60) -> None:
    """Until /readyz finds nothing wrong: database, broker, MLflow, a fresh mirror and an outbox that moves."""
    deadline = time.monotonic() + seconds
    while not answers(f"{installation.url}/readyz?strict=1", timeout=10):
        if time.monotonic() > deadline:
            worker = next(process for process in supervisor.processes if process.name == "Worker")
            problem = f"The worker has not filled the mirror within {seconds:.0f} seconds."
            raise ProcessError(f"{problem} Its last words:{worker.last_lines()}")
        supervisor.tend()
        time.sleep(0.1)


def stop(supervisor: Supervisor, console: Console) -> None:
    for process in reversed(supervisor.processes.copy()):
        with console.step(f"{process.name} stopped"):
            supervisor.stop(process)


def reset(installation: Installation, console: Console) -> int:
    with Supervisor(installation.folder / "run") as supervisor:
        supervisor.end_leftovers()
    shutil.rmtree(installation.folder)
    console.say(f"{shown(installation.folder)} is removed.")
    return 0


def shown(path: os.PathLike[str]) -> str:
    return os.path.relpath(path) if str(path).startswith(str(ROOT)) else str(path)


def welcome(installation: Installation) -> str:
    return f"""
────────────────────────────────────────────────────────────────────────────────
  Countersign  {installation.url}
  MLflow       {installation.mlflow_url}

  Sign in with one of these and the password  {PASSWORD}

    rita@example.com   requests promotions (ML engineer)
    remy@example.com   reviews
    rosa@example.com   reviews, and belongs to the group risk
    otto@example.com   rolls back, and promotes in an emergency
    vera@example.com   reads and exports the history (auditor)
    ada@example.com    manages people, targets and policies (administrator)

  Try first
    1. Sign in as Rita. The overview offers lead_scoring version 3, which no one has
       requested yet: request its promotion.
    2. Sign in as Remy in a private window. churn_predictor version 7 waits in the
       inbox: compare it with version 6 and approve it.
    3. Sign in as Rosa and approve it, too. Watch the page: the worker moves
       version 7 to Production and names both of you in MLflow.
    4. Sign in as Otto: roll churn_predictor back to the version that held
       Production before.
    5. demand_forecast version 2 was rejected, and then changed outside Countersign:
       it is in Production. Sign in as Remy, open the red notice and resolve it.
    6. In MLflow's own pages, give credit_risk version 1 the alias champion: it is
       refused, with the address where to request it. The refusal is shown on the
       page of that version here.
    7. Sign in as Vera: History has the ledger, time travel and the audit.

  Ctrl-C stops everything. The logs are in {shown(installation.logs)};
  worker.log has the mails, which are printed there and not sent.
────────────────────────────────────────────────────────────────────────────────
"""


if __name__ == "__main__":
    sys.exit(main())
