"""The file of earlier history as spreadsheets write it, read into lines with named cells; whatever cannot be read is
refused with what was found."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

LARGEST = 5 * 1024 * 1024
"""Bytes."""

MOST_ROWS = 20_000
COLUMNS = ("model", "version", "target", "from", "until", "requested_by", "approved_by", "note")
REQUIRED = COLUMNS[:4]
TITLES = 20
"""So many lines may stand above the header."""

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


class BadFile(Exception):
    """The file as a whole cannot be read; the message is a sentence for the person who sent it."""


def lines(content: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """(line as an editor counts, column to cell) of each row that is not empty. Cells are trimmed, but for the model's
    name. Raises BadFile."""
    text = _text(content)
    delimiter, above = _shape(text)
    shown = text.split("\n", above)[above]
    reader = csv.reader(io.StringIO(shown, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    count, line = 0, above + 1
    try:
        for cells in reader:
            first, line = line, above + reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = _header(cells, first, delimiter)
                continue
            count += 1
            if count > MOST_ROWS:
                raise BadFile(f"The file has more than {MOST_ROWS:,} rows. Divide it.")
            if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
                raise BadFile(f"Line {first} has more cells than the header has columns.")
            found = {name: cells[at] if at < len(cells) else "" for at, name in enumerate(names)}
            yield first, {name: cell if name == "model" else cell.strip() for name, cell in found.items()}
    except csv.Error as error:
        raise BadFile(f"Line {above + reader.line_num} is not CSV: {error}.") from error
    if names is None:
        raise BadFile("The file is empty.")
    if not count:
        raise BadFile("The file has a header and no rows.")


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        raise BadFile(f"The file is larger than {LARGEST // 1024 // 1024} MB. Divide it.")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        kind = "UTF-16, as its first bytes say" if encoding == "utf-16" else "UTF-8"
        raise BadFile(f"The file is not {kind}. Save it as “CSV UTF-8” in the spreadsheet.") from error
    if "\x00" in text:
        raise BadFile("The file has NUL characters in it: it is no CSV file, or UTF-16 without its mark.")
    return text


def _shape(text: str) -> tuple[str, int]:
    """The delimiter, and how many lines stand above the header: `sep=;`, as Excel writes it, and titles."""
    head = text.split("\n", TITLES)[:TITLES]
    said = re.fullmatch(r'"?sep=(.)"?\s*', head[0].rstrip("\r"), re.IGNORECASE)
    if said and said[1] not in _DELIMITERS:
        raise BadFile(f"The first line says that cells are parted by {said[1]!r}. Use commas, semicolons or tabs.")
    best = (0, ",", 0)
    for at, line in enumerate(head):
        for delimiter in [said[1]] if said else _DELIMITERS:
            many = len(set(COLUMNS) & set(_names(_cells(line, delimiter))))
            if many > best[0]:
                best = (many, delimiter, at)
    if best[0]:
        return best[1], best[2]
    # No line names a column: the first that is not empty is what people took for the header.
    first = next((at for at, line in enumerate(head) if line.strip() and not (said and at == 0)), 0)
    return said[1] if said else max(_DELIMITERS, key=head[first].count), first


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _names(cells: Iterable[str]) -> list[str]:
    return [cell.strip().lower().replace(" ", "_") for cell in cells]


def _header(cells: Sequence[str], line: int, delimiter: str) -> list[str]:
    names = _names(cells)
    while names and not names[-1]:
        names.pop()
    which = "The first line" if line == 1 else f"Line {line}"
    if missing := [name for name in REQUIRED if name not in names]:
        seen = ", ".join(repr(name[:40]) for name in names[:10])
        raise BadFile(
            f"{which} has no column {_listed(missing)}. Columns are {_listed(COLUMNS)}. "
            f"Parted by {_DELIMITERS[delimiter]}, it has {seen}."
        )
    if strange := [name for name in names if name not in COLUMNS]:
        raise BadFile(f"{which} has a column {strange[0]!r}. Columns are {_listed(COLUMNS)}.")
    if len(set(names)) < len(names):
        raise BadFile(f"{which} has a column twice.")
    return names


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
