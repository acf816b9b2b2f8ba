"""Countersign's approval note inside a version's description. Pure: text in, text out.

The note stands between two HTML comments below the engineer's own text, which stays the engineer's: only what is
between the marks is guarded. A mark that is opened and never closed takes all that follows, as it would on a page.
"""

from __future__ import annotations

import re

_NOTE = re.compile(r"<!--\s*countersign:begin\b.*?(?:<!--\s*countersign:end\s*-->|\Z)", re.DOTALL | re.IGNORECASE)


def same(old: str | None, new: str | None) -> bool:
    """Whether both say the same about approvals: the same notes in the same order, whatever stands around them."""
    return notes(old) == notes(new)


def notes(description: str | None) -> list[str]:
    return _NOTE.findall(description or "")


def without(description: str) -> str:
    """The engineer's own text: what somebody copies together with a note is not what was approved."""
    return _NOTE.sub("", description).rstrip() if _NOTE.search(description) else description
