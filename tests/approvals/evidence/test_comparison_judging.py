"""Better, worse, within tolerance, the same, or not comparable. No database."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.evidence.comparison import Judgement, Tally, judge
from approvals.policy import MetricRule

TINY = 5e-324


@pytest.mark.parametrize(
    ("challenger", "champion", "tolerance", "judgement"),
    [
        (0.91, 0.90, "", "better"),
        (0.89, 0.90, "", "worse"),
        (0.90, 0.90, "", "the same"),
        (0.1 + 0.2, 0.3, "", "the same"),
        (0.895, 0.9, "0.005", "within tolerance"),  # just the tolerance
        (0.905, 0.9, "0.005", "within tolerance"),
        (0.8949, 0.9, "0.005", "worse"),
        (0.9051, 0.9, "0.005", "better"),
        (0.8982, 0.9, "0.2 %", "within tolerance"),
        (0.898, 0.9, "0.2 %", "worse"),
        (-0.8982, -0.9, "0.2 %", "within tolerance"),  # of the champion's size, whatever its sign
        (-0.95, -0.9, "0.2 %", "worse"),
        (0.9, 0.9, "5 %", "the same"),
        # A champion of zero: a share of it is nothing, an amount is what it says.
        (0.001, 0.0, "50 %", "better"),
        (-0.001, 0.0, "50 %", "worse"),
        (-0.001, 0.0, "0.002", "within tolerance"),
        (0.0, 0.0, "50 %", "the same"),
        (0.0, -0.0, "", "the same"),
        # Numbers at the edge of floats.
        (TINY, 0.0, "", "better"),
        (TINY, 0.0, "50 %", "better"),
        (1e-300, 2e-300, "1 %", "worse"),
        (1.99e-300, 2e-300, "1 %", "within tolerance"),
        (1.7e308, -1.7e308, "1 %", "better"),
        (1.6e308, 1.7e308, "100 %", "within tolerance"),
        # What is no number is not the same as itself, and never 0.
        ("NaN", 0.9, "100 %", "not comparable"),
        (0.9, "NaN", "100 %", "not comparable"),
        ("NaN", "NaN", "", "not comparable"),
        ("NaN", 0.0, "1", "not comparable"),
        (math.nan, 0.0, "1", "not comparable"),
        ("Infinity", "Infinity", "", "not comparable"),
        ("Infinity", 0.9, "", "not comparable"),
        (0.9, "-Infinity", "", "not comparable"),
        (1.7976931348623157e308, 0.9, "", "not comparable"),  # as MLflow stores infinity
        (None, 0.9, "100 %", "not comparable"),
        (0.9, None, "", "not comparable"),
        (None, None, "", "not comparable"),
    ],
)
def test_judgement(
    challenger: float | str | None, champion: float | str | None, tolerance: str, judgement: str
) -> None:
    rule = MetricRule("auc", tolerance=tolerance)
    allowed = rule.allowed(champion) if isinstance(champion, float) else 0.0
    assert judge(challenger, champion, upward=True, allowed=allowed).words == judgement


def test_which_way_is_better_turns_it_round_and_unknown_is_unjudged() -> None:
    assert judge(1.0, 2.0, upward=False) == Judgement.BETTER
    assert judge(1.0, 2.0, upward=None) == Judgement.UNJUDGED
    assert judge(1.0, 2.0, upward=None, allowed=1.0) == Judgement.WITHIN
    assert judge(2.0, 2.0, upward=None) == Judgement.SAME


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(numbers, numbers, st.floats(min_value=0, max_value=1e300), st.booleans())
def test_it_is_the_other_way_round_from_the_other_side(one: float, two: float, allowed: float, upward: bool) -> None:
    turned = {Judgement.BETTER: Judgement.WORSE, Judgement.WORSE: Judgement.BETTER}
    found = judge(one, two, upward=upward, allowed=allowed)
    assert judge(two, one, upward=upward, allowed=allowed) == turned.get(found, found)
    assert judge(one, two, upward=not upward, allowed=allowed) == turned.get(found, found)


@given(numbers, numbers, st.floats(min_value=0, max_value=1e300), st.floats(min_value=0, max_value=1e300))
def test_more_tolerance_never_makes_noise_a_loss(one: float, two: float, less: float, more: float) -> None:
    if judge(one, two, upward=True, allowed=min(less, more)) == Judgement.WITHIN:
        assert judge(one, two, upward=True, allowed=max(less, more)) == Judgement.WITHIN


def test_a_tally_says_how_many_of_which() -> None:
    found = Tally.of([Judgement.WORSE, Judgement.BETTER, Judgement.BETTER, Judgement.UNJUDGED, Judgement.WITHIN])
    assert found == Tally(better=2, worse=1, within=1)
    assert str(found) == "2 better, 1 worse, 1 within tolerance"
    assert str(Tally(same=3, incomparable=1)) == "3 the same, 1 not comparable"
    assert found
    assert not Tally()
    assert str(Tally()) == ""
