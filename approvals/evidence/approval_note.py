"""The approval note inside an MLflow description. Pure: text in, text out.

The engineer's text is kept as it is; below it stands one block between two HTML comments, one line per request:

    <!-- countersign:begin -->
    Approved for Production by Remy Ortiz <remy@example.com> · 2026-11-23 12:04 UTC · request #12
    Rolled back into Production by Otto Reyes <otto@example.com> · 2026-11-24 03:10 UTC · request #13
    Promoted to Production without approval (break-glass) by Otto Reyes <otto@example.com> · … · request #14
    <!-- countersign:end -->
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

BEGIN, END = "<!-- countersign:begin -->", "<!-- countersign:end -->"
_LINE = r"(?:Approved for|Rolled back into|Promoted to) [^\n]* · request #\d+\n"
_BLOCK = re.compile(rf"(?:\n\n|\n)?{BEGIN}\n(?P<lines>(?:{_LINE})+){END}")
_REQUEST = re.compile(r"request #(\d+)$")


class Ground(StrEnum):
    """On what a version went to its target."""

    APPROVED = "Approved for {target}"
    ROLLED_BACK = "Rolled back into {target}"
    """By a person who needed no one's approval for it."""
    BREAK_GLASS = "Promoted to {target} without approval (break-glass)"


@dataclass(frozen=True, slots=True)
class Note:
    request_id: int
    target: str
    approvers: Sequence[str]
    """Labels, `Name <e-mail>`, in the order of their approvals; else who rolled back or promoted in an emergency."""
    approved_at: datetime
    ground: Ground = Ground.APPROVED

    @property
    def line(self) -> str:
        """The full line. A name cannot break the block: line breaks and comment marks in it are dropped."""
        names = _one_line(", ".join(self.approvers) or "nobody")
        at = self.approved_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        said = self.ground.format(target=_one_line(self.target))
        return f"{said} by {names} · {at} · request #{self.request_id}"


def with_note(description: str, note: Note, *, limit: int) -> str:
    """The description with this request's note put last, or replaced where it stands already.

    Never longer than `limit` characters unless the engineer's own text is: the oldest notes are shortened first, then
    dropped, then this one is shortened; the engineer's text is never cut. If there is no room at all the text comes
    back without a block (the tags and the ledger have the full record).
    """
    text, lines = _split(description)
    kept = [line for line in lines if request_of(line) != note.request_id]
    lines = [*kept, note.line]
    for index, line in enumerate(kept):
        if len(_join(text, lines)) <= limit:
            break
        lines[index] = _shortened(line)
    while len(_join(text, lines)) > limit and len(lines) > 1:
        lines.pop(0)
    if len(_join(text, lines)) > limit:
        lines = [_shortened(note.line)]
    if len(_join(text, lines)) > limit:
        lines = []
    return _join(text, lines)


def without_note(description: str, request_id: int) -> str:
    """The description without this request's note; everything else as it was."""
    text, lines = _split(description)
    return _join(text, [line for line in lines if request_of(line) != request_id])


def without_notes(description: str) -> str:
    """The engineer's own text."""
    return _split(description)[0]


def notes(description: str) -> list[str]:
    """The lines of the block, oldest first."""
    return _split(description)[1]


def has_note(description: str, request_id: int) -> bool:
    return any(request_of(line) == request_id for line in notes(description))


def _split(description: str) -> tuple[str, list[str]]:
    found = list(_BLOCK.finditer(description))
    if not found:
        return description, []
    block = found[-1]
    text = description[: block.start()] + description[block.end() :]
    return text, [line for line in block["lines"].split("\n") if line]


def _join(text: str, lines: Sequence[str]) -> str:
    if not lines:
        return text
    block = "\n".join([BEGIN, *lines, END])
    return f"{text}\n\n{block}" if text else block


def request_of(line: str) -> int | None:
    """The number of the request that a line of the block names."""
    found = _REQUEST.search(line)
    return int(found[1]) if found else None


def _shortened(line: str) -> str:
    """`Approved for Production · request #12`: who and when stand in the ledger."""
    head, _, tail = line.partition(" by ")
    return f"{head} · {tail.rsplit(' · ', 1)[-1]}" if tail else line


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("<!--", "").replace("-->", "")).strip()
