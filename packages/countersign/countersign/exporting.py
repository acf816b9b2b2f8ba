"""The ledger as JSON lines, and its verification offline."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from countersign import verifier
from countersign.client import Client
from countersign.errors import Misconfigured


def export(client: Client, *, after: int | None, output: str) -> dict[str, Any]:
    """Writes the events after this number, to standard output or at the end of the file. Returns `{"events", "first",
    "last", "file"}`, first and last None if there were none. Raises Misconfigured for a file that cannot be
    continued."""
    if not output:
        return _write(client, after or 0, sys.stdout.buffer, "")
    path = Path(output)
    has_events = path.exists() and path.stat().st_size > 0
    if has_events and after is not None:
        raise Misconfigured(f"{output} has events already; leave --after out, and it continues after the last one.")
    try:
        begin = _last(path) if has_events else after or 0
        with path.open("ab") as file:
            return _write(client, begin, file, output)
    except OSError as error:
        raise Misconfigured(f"{output} cannot be written: {error.strerror}.") from None


def _write(client: Client, after: int, to: IO[bytes], name: str) -> dict[str, Any]:
    first = last = None
    count = 0
    for event in client.events(after):
        record = event["record"]
        to.write(f"{verifier.canonical(record)}\n".encode("utf-8", "surrogatepass"))
        first, last, count = first or record["sequence"], record["sequence"], count + 1
    return {"events": count, "first": first, "last": last, "file": name}


def _last(path: Path) -> int:
    """The number of the last event in the file, which is read from its end."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        tail, step = b"", 4_096
        while len(tail) < size and tail.rstrip(b"\n").count(b"\n") == 0:
            step = min(step * 4, size)
            file.seek(size - step)
            tail = file.read()
    try:
        if not tail.endswith(b"\n"):
            raise ValueError
        return int(json.loads(tail.rstrip(b"\n").rsplit(b"\n", 1)[-1])["sequence"])
    except (ValueError, KeyError, TypeError):
        raise Misconfigured(f"{path} does not end with a whole event; it cannot be continued.") from None


def verify(path: str, options: Mapping[str, Any]) -> tuple[int, list[str]]:
    """0, 1 or 2: it verifies, something was altered, it cannot be verified; and what there is to say."""
    lines: list[str] = []
    try:
        for line in verifier.run(argparse.Namespace(export=path, **options)):
            lines.append(line)  # noqa: PERF402 -- what was said before an error stays
    except verifier.Broken as error:
        return 1, [*lines, f"BROKEN. {error}"]
    except (verifier.Unusable, OSError, UnicodeDecodeError) as error:
        return 2, [*lines, f"Cannot verify: {error}"]
    return 0, lines
