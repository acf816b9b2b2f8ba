"""Two texts as one list of lines, with what was taken out and what was put in, down to the word. Pure.

Bounded whatever comes: a budget of steps, lines and characters is shared by the whole comparison, because the texts are
written by strangers (a run's description may have 5 MB) and a page waits for the answer. `difflib` has no such bound:
its time grows with the cube of repeated lines.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from approvals.evidence.comparison import edits
from approvals.evidence.comparison.edits import Budget

MOST_LINES = 400
"""Lines of each text that are compared, from the first difference on."""

LONGEST_LINE = 2_000
MOST_READ = MOST_LINES * LONGEST_LINE // 2
"""Characters of each text that are looked at, from the first difference on."""

CONTEXT = 2
ALIKE = 0.35
"""Lines that share less than this part of their characters are shown as two lines, not as one that changed."""

MOST_PARTNERS = 12
LONG_TEXT, LONG_LINES = 200, 3
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    sign: str
    """`-` taken out, `+` put in, " " the same, and `…` for lines that are the same and left out."""

    pieces: Sequence[Piece] = ()
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class TextDiff:
    lines: Sequence[Line] = ()
    added: int = 0
    removed: int = 0
    is_same: bool = False
    note: str = ""
    """A sentence that says what is not shown; "" where all is."""

    @property
    def summary(self) -> str:
        """`3 lines added, 1 removed`; `the same`."""
        if self.is_same:
            return "the same"
        parts = [
            f"{number:,} line{'' if number == 1 else 's'} {word}"
            for number, word in ((self.added, "added"), (self.removed, "removed"))
            if number
        ]
        return ", ".join(parts)


def is_long(value: str | None) -> bool:
    """Whether a value is read as a text: longer than 200 characters, or of several lines."""
    return value is not None and (len(value) > LONG_TEXT or value.strip().count("\n") >= LONG_LINES - 1)


def compare(old: str, new: str, budget: Budget | None = None) -> TextDiff:
    """What has to be taken out of `old` and put in to get `new`. Line ends of any kind are the same. Several texts of
    one page share a budget."""
    if old == new:
        return TextDiff(is_same=True)
    budget = budget or Budget()
    budget.cuts.clear()
    before, after, skipped, left = _core(old, new, budget)
    a, b = _lines(before, budget), _lines(after, budget)
    if a == b and not budget.cuts:
        return TextDiff(is_same=True)
    lines: list[Line] = [Line("…", skipped=skipped)] if skipped else []
    for is_same, group in groupby(_steps(a, b, budget), key=lambda step: step[0] == " "):
        steps = list(group)
        lines += [Line(" ", [Piece(_cut(text, budget))]) for _, text in steps] if is_same else _changed(steps, budget)
    signs = [line.sign for line in lines]
    if left and not budget.cuts & {"lines", "size"}:
        lines.append(Line("…", skipped=left))
    return TextDiff(_folded(lines), added=signs.count("+"), removed=signs.count("-"), note=_note(old, new, budget))


def _note(old: str, new: str, budget: Budget) -> str:
    shown = {
        "lines": f"the first {MOST_LINES:,} lines from the first difference on are compared",
        "size": f"the first {MOST_READ:,} characters from the first difference on are compared",
        "line": f"{LONGEST_LINE:,} characters of a line are shown",
        "steps": "too much differs to mark single words",
    }
    told = [words for cut, words in shown.items() if cut in budget.cuts]
    if not told:
        return ""
    return f"Of {max(len(old), len(new)):,} characters, not all is shown: {'; '.join(told)}."


# --- Bounds -----------------------------------------------------------------------------------------------------------


def _core(old: str, new: str, budget: Budget) -> tuple[str, str, int, int]:
    """Short texts as they are; of long ones what lies between their same beginning and end, with two lines around it,
    and how many lines were left out before and after."""
    if max(len(old), len(new)) <= MOST_READ and max(old.count("\n"), new.count("\n")) < MOST_LINES:
        return old, new, 0, 0
    shared = _shared_start(old, new)
    start = _line_start(old, shared)
    if shared - start > LONGEST_LINE:  # one endless line
        start = shared - 80
    tail = min(_shared_end(old, new), min(len(old), len(new)) - shared)
    end = _line_end(old, len(old) - tail)
    tail = len(old) - end
    if len(new) - tail < start:  # overlapping context of a text that repeats itself
        tail = 0
    before, after = old[start : len(old) - tail], new[start : len(new) - tail]
    if max(len(before), len(after)) > MOST_READ:
        budget.cuts.add("size")
    skipped, left = old.count("\n", 0, start), old[len(old) - tail :].count("\n") if tail else 0
    return before[:MOST_READ], after[:MOST_READ], skipped, left


def _line_start(text: str, place: int) -> int:
    """Where the line begins that stands two above this place."""
    for _ in range(CONTEXT + 1):
        place = text.rfind("\n", 0, place)
        if place < 0:
            return 0
    return place + 1


def _line_end(text: str, place: int) -> int:
    """Where the line ends that stands two below this place."""
    for _ in range(CONTEXT + 1):
        place = text.find("\n", place)
        if place < 0:
            return len(text)
        place += 1
    return place


def _shared_start(old: str, new: str) -> int:
    """How many characters are the same at the beginning, by halving: a slice is compared at the speed of memory."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _shared_end(old: str, new: str) -> int:
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _lines(text: str, budget: Budget) -> list[str]:
    lines = text.splitlines()
    if len(lines) > MOST_LINES:
        budget.cuts.add("lines")
    return lines[:MOST_LINES]


def _window(old: str, new: str, budget: Budget) -> tuple[str, str]:
    """Two very long lines from shortly before their first difference on."""
    if max(len(old), len(new)) <= LONGEST_LINE:
        return old, new
    start = max(0, _shared_start(old, new) - 80)
    mark = "…" if start else ""
    budget.cuts.update("line" for text in (old, new) if len(text) - start > LONGEST_LINE)
    return mark + old[start : start + LONGEST_LINE], mark + new[start : start + LONGEST_LINE]


def _cut(text: str, budget: Budget) -> str:
    if len(text) <= LONGEST_LINE:
        return text
    budget.cuts.add("line")
    return f"{text[:LONGEST_LINE]}…"


# --- Lines and words --------------------------------------------------------------------------------------------------


def _steps(a: Sequence[str], b: Sequence[str], budget: Budget) -> list[tuple[str, str]]:
    """The script of two lists of lines. Where they were cut, lines at the end may seem to be missing on one side only
    because the other side moved: those are not told."""
    steps = edits.script(a, b, budget)
    if budget.cuts & {"lines", "size"}:
        end = len(steps)
        while end and steps[end - 1][0] == steps[-1][0] != " ":
            end -= 1
        if end and any(sign != " " for sign, _ in steps[:end]) and steps[end - 1][0] == " ":
            return steps[:end]
    return steps


def _changed(steps: Sequence[tuple[str, str]], budget: Budget) -> list[Line]:
    """A run of lines taken out and put in: those that are alike are marked by the word."""
    out = [text for sign, text in steps if sign == "-"]
    put = [text for sign, text in steps if sign == "+"]
    removed = [Line("-", [Piece(_cut(text, budget))]) for text in out]
    added = [Line("+", [Piece(_cut(text, budget))]) for text in put]
    for i, j in _partners(out, put):
        removed[i], added[j] = _pair(out[i], put[j], budget)
    return [*removed, *added]


def _partners(out: Sequence[str], put: Sequence[str]) -> list[tuple[int, int]]:
    """Which line became which: in a short run by how many words they share, in a long one by their order."""
    if len(out) == len(put) == 1 or max(len(out), len(put)) > MOST_PARTNERS:
        return list(zip(range(len(out)), range(len(put)), strict=False))
    old = [Counter(_WORD.findall(text[:LONGEST_LINE].lower())) for text in out]
    new = [Counter(_WORD.findall(text[:LONGEST_LINE].lower())) for text in put]
    best: dict[tuple[int, int], tuple[float, list[tuple[int, int]]]] = {}
    for i in range(len(out) + 1):
        for j in range(len(put) + 1):
            ways = [(0.0, [])] if not (i and j) else [best[i - 1, j], best[i, j - 1]]
            if i and j and (shared := _shared(old[i - 1], new[j - 1])) >= ALIKE:
                before, pairs = best[i - 1, j - 1]
                ways.append((before + shared, [*pairs, (i - 1, j - 1)]))
            best[i, j] = max(ways, key=lambda way: way[0])
    return best[len(out), len(put)][1]


def _shared(old: "Counter[str]", new: "Counter[str]") -> float:
    """The share of words, without spaces, that two lines have in common."""
    both = sum(count for word, count in (old & new).items() if not word.isspace())
    most = max(sum(count for word, count in each.items() if not word.isspace()) for each in (old, new))
    return both / most if most else 0.0


def _pair(old: str, new: str, budget: Budget) -> tuple[Line, Line]:
    before, after = _window(old, new, budget)
    steps = edits.script(_WORD.findall(before), _WORD.findall(after), budget)
    shared = sum(len(text) for sign, text in steps if sign == " " and not text.isspace())
    if shared < ALIKE * max(len(before), len(after)):
        return Line("-", [Piece(before)]), Line("+", [Piece(after)])
    return Line("-", _pieces(steps, "-")), Line("+", _pieces(steps, "+"))


def _pieces(steps: Sequence[tuple[str, str]], sign: str) -> list[Piece]:
    """One side of a changed line; a space between two changed words is part of the change."""
    mine = [(own == sign, text) for own, text in steps if own in (" ", sign)]
    for place in range(1, len(mine) - 1):
        if mine[place][1].isspace() and mine[place - 1][0] and mine[place + 1][0]:
            mine[place] = (True, mine[place][1])
    return [Piece("".join(text for _, text in group), key) for key, group in groupby(mine, key=lambda each: each[0])]


def _folded(lines: Sequence[Line]) -> list[Line]:
    """Lines that are the same are shown two deep around what changed; the others are counted."""
    keep = set()
    for place, line in enumerate(lines):
        if line.sign in "-+":
            keep |= set(range(place - CONTEXT, place + CONTEXT + 1))
    found: list[Line] = []
    for place, line in enumerate(lines):
        is_folded = line.sign == " " and place not in keep
        if (is_folded or line.sign == "…") and found and found[-1].sign == "…":
            found[-1] = replace(found[-1], skipped=found[-1].skipped + (line.skipped or 1))
        else:
            found.append(Line("…", skipped=1) if is_folded else line)
    return found
