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


def verify(path: Path, checkpoints: Path) -> tuple[int, str]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": f"sqlite:///{path}",
        "COUNTERSIGN_CHECKPOINT_KEY": ledger_history.base64_of(SEED),
    }
    command = [sys.executable, "manage.py", "verify_ledger", "--checkpoint", str(checkpoints)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


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
    for number, (statements, (code, said)) in enumerate(cases.items()):
        path = tmp_path / f"copy{number}.sqlite3"
        copied = copy_to(path)
        copied.execute("DROP INDEX one_live_review_per_person_and_request")
        copied.executescript(statements)
        copied.close()
        answer = verify(path, kept)
        assert (answer[0], said in answer[1]) == (code, True), (statements, answer)
