"""Each refusal has a code, which programs rely on."""

import ast
import re
from collections import Counter

import pytest

from tests.support.refusals import ROOT, Place, places

FOUND = places()


@pytest.mark.parametrize("place", FOUND, ids=str)
def test_each_refusal_has_a_code_in_so_many_words(place: Place) -> None:
    """Written out where the sentence is, so that a search finds it, and no wording can change it."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", place.code), place


def test_no_function_says_two_things_with_one_code() -> None:
    assert not {place for place, many in Counter(FOUND).items() if many > 1}


MAKES_ITS_OWN = ("approvals/policy/actions.py", "approvals/checks/external.py")
"""The second has another kind of answer."""


def test_all_of_them_are_found() -> None:
    """A refusal is made by `no` alone: nothing else makes an Answer that is not yes."""
    for path in (ROOT / "approvals").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Answer":
                assert path.relative_to(ROOT).as_posix() in MAKES_ITS_OWN
    assert len([place for place in FOUND if place.function == "_may_decide"]) > 5
