"""Which names fit a pattern, and which policy can never apply behind another one. No database."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import covers, matches

PATTERNS = st.text(alphabet="ab*?", max_size=6)
NAMES = [
    "", *"abc", *(x + y for x in "abc" for y in "abc"), *(x + y + z for x in "abc" for y in "abc" for z in "abc"),
    "aaaa", "abab", "bbbb", "cccc", "aabbcc", "acacac", "bcaacb",
]  # fmt: skip


@given(PATTERNS, st.text(alphabet="abc\n", max_size=8))
def test_a_pattern_fits_as_a_regular_expression_would_say(pattern: str, name: str) -> None:
    wild = "".join({"*": ".*", "?": "."}.get(char, char) for char in pattern)
    assert matches(pattern, name) == (re.fullmatch(wild, name, re.DOTALL) is not None)


def test_a_hostile_pattern_takes_no_time() -> None:
    started = time.process_time()
    assert not matches("*a" * 40 + "b", "a" * 256)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("pattern", "other", "does"),
    [
        ("*", "anything", True),
        ("churn_*", "churn_*", True),
        ("churn_*", "churn_predictor", True),
        ("churn_*", "churn_*_eu", True),
        ("churn_*", "churn_?", True),
        ("c*n_*", "churn_*", True),
        ("**", "churn_*", True),
        ("?*", "*a", True),
        ("?*", "*", False),
        ("churn_*", "ch*", False),
        ("churn_?", "churn_*", False),
        ("churn_predictor", "churn_*", False),
        ("*_eu", "churn_*", False),
        ("*a*", "*aa*", True),
        ("*aa*", "*a*", False),
        ("a[b]", "ab", False),
    ],
)
def test_a_pattern_covers_another_one(pattern: str, other: str, does: bool) -> None:
    assert covers(pattern, other) is does


@given(PATTERNS, PATTERNS)
def test_what_covers_fits_every_name_and_what_does_not_misses_one(pattern: str, other: str) -> None:
    missed = [name for name in NAMES if matches(other, name) and not matches(pattern, name)]
    if covers(pattern, other):
        assert missed == []
    elif "*" not in other and len(other) <= 3:  # then every name that can differ is among those tried
        assert missed != []


def test_what_cannot_be_told_is_not_called_covered() -> None:
    started = time.process_time()
    assert not covers("*a" + "?" * 60, "*b" + "?" * 60)
    covers("*a" + "?" * 120 + "*", "*a" + "?" * 130 + "*b")
    assert time.process_time() - started < 5
