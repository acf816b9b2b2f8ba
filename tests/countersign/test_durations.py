import pytest
from countersign import durations


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("4h", 14_400), ("1h30m", 5400), ("2d", 172_800), ("0", 0)],
)
def test_a_duration_is_read(text: str, expected: int) -> None:
    assert durations.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "h", "4 h", "m4", "-4h", "4h4h", "1.5h", "٤h"])
def test_other_words_are_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        durations.seconds(text)


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 s"), (119.9, "119 s"), (120, "2 min"), (3600, "1 h"), (15_060, "4 h 11 min")]
)
def test_a_duration_is_told(number: float, expected: str) -> None:
    assert durations.words(number) == expected
