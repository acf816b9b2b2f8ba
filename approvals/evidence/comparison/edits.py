"""The shortest way from one list of lines or words to another (Myers 1986), as far as a budget goes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

STEPS = 400_000
"""Comparisons of two lines or words in one comparison of texts; some 60 ms."""


@dataclass(slots=True)
class Budget:
    """What is left, and which bounds were met."""

    steps: int = STEPS
    cuts: set[str] = field(default_factory=set)


def script(a: Sequence[str], b: Sequence[str], budget: Budget) -> list[tuple[str, str]]:
    """(sign, text) for each line or word; all of `a` out and all of `b` in where the budget is used up."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    middle_a, middle_b = a[start : len(a) - end], b[start : len(b) - end]
    return [
        *((" ", text) for text in a[:start]),
        *_middle(middle_a, middle_b, budget),
        *((" ", text) for text in (a[len(a) - end :] if end else ())),
    ]


def _middle(a: Sequence[str], b: Sequence[str], budget: Budget) -> list[tuple[str, str]]:
    trace = _trace(a, b, budget) if a and b else None
    if trace is None:
        return [*(("-", text) for text in a), *(("+", text) for text in b)]
    steps: list[tuple[str, str]] = []
    x, y = len(a), len(b)
    for depth in range(len(trace) - 1, -1, -1):
        furthest = trace[depth]
        k = x - y
        goes_down = k == -depth or (k != depth and furthest.get(k - 1, -1) < furthest.get(k + 1, -1))
        before = k + 1 if goes_down else k - 1
        from_x = furthest.get(before, 0)
        from_y = from_x - before
        while x > max(from_x, 0) and y > max(from_y, 0):
            x, y = x - 1, y - 1
            steps.append((" ", a[x]))
        if depth:
            if goes_down:
                y -= 1
                steps.append(("+", b[y]))
            else:
                x -= 1
                steps.append(("-", a[x]))
    return steps[::-1]


def _trace(a: Sequence[str], b: Sequence[str], budget: Budget) -> list[dict[int, int]] | None:
    """How far each diagonal reaches with so many edits, up to the end of both; None when the budget is used up."""
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    for depth in range(len(a) + len(b) + 1):
        trace.append(dict(furthest))
        budget.steps -= 2 * depth + 1  # the copy as well as the walk
        if budget.steps < 0:
            budget.cuts.add("steps")
            return None
        for k in range(-depth, depth + 1, 2):
            goes_down = k == -depth or (k != depth and furthest.get(k - 1, -1) < furthest.get(k + 1, -1))
            x = furthest[k + 1] if goes_down else furthest[k - 1] + 1
            while x < len(a) and x - k < len(b) and a[x] == b[x - k]:
                x += 1
                budget.steps -= 1
            furthest[k] = x
            if x >= len(a) and x - k >= len(b):
                return trace
    return None
