"""The judgement of one number beside another, with tolerance, and how many of each there are. Pure.

Inbox, review queue, request, comparison and checks all ask `judge`, so they cannot disagree.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

LARGEST = 1.79e308
"""MLflow stores infinity as the largest number that its database keeps."""

Value: TypeAlias = float | str | None
"""A number, one of the strings NaN, Infinity and -Infinity, or None where there is no such metric."""


class Judgement(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    WITHIN = "within"
    """Within tolerance: there is a difference, and it is noise."""

    SAME = "same"
    INCOMPARABLE = "incomparable"
    """One of the two has no such metric, or none that is a number."""

    UNJUDGED = ""
    """There is a difference, and no one has said which way is better."""

    @property
    def words(self) -> str:
        """`within tolerance`; what every page and mail calls it."""
        return _WORDS[self]


_WORDS = {
    Judgement.BETTER: "better",
    Judgement.WORSE: "worse",
    Judgement.WITHIN: "within tolerance",
    Judgement.SAME: "the same",
    Judgement.INCOMPARABLE: "not comparable",
    Judgement.UNJUDGED: "",
}


def finite(value: Value) -> float | None:
    """The number, where it is one that can be held against another."""
    if value is None or isinstance(value, str) or not math.isfinite(value) or abs(value) >= LARGEST:
        return None
    return float(value)


def judge(challenger: Value, champion: Value, *, upward: bool | None, allowed: float = 0.0) -> Judgement:
    """`upward` says whether higher is better, None that no one knows; `allowed` is the tolerance in the metric's own
    unit, at least 0. A difference of just the tolerance is within it. NaN is never a number: not the same as NaN, and
    not 0."""
    after, before = finite(challenger), finite(champion)
    if after is None or before is None:
        return Judgement.INCOMPARABLE
    if math.isclose(after, before, rel_tol=1e-12):  # nothing but the noise of floats
        return Judgement.SAME
    difference = abs(after - before)
    if allowed and (difference <= allowed or math.isclose(difference, allowed, rel_tol=1e-9)):
        return Judgement.WITHIN
    if upward is None:
        return Judgement.UNJUDGED
    return Judgement.BETTER if (after > before) == upward else Judgement.WORSE


@dataclass(frozen=True, slots=True)
class Tally:
    """How many metrics of each judgement; those that no one can judge are not counted. False when empty; as text
    `2 better, 1 worse, 3 the same`."""

    better: int = 0
    worse: int = 0
    within: int = 0
    same: int = 0
    incomparable: int = 0

    @classmethod
    def of(cls, judgements: Iterable[Judgement]) -> "Tally":
        found = list(judgements)
        return cls(*(found.count(each) for each in _COUNTED))

    @property
    def parts(self) -> list[tuple[int, Judgement]]:
        """How many of which, without those of which there is none."""
        counts = (self.better, self.worse, self.within, self.same, self.incomparable)
        return [(count, each) for count, each in zip(counts, _COUNTED, strict=True) if count]

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __str__(self) -> str:
        return ", ".join(f"{count} {each.words}" for count, each in self.parts)


_COUNTED = (Judgement.BETTER, Judgement.WORSE, Judgement.WITHIN, Judgement.SAME, Judgement.INCOMPARABLE)
