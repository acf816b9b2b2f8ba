#!/usr/bin/env python3
"""Verifies an export of a Countersign history. Needs Python 3.9 or newer and nothing else: no network, no database.

    python verifier.py export.jsonl
    python verifier.py export.csv --checkpoint checkpoints.txt --public-key "countersign.example.com/ledger+1a2b3c4d+…"
    python verifier.py export.jsonl --head 1200:5f2c… --complete

It computes the hash of every event anew, holds each against the one before it where both are in the export, and holds
the export against checkpoints that were kept elsewhere. Exit code 0: everything fits. 1: something does not; the first
event that is wrong is named. 2: a file cannot be read or is not what it should be.

An export of some events only (a filter) has gaps. They are counted, and what lies in them cannot be verified.

Each line has to be as Countersign writes it: a key that stands twice, one that no export has, or another spelling could
show a reader something else than what was verified. Names of people (the columns actor_name and names of a CSV) are
beside the hash, so that they can be erased; they are not verified.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import csv
import hashlib
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

Record = dict[str, Any]
Key = tuple[str, bytes, bytes]
Point = tuple[int, int, int, int]

GENESIS = "0" * 64
COLUMNS = (
    "sequence", "at", "action", "actor_id", "actor_label", "allowed_by", "model_name", "version_number", "target_name",
    "request_id", "correlation_id", "payload", "previous_hash",
)  # fmt: skip
NAMES = ("actor_name", "names")
NUMBERS = ("sequence", "actor_id", "version_number", "request_id")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


class Broken(Exception):
    """The history is not what it was; the message says where."""


class Unusable(Exception):
    """A file or an argument is not what it should be."""


# --- The chain --------------------------------------------------------------------------------------------------------


def digest(record: Record) -> str:
    """SHA-256 over the previous hash and the canonical JSON of all columns but the hash."""
    text = canonical({column: record[column] for column in COLUMNS})
    return hashlib.sha256((record["previous_hash"] + text).encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read(path: str) -> Iterator[Record]:
    """The events of an export, one after the other, JSON Lines or CSV by what is in it. Raises Unusable for
    what is no export, Broken for a line that Countersign does not write so."""
    with Path(path).open(encoding="utf-8", newline="") as lines:
        start = lines.read(1)
        lines.seek(0)
        if start == "{":
            yield from _json_lines(lines, path)
        elif start:
            yield from _csv_rows(lines, path)


def _json_lines(lines: IO[str], path: str) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            record = _checked(json.loads(line, object_pairs_hook=_once), place)
            is_as_written = line.rstrip("\r\n") == canonical(record)
        except Twice as error:
            raise Broken(f"{place}: the line was altered: {error} appears twice in it.") from None
        except ValueError as error:
            raise Unusable(f"{place}: this is no JSON ({error}).") from None
        unknown = sorted(record.keys() - {*COLUMNS, "hash"})
        if unknown:
            raise Broken(f"{place}: the line was altered: no export has {unknown[0]}.")
        if not is_as_written:
            raise Broken(f"{place}: the line was altered: Countersign writes the same in another way.")
        yield record


class Twice(Exception):
    """A key that stands twice in one JSON object: readers differ in which of the two they take."""


def _once(pairs: Sequence[tuple[str, Any]]) -> Record:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise Twice(next(key for key in keys if keys.count(key) > 1))
    return found


def _csv_rows(lines: IO[str], path: str) -> Iterator[Record]:
    csv.field_size_limit(2**31 - 1)
    raw = _Raw(lines)
    rows = csv.reader(raw)
    names = next(rows, [])
    missing = [column for column in (*COLUMNS, "hash") if column not in names]
    if missing:
        raise Unusable(f"{path} is no export: the column {missing[0]} is missing.")
    if names not in ([*COLUMNS, "hash"], [*COLUMNS, "hash", *NAMES]):
        other = next((name for name in names if names.count(name) > 1 or name not in (*COLUMNS, "hash", *NAMES)), None)
        what = f"the column {other} is not as in an export" if other else "its columns stand in another order"
        raise Broken(f"{path}, line 1: the line was altered: {what}.")
    raw.taken.clear()
    for row in rows:
        place = f"{path}, line {rows.line_num}"
        if len(row) != len(names) or raw.text() != _written(row) or any(_guarded(_unguarded(c)) != c for c in row):
            raise Broken(f"{place}: the line was altered: Countersign writes the same in another way.")
        record: Record = {column: _unguarded(row[index]) for index, column in enumerate(names)}
        for column in NUMBERS:
            text = record[column]
            if text and not re.fullmatch(r"0|[1-9][0-9]*", text, re.ASCII):
                raise Broken(f"{place}: {column} is no number.")
            record[column] = int(text) if text else None
        yield _checked(record, place)


class _Raw:
    """Lines of a file, with the text of those that were taken since it was last asked for."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.taken.append(line)
            yield line

    def text(self) -> str:
        found = "".join(self.taken)
        self.taken.clear()
        return found.rstrip("\r\n")


def _written(row: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(row)
    return written.getvalue().rstrip("\r\n")


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def _unguarded(cell: str) -> str:
    """Without the apostrophe that keeps a spreadsheet from running the cell."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell


def _checked(record: Any, place: str) -> Record:
    if not isinstance(record, dict) or any(column not in record for column in (*COLUMNS, "hash")):
        raise Unusable(f"{place}: this is no event of a Countersign history.")
    texts = [column for column in (*COLUMNS, "hash") if column not in NUMBERS]
    if isinstance(record["sequence"], bool):
        raise Broken(f"{place}: the event was altered: a column has a value of another kind.")
    if not isinstance(record["sequence"], int) or not all(isinstance(record[column], str) for column in texts):
        raise Broken(f"{place}: the event was altered: a column has a value of another kind.")
    return dict(record)


def verify(records: Iterable[Record], wanted: set[int]) -> tuple[int, int | None, int | None, int, dict[int, str]]:
    """Follows the chain. Returns how many events there were, the first and the last number, the gaps, and the hashes of
    the events whose numbers are in `wanted`. Raises Broken with the first event that does not fit."""
    count, gaps = 0, 0
    first: int | None = None
    before: Record | None = None
    seen: dict[int, str] = {}
    for record in records:
        number = record["sequence"]
        if before is not None and number <= before["sequence"]:
            what = "appears twice" if number == before["sequence"] else f"appears after event {before['sequence']}"
            raise Broken(f"Event {number} {what}: the order was changed, or an event was put in.")
        if record["hash"] != digest(record):
            raise Broken(f"Event {number} was altered: its hash does not fit its content.")
        if number == 1 and record["previous_hash"] != GENESIS:
            raise Broken("Event 1 does not begin the chain: its previous hash is not zero.")
        if before is not None and number == before["sequence"] + 1:
            if record["previous_hash"] != before["hash"]:
                raise Broken(f"Event {number} does not follow from event {before['sequence']}.")
        elif before is not None:
            gaps += 1
        if number in wanted:
            seen[number] = record["hash"]
        if number - 1 in wanted:
            seen.setdefault(number - 1, record["previous_hash"])
        count, before = count + 1, record
        first = number if first is None else first
    return count, first, before["sequence"] if before else None, gaps, seen


# --- Checkpoints ------------------------------------------------------------------------------------------------------

NOTE = re.compile(r"(?P<text>(?:[^\n]+\n)+)\n(?P<signatures>(?:\u2014 [^\n]+\n?)+)")
SIGNATURE = re.compile(r"\u2014 (\S+) (\S+)")


class Checkpoint:
    """A signed note: origin, number of the last event, its hash, further lines, and signatures below an empty line."""

    def __init__(self, text: str, signatures: Sequence[tuple[str, bytes, bytes]]) -> None:
        lines = text.split("\n")
        self.text, self.signatures = text, signatures
        if len(lines) < 4 or not re.fullmatch(r"\d+", lines[1]) or not re.fullmatch(r"[0-9a-f]{64}", lines[2]):
            raise Unusable("A checkpoint has no number and hash in its second and third line.")
        self.origin, self.sequence, self.hash = lines[0], int(lines[1]), lines[2]
        self.about = dict(line.split(" ", 1) for line in lines[3:] if " " in line)

    def __str__(self) -> str:
        return f"The checkpoint {self.about.get('number', '')} of {self.about.get('at', 'no date')}".replace("  ", " ")


def checkpoints(text: str) -> list[Checkpoint]:
    """All notes in a text, in their order. Raises Unusable when it has none."""
    found = []
    for note in NOTE.finditer(text.replace("\r\n", "\n")):
        signatures = []
        for name, value in SIGNATURE.findall(note["signatures"]):
            try:
                raw = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise Unusable("The signature of a checkpoint is no base64.") from None
            signatures.append((name, raw[:4], raw[4:]))
        found.append(Checkpoint(note["text"], signatures))
    if not found:
        raise Unusable("There is no checkpoint in the file.")
    return found


def public_key(text: str) -> Key:
    """(name, key id, 32 bytes) of a verifier key `name+id+base64`. Raises Unusable for any other text."""
    parts = text.strip().split("+", 2)
    try:
        raw = base64.b64decode(parts[2], validate=True)
        key_id = bytes.fromhex(parts[1])
    except (IndexError, ValueError):
        raise Unusable("A public key has the form name+12345678+base64.") from None
    if len(raw) != 33 or raw[0] != 1 or key_id != key_id_of(parts[0], raw[1:]):
        raise Unusable(f"The public key of {parts[0]} does not fit its own id, or is no Ed25519 key.")
    return parts[0], key_id, raw[1:]


def key_id_of(name: str, raw: bytes) -> bytes:
    """The first 4 bytes of SHA-256 over the name, a line break, the byte 1 and the key of 32 bytes."""
    return hashlib.sha256(name.encode() + b"\n\x01" + raw).digest()[:4]


def is_signed(note: Checkpoint, keys: Iterable[Key]) -> bool:
    """True: by one of these keys. False: by none of them. Raises Broken when a signature of one of them is wrong."""
    for name, key_id, raw in keys:
        for signer, signer_id, signature in note.signatures:
            if (signer, signer_id) == (name, key_id):
                if not verify_signature(raw, note.text.encode(), signature):
                    raise Broken(f"{note} was altered: the signature of {name} does not fit it.")
                return True
    return False


# --- Ed25519 (RFC 8032, section 5.1), for verification alone ----------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def _point(raw: bytes) -> Point | None:
    """The point that 32 bytes stand for, in extended coordinates; None if there is none."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == P - u and u:
        x = x * ROOT % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def _add(a: Point, b: Point) -> Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(number: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            found = _add(found, point)
        point, number = _add(point, point), number >> 1
    return found


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = _point(BASE_Y.to_bytes(32, "little")) or (0, 1, 1, 0)


def verify_signature(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) over `message` was made with the private key of `key` (32 bytes)."""
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r, s = _point(key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = _times(s, BASE), _add(r, _times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# --- The command ------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    about = "Verifies an export of a Countersign history."
    parser = argparse.ArgumentParser(description=about, epilog="Exit code 0: all fits; 1: broken; 2: cannot verify.")
    parser.add_argument("export", help="a JSON Lines or CSV export of the history")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="FILE", help="checkpoints kept elsewhere")
    parser.add_argument("--public-key", action="append", default=[], metavar="KEY", help="name+id+base64")
    parser.add_argument("--head", action="append", default=[], metavar="N:HASH", help="noted, or from MLflow")
    parser.add_argument("--complete", action="store_true", help="the export must go from event 1 on without a gap")
    options = parser.parse_args(arguments)
    try:
        for line in run(options):
            print(line)
    except Broken as error:
        print(f"BROKEN. {error}")
        return 1
    except (Unusable, OSError, UnicodeDecodeError) as error:
        print(f"Cannot verify: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> Iterator[str]:
    """What there is to say, line by line. Raises Broken or Unusable."""
    keys = [public_key(text) for text in options.public_key]
    notes: list[Checkpoint] = []
    for path in options.checkpoint:
        notes += checkpoints(Path(path).read_text(encoding="utf-8"))
    heads: list[tuple[int, str, str]] = []
    for text in options.head:
        found = re.fullmatch(r"(\d+):([0-9a-f]{64})", text.strip())
        if not found:
            raise Unusable("A head has the form number:hash, the hash with 64 hexadecimal digits.")
        heads.append((int(found[1]), found[2], "The head that was noted"))
    unsigned = 0
    for note in notes:
        if keys and not is_signed(note, keys):
            raise Broken(f"{note} is not signed with any of the given keys: it was forged, or a key is missing.")
        unsigned += not keys
        heads.append((note.sequence, note.hash, str(note)))
    count, first, last, gaps, seen = verify(read(options.export), {number for number, _, _ in heads})
    if count:
        yield f"{count:,} events, from {first} to {last}: every hash fits its content, every event the one before it."
        yield "Names of people are not verified: they stand beside the hash, so that they can be erased."
    else:
        yield "The export has no events."
    first = first or 1
    if gaps or first > 1:
        between = f"{gaps:,} gap{'' if gaps == 1 else 's'} between them and " if gaps else ""
        missing = f"events 1 to {first - 1}" if first > 1 else "nothing before them"
        yield f"Not in this export: {between}{missing}. What is not in it is not verified."
        if options.complete:
            raise Broken(f"The export is not complete: event {_first_missing(options.export)} is missing.")
    yield from _against(heads, seen, last)
    if unsigned:
        yield f"No signature was verified: give the public key with --public-key ({unsigned} checkpoints)."


def _first_missing(path: str) -> int:
    expected = 1
    for record in read(path):
        if record["sequence"] != expected:
            break
        expected += 1
    return expected


def _against(heads: list[tuple[int, str, str]], seen: dict[int, str], last: int | None) -> Iterator[str]:
    fitting, outside, good = 0, 0, 0
    for number, value, name in sorted(heads):
        if number == 0 and value == GENESIS:
            fitting += 1
        elif number in seen and seen[number] != value:
            since = f"after event {good}, up to event {number}," if good else f"up to event {number}"
            raise Broken(f"{name} says that event {number} has another hash: what is {since} was rewritten since.")
        elif number in seen:
            fitting, good = fitting + 1, number
        elif last is not None and number > last:
            yield f"{name} is about event {number}; the export ends at {last}. Was its end cut off?"
            outside += 1
        else:
            outside += 1
    if heads:
        yield f"{fitting:,} of {len(heads):,} checkpoints and heads fit; {outside:,} are about events not in it."


if __name__ == "__main__":
    sys.exit(main())
