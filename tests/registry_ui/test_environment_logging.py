"""What `configure_logging` makes of an event."""

import json
import subprocess
import sys

import pytest

from registry_ui.demo.installation import ROOT

FORGED = "not known\n2026-01-01T00:00:00Z [info     ] signin.ok person=1"
PROGRAM = """
import sys, structlog
from registry_ui.environment import configure_logging
configure_logging(level="INFO", as_json=sys.argv[1] == "json")
structlog.get_logger("security").info("signin.failed", reason=sys.argv[2])
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_value_makes_no_second_line_and_all_is_on_standard_error(form: str) -> None:
    command = [sys.executable, "-c", PROGRAM, form, FORGED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    if form == "json":
        told = json.loads(line)
        assert (told["event"], told["reason"], told["logger"]) == ("signin.failed", FORGED, "security")
        assert told["timestamp"].endswith("Z")
    else:
        assert "signin.failed" in line
