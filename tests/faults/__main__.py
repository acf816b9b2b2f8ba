"""`make test-faults`: promotions through a real installation whose worker is killed, whose MLflow lies, whose processes
race and whose database is an older backup. Ends with 0 when nothing went wrong, and with 1 otherwise.

MLflow's gate enforces Production; with --unenforced it lets everything pass.

python -m tests.faults [--only kill,lies,race,restore] [--deliveries 60] [--seconds 600] [--seed N] [--keep]
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from registry_ui.demo.processes import Interrupted, Supervisor
from tests.faults import trials
from tests.faults.liar import Liar
from tests.faults.trials import FaultStack, Outcome
from tests.support.mlflow_server import free_port

KINDS = {
    "holder": "wrong holder",
    "fact": "missing or doubled fact",
    "incident": "false incident",
    "stuck": "stuck request",
}
Trial = Callable[[FaultStack], list[Outcome]]


def chosen(options: argparse.Namespace) -> Iterator[tuple[str, Trial]]:
    dice = random.Random(options.seed)
    if "kill" in options.only:
        yield "kill", lambda stack: trials.kill(stack, dice, options.deliveries)
    if "lies" in options.only:
        yield "lies about one thing", trials.lies_about_one
        yield "lies about everything", trials.lies_everywhere
    if "race" in options.only:
        yield "race", lambda stack: trials.race(stack, dice)
    if "restore" in options.only:  # the last: it takes away what the others have made
        yield "restore", trials.restore


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-faults")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["kill", "lies", "race", "restore"])
    parser.add_argument("--deliveries", type=int, default=60, help="of the trial in which the worker is killed")
    parser.add_argument("--seconds", type=float, default=600, help="then no further trial begins")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--unenforced", action="store_true", help="the gate in MLflow lets everything pass")
    parser.add_argument("--keep", action="store_true", help="keeps the folder with the logs")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    folder = Path(tempfile.mkdtemp(prefix="countersign-faults-"))
    print(f"Seed {options.seed}.", flush=True)
    counts = dict.fromkeys(KINDS, 0)
    left_out = 0
    try:
        with (
            Liar(free_port()) as liar,
            Supervisor(folder / "run") as supervisor,
            closing(FaultStack(supervisor, folder, liar)) as stack,
        ):
            stack.start_all()
            if not options.unenforced:
                stack.probe("enforce")
                stack.wait_for_the_gate("enforce")
            print(" " * 44 + "".join(f"{title:>25}" for title in KINDS.values()), flush=True)
            for name, trial in chosen(options):
                if time.monotonic() > deadline:
                    left_out += 1
                    print(f"{name}: not begun, the time is over", flush=True)
                    continue
                for kind, count in run(stack, name, trial).items():
                    counts[kind] += count
    finally:
        if options.keep:
            print(f"Logs: {folder / 'logs'}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(", ".join(f"{title}: {counts[kind]}" for kind, title in KINDS.items()))
    return 1 if any(counts.values()) or left_out else 0


def run(stack: FaultStack, name: str, trial: Trial) -> dict[str, int]:
    """Runs one trial and prints its lines; the counts by kind."""
    started, before = time.monotonic(), stack.probe("incidents")
    try:
        outcomes = trial(stack)
    except Interrupted:
        raise
    except Exception as error:  # whatever stops a trial is told, and the next one runs
        outcomes = [Outcome(name, [], wrong={"stuck": [f"the trial ended early: {error}"]})]
    counts = dict.fromkeys(KINDS, 0)
    for number, outcome in enumerate(outcomes):
        found = {kind: list(outcome.wrong.get(kind, [])) for kind in KINDS}
        if outcome.subjects:
            # Incidents are of the trial as a whole: they are counted in its first line.
            since = before if number == 0 else None
            for kind, problems in stack.probe("audit", stack.mlflow_url, outcome.subjects, since).items():
                found[kind] += problems
        for kind, problems in found.items():
            counts[kind] += len(problems)
        told = f"{outcome.name} ({len(outcome.subjects)}{', ' + outcome.detail if outcome.detail else ''})"
        print(f"{told:<44}" + "".join(f"{len(found[kind]):>25}" for kind in KINDS), flush=True)
        for kind, problems in found.items():
            for problem in problems[:20]:
                print(f"    {KINDS[kind]}: {problem}", flush=True)
    print(f"    {time.monotonic() - started:.0f} s", flush=True)
    return counts


if __name__ == "__main__":
    sys.exit(main())
