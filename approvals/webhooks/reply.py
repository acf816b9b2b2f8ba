"""What everyone who calls in with a signature is answered: a verdict, which has one HTTP status, and a sentence."""

from dataclasses import dataclass
from enum import IntEnum


class Verdict(IntEnum):
    """What became of a call; the value is its HTTP status."""

    TAKEN = 200
    UNREADABLE = 400
    UNSIGNED = 401
    UNKNOWN = 404
    REFUSED = 409
    TOO_LARGE = 413
    TOO_MANY = 429
    NOT_SET_UP = 501


@dataclass(frozen=True, slots=True)
class Reply:
    verdict: Verdict
    words: str
