"""Metrics of record: how a tolerance is written, whose word goes first, what makes no sense. No database."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals import policy
from approvals.policy import MetricRule, Rule, SlotRule


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("", ""),
        (" ", ""),
        ("0", ""),
        ("0 %", ""),
        ("0.50%", "0.5 %"),
        (" 2 % ", "2 %"),
        ("0.002", "0.002"),
        (".5", "0.5"),
        ("10", "10"),
        ("1e-3", "0.001"),
        ("2e-7", "2e-07"),
    ],
)
def test_a_tolerance_is_an_amount_or_a_percentage(written: str, kept: str) -> None:
    assert policy.read_tolerance(written) == kept
    assert policy.read_tolerance(kept) == kept


@pytest.mark.parametrize("written", ["-1", "0,5", "5 percent", "%", "nan", "inf", "1e", "1 % 2", "0x1", "½", "1" * 13])
def test_what_is_no_tolerance_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="no tolerance"):
        policy.read_tolerance(written)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        kept = policy.read_tolerance(text)
    except ValueError:
        return
    assert policy.read_tolerance(kept) == kept
    assert MetricRule("auc", tolerance=kept).allowed(2.0) >= 0


def test_a_percentage_is_of_the_champions_value() -> None:
    assert MetricRule("auc", tolerance="0.5 %").allowed(-200.0) == 1.0
    assert MetricRule("auc", tolerance="0.5").allowed(-200.0) == 0.5
    assert MetricRule("auc").allowed(-200.0) == 0.0


def test_the_policys_word_goes_before_the_models() -> None:
    strict, loose = MetricRule("auc", tolerance="0.1 %"), MetricRule("auc", tolerance="5 %")
    own = MetricRule("recall")
    assert policy.merged_metrics([strict], [own, loose]) == (strict, own)
    assert policy.merged_metrics([], [own, loose]) == (own, loose)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ([MetricRule("")], "a name of 1 to"),
        ([MetricRule("x" * 251)], "a name of 1 to"),
        ([MetricRule("auc"), MetricRule("auc", tolerance="1 %")], "auc is named twice"),
        ([MetricRule("auc", better="up")], "higher or lower"),
        ([MetricRule("auc", tolerance="much")], "a number such as 0.002"),
        ([MetricRule("auc", tolerance="101 %")], "more than 100 %"),
        ([MetricRule(f"m{n}") for n in range(21)], "20 metrics of record at most"),
    ],
)
def test_what_makes_no_sense_is_said(metrics: list[MetricRule], words: str) -> None:
    assert words in " ".join(policy.problems_of(Rule("*", (SlotRule(1),), metrics=tuple(metrics))))


@pytest.mark.parametrize("metrics", [(), (MetricRule("auc", "higher", "0.5 %"), MetricRule("*", tolerance="1 %"))])
def test_a_rule_keeps_its_metrics_as_plain_data(metrics: Any) -> None:
    rule = Rule("*", (SlotRule(1),), metrics=metrics)
    assert Rule.from_json(rule.as_json()) == rule


def test_a_rule_without_metrics_is_written_as_before_there_were_any() -> None:
    """So documents that were signed then keep their fingerprint."""
    assert "metrics" not in Rule("*", (SlotRule(1),)).as_json()
