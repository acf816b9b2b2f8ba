"""The script that makes .venv: one line a step, and what the installer writes in a log that an error names."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from registry_ui.demo.installation import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.nodb]


@pytest.fixture
def run(tmp_path: Path) -> "Runner":
    (tmp_path / "tools").mkdir()
    for name in ("venv.sh", "install.py", "uv.txt"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    return Runner(tmp_path)


class Runner:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, lock: str) -> "subprocess.CompletedProcess[str]":
        (self.folder / "lock.txt").write_text(lock)
        return subprocess.run(
            ["sh", "tools/venv.sh", "lock.txt"],
            cwd=self.folder,
            env=os.environ | {"PIP_NO_INDEX": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def test_a_line_a_step_and_an_error_that_names_the_log(run: Runner) -> None:
    done = run("# nothing to install\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line[:5] for line in done.stdout.splitlines()] == ["  · M", "  · I", "  ✓ 0"]
    failed = run(f"no-such-package==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    assert failed.returncode == 1
    assert failed.stdout.splitlines() == ["  · Installing 1 pinned packages from lock.txt …"]
    assert "No matching distribution found for no-such-package==1.0" in failed.stderr
    assert "All that the installer wrote: .venv/install.log" in failed.stderr
    assert "no-such-package" in (run.folder / ".venv" / "install.log").read_text()
