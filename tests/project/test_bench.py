"""Every part of the benchmark runs, at a small size; what it measures at that size says nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import PARTS
from registry_ui.demo.installation import ROOT

SIZES = ("--versions=500", "--requests=60", "--events=1200", "--small")
ROW = re.compile(r"^\S.* +[\d.]+ \S+ +[\d.]+ \S+ +[\d.]+ ×  ≤ .+ (?:met|NOT MET)$", re.MULTILINE)
FIRST = {
    "mirror": "full mirror of 500 versions",
    "delivery": "approve → MLflow has it",
    "artifacts": "digest of 2 files",
    "gate": "model-versions/get, behind the gate",
    "pages": "page ",
    "ledger": "verify ",
}


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.nodb
def test_every_part_runs_and_prints_its_ratios(tmp_path: Path) -> None:
    """But `queues`, which tests/registry_ui/test_lanes.py runs at its full size."""
    assert {*FIRST, "queues"} == set(PARTS)
    command = [sys.executable, "-m", "bench", "--folder", str(tmp_path / "bench"), *SIZES, *FIRST]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    rows = ROW.findall(done.stdout)
    for part, first in FIRST.items():
        assert any(row.startswith(first) for row in rows), (part, done.stdout)
