"""docs/asvs.md has each requirement of levels 1 and 2 once, and each test that it or a table of docs/security.md names
is one. That a test holds what its row says is read by people."""

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from registry_ui.demo.installation import ROOT

ASVS = (ROOT / "docs" / "asvs.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
LEVELS = dict(
    line.split() for line in (ROOT / "tests" / "project" / "asvs.txt").read_text().splitlines() if line[0] != "#"
)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
BARRIERS = ("Who can still change what is in Production", "What a thief of one thing can do")
"""Tables of docs/security.md whose last column is the test that holds the row."""


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("|") and "---" not in line:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def section(heading: str) -> str:
    return SECURITY.partition(f"\n### {heading}\n")[2].partition("\n### ")[0].partition("\n## ")[0]


JUDGED = [cells for cells in rows(ASVS) if len(cells) == 5 and cells[0] != "id"]
"""id, level, what it asks for, status, tests or why."""
LEFT_OUT = [cells for cells in rows(ASVS.partition("\n## What does not apply\n")[2]) if cells[0] != "ids"]
"""ids, reason."""


@functools.cache
def names_in(path: str) -> frozenset[str]:
    found = ast.walk(ast.parse((ROOT / path).read_text()))
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def test_each_requirement_is_there_once_with_its_level() -> None:
    assert Counter(LEVELS.values()) == {"1": 70, "2": 183}
    left_out = [found for ids, _ in LEFT_OUT for found in ids.split(", ")]
    assert Counter([*(cells[0] for cells in JUDGED), *left_out]) == Counter(LEVELS.keys())
    assert {cells[0]: cells[1] for cells in JUDGED} == {cells[0]: LEVELS[cells[0]] for cells in JUDGED}


def test_each_row_has_a_test_or_a_reason() -> None:
    assert {cells[3] for cells in JUDGED} == {"met", "no test", "not met", "operator"}
    for name, _, asked, status, why in JUDGED:
        assert asked, name
        assert NAMED.search(why) if status == "met" else NAMED.sub("", why).strip(" ,:()"), name
    assert all(why for _, why in LEFT_OUT)


def test_the_summary_counts_the_rows() -> None:
    counted = Counter(cells[3] for cells in JUDGED) + Counter({"not applicable": len(LEVELS) - len(JUDGED)})
    said = {cells[0]: cells[1] for cells in rows(ASVS) if len(cells) == 3 and cells[0] in counted}
    assert said == {status: str(number) for status, number in counted.items()}


@pytest.mark.parametrize("heading", BARRIERS)
def test_each_barrier_names_its_test_or_says_that_there_is_none(heading: str) -> None:
    head, *barriers = rows(section(heading))
    assert head[-1] == "test"
    assert len(barriers) > 10
    for cells in barriers:
        assert len(cells) == len(head), cells[0]
        assert NAMED.search(cells[-1]) or cells[-1] == "no test", cells[0]


@pytest.mark.parametrize("page", [ASVS, SECURITY], ids=["asvs.md", "security.md"])
def test_each_test_that_is_named_is_one(page: str) -> None:
    named = NAMED.findall(page)
    assert len(named) > 20
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []
    assert page.count("::test_") == len(named), "a test is named in another way than `tests/….py::test_…`"
