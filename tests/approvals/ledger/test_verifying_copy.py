"""A copy of the database file, without its triggers, in the hands of somebody with a database tool; and the command, as
a process of its own, with the checkpoints that were kept elsewhere."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from approvals.models import Target
from tests.approvals.ledger import ledger_history
from tests.approvals.ledger.ledger_history import SEED

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.nodb,  # it is about the one file that SQLite is, so the run on PostgreSQL leaves it out
    pytest.mark.skipif(connection.vendor != "sqlite", reason="A database of PostgreSQL is not one file."),
]


def copy_to(path: Path) -> sqlite3.Connection:
    """What the test has written so far, as a file that can be altered."""
    connection.ensure_connection()
    copied = sqlite3.connect(path)
    copied.executescript("\n".join(connection.connection.iterdump()))
    for (name,) in copied.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        copied.execute(f"DROP TRIGGER {name}")
    return copied


EACH_IN_A_PROCESS = """
import os, sys
import django
from django.core.management import call_command, execute_from_command_line
from django.db import connections

django.setup()
call_command("check")
checkpoints, *paths = sys.argv[1:]
for path in paths:
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        continue
    said = os.open(f"{path}.said", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    connections.databases["default"]["NAME"] = path
    del connections["default"]
    execute_from_command_line(["manage.py", "verify_ledger", "--checkpoint", checkpoints])
    sys.exit()
"""
"""All of them begin with what one process has imported, which takes longer than to verify."""


def verify(paths: list[Path], checkpoints: Path) -> list[tuple[int, str]]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": "sqlite:////nowhere",
        "COUNTERSIGN_CHECKPOINT_KEY": ledger_history.base64_of(SEED),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-c", EACH_IN_A_PROCESS, str(checkpoints), *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    codes = [int(line) for line in done.stdout.splitlines() if line.isdigit()]
    return [(code, Path(f"{path}.said").read_text()) for code, path in zip(codes, paths, strict=True)]


def test_what_is_done_to_a_copy_is_found_by_the_command(
    production: Target, settings: Any, rita: User, remy: User, rosa: User, tmp_path: Path
) -> None:
    history = ledger_history.make(production, settings, by=rita, people=[remy, rosa])
    kept = history.kept(tmp_path)
    cut_off = (
        "DELETE FROM approvals_auditevent WHERE sequence > 8; UPDATE approvals_chainhead SET (sequence, hash) ="
        " (SELECT sequence, hash FROM approvals_auditevent ORDER BY sequence DESC LIMIT 1)"
    )
    cases = {
        "SELECT 1": (0, "The ledger is intact"),
        "UPDATE approvals_auditevent SET actor_label = 'Mallory' WHERE sequence = 3": (1, "Event 3 was altered"),
        "DELETE FROM approvals_auditevent WHERE sequence = 4": (1, "at event 4. Event 4 is missing; 5 follows 3."),
        "DELETE FROM approvals_auditevent": (1, "at event 1. The chain ends at event 0"),
        cut_off: (1, "the ledger ends at event 8: its end was cut off"),
        "UPDATE approvals_review SET reviewer_id = (SELECT max(reviewer_id) + min(reviewer_id) FROM approvals_review)"
        " - reviewer_id": (1, "names another reviewer than event"),
    }
    paths = [tmp_path / f"copy{number}.sqlite3" for number in range(len(cases))]
    for path, statements in zip(paths, cases, strict=True):
        copied = copy_to(path)
        copied.execute("DROP INDEX one_live_review_per_person_and_request")
        copied.executescript(statements)
        copied.close()
    for (statements, (code, said)), answer in zip(cases.items(), verify(paths, kept), strict=True):
        assert (answer[0], said in answer[1]) == (code, True), (statements, answer)
