"""Which version held which target from when to when: recorded, read as of a moment, imported and drawn."""

from approvals.tenures.recording import (
    Earlier,
    alias_place,
    approved_before,
    as_plain,
    begin,
    carry_on,
    finish,
    hold_settlements,
    holders,
    imported,
    is_approved,
    is_sole,
    places_of,
    promoted,
    takes_alone,
    touched,
)

__all__ = [
    "Earlier",
    "alias_place",
    "approved_before",
    "as_plain",
    "begin",
    "carry_on",
    "finish",
    "hold_settlements",
    "holders",
    "imported",
    "is_approved",
    "is_sole",
    "places_of",
    "promoted",
    "takes_alone",
    "touched",
]
