"""Which policy applies to a model: of those of one target, the first in their order whose pattern fits."""

import re
from collections.abc import Iterable
from typing import Protocol, TypeVar


class HasPattern(Protocol):
    @property
    def model_pattern(self) -> str: ...


P = TypeVar("P", bound=HasPattern)


def matches(pattern: str, model_name: str) -> bool:
    """Whether the whole name fits: * is any text, ? one character, everything else itself (case-sensitive)."""
    wild = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(wild, model_name, re.DOTALL) is not None


def covers(pattern: str, other: str) -> bool:
    """Whether every name that fits `other` fits `pattern`, where that is plain to see: the same, a star alone, or
    `other` is an exact name that fits."""
    return pattern in ("*", other) or (not set(other) & {"*", "?"} and matches(pattern, other))


def specificity(pattern: str) -> tuple[bool, int, int]:
    """Sort key, the most specific first when reversed: an exact name, then more literal characters, then fewer
    stars. A new policy takes its place among the others by it; administrators may move it."""
    literal = sum(char not in "*?" for char in pattern)
    return (literal == len(pattern), literal, -pattern.count("*"))


def applicable(policies: Iterable[P], model_name: str) -> list[P]:
    """The policies whose pattern fits the model, in the order they are given in: the first one applies. `policies` are
    those of one target, in their order."""
    return [policy for policy in policies if matches(policy.model_pattern, model_name)]
