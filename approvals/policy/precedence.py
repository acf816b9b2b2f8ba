"""Which policy applies to a model: of those of one target, the first in their order whose pattern fits."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class HasPattern(Protocol):
    @property
    def model_pattern(self) -> str: ...


P = TypeVar("P", bound=HasPattern)


def matches(pattern: str, model_name: str) -> bool:
    """Whether the whole name fits: * is any text, ? one character, everything else itself (case-sensitive).

    Takes the length of one times that of the other, whatever the pattern: a star is tried again one character later.
    """
    if pattern == "*":
        return True
    at = place = 0
    star, resume = -1, 0
    while at < len(model_name):
        if place < len(pattern) and pattern[place] == "*":
            star, resume, place = place, at, place + 1
        elif place < len(pattern) and pattern[place] in ("?", model_name[at]):
            at, place = at + 1, place + 1
        elif star >= 0:
            resume += 1
            at, place = resume, star + 1
        else:
            return False
    return all(char == "*" for char in pattern[place:])


MOST_STATES = 20_000
"""Of patterns for which this many are not enough (dozens of ? behind a star), `covers` says that it does not know."""


def covers(pattern: str, other: str) -> bool:
    """Whether every name that fits `other` fits `pattern`: then a policy for `other` never applies behind one for
    `pattern`. Exact for all patterns that a person would write; False where it cannot be told.

    Walks through everything that `other` takes, one character at a time, beside the places in `pattern` that the same
    characters lead to.
    """
    if pattern in ("*", other):
        return True
    letters = {*pattern, *other} - {"*", "?"}
    stranger = next(char for char in map(chr, range(0x110000)) if char not in letters and char not in "*?")
    start = (0, _reach(pattern, {0}))
    seen, ahead = {start}, [start]
    while ahead:
        place, places = ahead.pop()
        for at in _reach(other, {place}):
            if at == len(other) and len(pattern) not in places:
                return False
        for letter in (*letters, stranger):
            reached = _reach(pattern, _step(pattern, places, letter))
            for at in _step(other, _reach(other, {place}), letter):
                if (at, reached) not in seen:
                    if len(seen) >= MOST_STATES:
                        return False
                    seen.add((at, reached))
                    ahead.append((at, reached))
    return True


def _reach(pattern: str, places: Iterable[int]) -> frozenset[int]:
    """These places in the pattern, and those behind stars, which may stand for nothing."""
    found = set()
    for place in places:
        behind = place
        while behind < len(pattern) and pattern[behind] == "*":
            behind += 1
        found |= {*range(place, behind + 1)}
    return frozenset(found)


def _step(pattern: str, places: Iterable[int], letter: str) -> set[int]:
    """Where one more character leads."""
    found = set()
    for place in places:
        if place < len(pattern):
            if pattern[place] == "*":
                found.add(place)
            elif pattern[place] in ("?", letter):
                found.add(place + 1)
    return found


def specificity(pattern: str) -> tuple[bool, int, int]:
    """Sort key, the most specific first when reversed: an exact name, then more literal characters, then fewer
    stars. A new policy takes its place among the others by it; administrators may move it."""
    literal = sum(char not in "*?" for char in pattern)
    return (literal == len(pattern), literal, -pattern.count("*"))


def applicable(policies: Iterable[P], model_name: str) -> list[P]:
    """The policies whose pattern fits the model, in the order they are given in: the first one applies. `policies` are
    those of one target, in their order."""
    return [policy for policy in policies if matches(policy.model_pattern, model_name)]
