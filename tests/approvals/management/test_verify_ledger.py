"""`manage.py verify_ledger`: silent proof, or exit code 1 and the first bad row."""

import io
import subprocess
import sys
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from approvals import ledger
from approvals.models import Action, AuditEvent
from approvals.models.defaults import GENESIS
from tests.approvals.ledger import tampering

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def append(number: int) -> None:
    with transaction.atomic():
        for index in range(number):
            ledger.record(Action.GROUP_CREATED, actor=None, correlation_id=uuid.uuid4(), data={"group": str(index)})


def test_an_intact_ledger_is_counted_and_its_head_named() -> None:
    append(3)
    out = io.StringIO()
    call_command("verify_ledger", stdout=out)
    assert out.getvalue() == f"The ledger is intact: 3 events, head {AuditEvent.objects.get(sequence=3).hash}.\n"


def test_an_empty_ledger_is_intact() -> None:
    out = io.StringIO()
    call_command("verify_ledger", stdout=out)
    assert out.getvalue() == f"The ledger is intact: 0 events, head {GENESIS}.\n"


def test_progress_is_shown_in_a_terminal_only() -> None:
    append(1200)
    terminal, log = Terminal(), io.StringIO()
    call_command("verify_ledger", stdout=io.StringIO(), stderr=terminal)
    call_command("verify_ledger", stdout=io.StringIO(), stderr=log)
    assert "1,000 of 1,200 events verified" in terminal.getvalue()
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda: tampering.alter(2, payload="{}"), r"broken at event 2\. Event 2 was altered"),
        (lambda: tampering.delete(2), r"broken at event 2\. Event 2 is missing; 3 follows 1\."),
        (
            lambda: tampering.alter(2, payload="{}", with_fitting_hash=True),
            r"broken at event 3\. Event 3 does not follow from the one before it\.",
        ),
        (lambda: tampering.delete(4), r"broken at event 4\. The chain ends at event 3 but its head says 4\."),
    ],
)
def test_a_broken_ledger_ends_with_code_1_and_the_first_bad_row(tamper: object, message: str) -> None:
    append(4)
    assert callable(tamper)
    tamper()
    with pytest.raises(CommandError, match=message) as raised:
        call_command("verify_ledger", stdout=io.StringIO())
    assert raised.value.returncode == 1


def test_the_command_line_gives_the_exit_code(tmp_path: object) -> None:
    """The real process on a database without tables: whatever cannot be proved is not called intact."""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite3"}
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_ledger"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "intact" not in done.stdout
