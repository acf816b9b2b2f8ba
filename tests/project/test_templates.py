"""Templates: what djLint finds, and lines that a reader can follow without scrolling."""

import subprocess
import sys
from pathlib import Path

import pytest

from registry_ui.demo.installation import ROOT

pytestmark = pytest.mark.nodb

LONGEST = 140


def lint(*paths: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("djlint")
    return subprocess.run(
        [program, *paths, "--lint", "--quiet", "--configuration", ROOT / "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_the_linter_finds_nothing() -> None:
    done = lint(ROOT / "templates")
    assert done.returncode == 0, done.stdout


def test_the_linter_finds_a_tag_that_spans_lines(tmp_path: Path) -> None:
    """Django would print it as text."""
    page = tmp_path / "page.html"
    page.write_text("<p>{% include 'a.html'\n  with b=1 %}</p>\n")
    done = lint(page)
    assert done.returncode == 1
    assert "D058" in done.stdout


def test_no_line_is_longer_than_a_reader_sees() -> None:
    paths = [path for path in (ROOT / "templates").rglob("*") if path.is_file()]
    assert paths
    long = [
        f"{path.relative_to(ROOT)}:{number}: {len(line)}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > LONGEST
    ]
    assert long == []
