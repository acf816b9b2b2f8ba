"""The line above the evidence: what it says, and when it is calm."""

from types import SimpleNamespace
from typing import Any

import pytest

from approvals.models import Outcome
from approvals.views import decision_line
from approvals.views.decision_line import Mark
from approvals.views.evidence_summary import CODE, CUTOFF, Origin

pytestmark = pytest.mark.nodb


def state(*outcomes: str, overridden: int = 0) -> Any:
    """With checks of these outcomes, the last of which were overridden."""
    checks = [SimpleNamespace(outcome=Outcome(each), overridden_at=None) for each in outcomes]
    checks += [SimpleNamespace(outcome=Outcome.FAIL, overridden_at="then") for _ in range(overridden)]
    return SimpleNamespace(checks=checks)


def summary(*, cutoff: tuple[str, str] = ("", ""), code: tuple[str, str] = ("", ""), tally: str = "") -> Any:
    """Challenger's and champion's; "" is not known."""
    origins = {
        name: Origin(name, *values, is_changed=values[0] != values[1], is_hash=False)
        for name, values in {CUTOFF: cutoff, CODE: code}.items()
    }
    return SimpleNamespace(origins=origins, tally=tally, has_worse="worse" in tally)


@pytest.mark.parametrize(
    ("now", "words", "colour"),
    [
        (state(), "No checks", "grey"),
        (state("pass", "pass"), "Checks passed", "green"),
        (state("pass", "warn"), "1 check warned", "amber"),
        (state("fail", "fail", "warn"), "2 checks failed, 1 check warned", "red"),
        (state("pass", overridden=1), "1 check overridden", "amber"),
        (state("pass", "waiting"), "1 check waiting", "blue"),
        (state("warn", "waiting"), "1 check warned, 1 check waiting", "amber"),
    ],
)
def test_checks_are_calm_only_when_none_needs_a_look(now: Any, words: str, colour: str) -> None:
    mark = decision_line.checks(now)
    assert (mark.words, mark.colour) == (words, colour)
    assert mark.is_calm is (colour in ("grey", "green"))


def said(found: Any) -> list[str]:
    return [mark.words for mark in decision_line.evidence(found)]


def test_the_evidence_is_said_in_a_few_words() -> None:
    assert said(summary(tally="2 better", cutoff=("2026-10-31", "2026-06-30"), code=("b1", "a1"))) == [
        "2 better",
        "Data to 31 October 2026",
        "Code changed",
    ]
    assert said(summary(cutoff=("2026-10-31T12:00:00Z", "2026-10-31T12:00:00Z"), code=("a1", "a1"))) == [
        "Data to 31 October 2026, as before",
        "Same code",
    ]
    assert said(summary(cutoff=("third quarter", ""), code=("a1", ""))) == ["Data to third quarter", "Code changed"]
    assert said(summary(cutoff=("x" * 100, ""))) == [f"Data to {'x' * 24}…", "Code not known"]
    assert said(summary()) == ["Data cutoff not known", "Code not known"]


def test_a_loss_is_not_green() -> None:
    marks = {mark.words: mark for mark in decision_line.evidence(summary(tally="1 worse, 3 better"))}
    assert marks["1 worse, 3 better"] == Mark("1 worse, 3 better", "scale", "amber", "metrics")
