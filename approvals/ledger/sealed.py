"""The rows beside the ledger against the seals in it: of each row, the newest seal says what every sealed column was
left at. Read from the newest event back, so each row is compared once; memory holds one bit a row."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from approvals.ledger.sealing import ADOPTED, KEY, digest_of, read
from approvals.ledger.tables import TABLES, Table
from approvals.ledger.verdicts import Fault
from approvals.models import Action, AuditEvent, ChainHead
from approvals.models.identities import ERASED, Told

PORTION = 1000
"""Events, or rows, that are looked at together: one query for each table that they seal."""

Suspicion = tuple[Fault, Callable[[], Fault | None] | None] | None
Seal = tuple[int, Any, bool]
"""Number of the event; column → what is kept, or the columns with one digest over them; and whether the event only took
over what an upgrade found."""


def faults(remarks: list[str]) -> Iterator[Suspicion]:
    """`remarks` takes a sentence on what could not be held against anything."""
    until = ChainHead.objects.get(pk=1).sequence
    if not until:
        return  # nothing was recorded yet, so nothing can differ from it
    seen = {label: _Numbers() for label in TABLES}
    taken_over, never = 0, 0
    for seals in _portions(until):
        for label, rows in seals.items():
            new = {pk: seal for pk, seal in rows.items() if pk not in seen[label]}
            for pk, seal in new.items():
                seen[label].add(pk)
                taken_over += seal[2]
            for pk, fault in _compare(TABLES[label], new):
                yield fault, partial(_again, TABLES[label], pk, until, new[pk])
        yield None  # a sign of life
    are_all_sealed = is_sealed_throughout()
    for table in TABLES.values():
        for pk in table.rows.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=5000):
            if pk in seen[table.label]:
                continue
            never += 1
            if are_all_sealed:
                yield _strange(table, pk), partial(_again, table, pk, until, None)
    if taken_over:
        remarks.append(
            f"{taken_over:,} rows are from before version 0.4 and were not changed since: they are held to what the "
            "upgrade found, and what happened to them before it is not covered."
        )
    if never and not are_all_sealed:
        remarks.append(f"{never:,} rows are from before version 0.4 and not covered: run manage.py migrate.")


def is_sealed_throughout() -> bool:
    """Whether every row is in a seal: the ledger began with them (version 0.4), or the upgrade took over what it
    found."""
    began = AuditEvent.objects.filter(sequence=1, payload__contains=f'"{KEY}":')
    return began.exists() or AuditEvent.objects.filter(action=Action.ROWS_SEALED, payload__contains=ADOPTED).exists()


def _portions(until: int) -> Iterator[dict[str, dict[int, Seal]]]:
    """Table → row → its newest seal in this portion of events; from the newest portion to the oldest."""
    rows = AuditEvent.objects.filter(sequence__lte=until, payload__contains=f'"{KEY}":{{"').order_by("-sequence")
    found: dict[str, dict[int, Seal]] = defaultdict(dict)
    for count, (sequence, payload) in enumerate(rows.values_list("sequence", "payload").iterator(chunk_size=PORTION)):
        for label, seals in _seals(payload):
            for pk, kept in seals.items():
                found[label].setdefault(pk, (sequence, kept, ADOPTED in payload))
        if count % PORTION == PORTION - 1:
            yield found
            found = defaultdict(dict)
    yield found


def _seals(payload: str) -> Iterator[tuple[str, dict[int, Any]]]:
    """Table → row → what is kept, in its long or its short form."""
    for label, seals in json.loads(payload)[KEY].items():
        if label in TABLES:
            columns = seals.pop("", ())
            yield label, {int(pk): (columns, kept) if isinstance(kept, str) else kept for pk, kept in seals.items()}


def _compare(table: Table, seals: Mapping[int, Seal]) -> Iterator[tuple[int, Fault]]:
    keys = list(seals)
    for start in range(0, len(keys), PORTION):
        some = keys[start : start + PORTION]
        there = read(table, some)
        told = Told([json.dumps(seals[pk][1], ensure_ascii=False) for pk in some] if table.personal else [])
        for pk in some:
            sequence, kept, _ = seals[pk]
            if pk not in there and table.may_be_gone(kept):
                continue
            if pk not in there:
                words = f"{_called(table, pk)} is not there any more: event {sequence} records it."
                yield pk, Fault(words, sequence)
            elif changed := _changed(table, kept, there[pk][0], told):
                words = f"{_called(table, pk)} was altered: {changed} not what event {sequence} recorded."
                yield pk, Fault(words, sequence)


def _changed(table: Table, kept: Any, now: Mapping[str, Any], told: Told) -> str:
    """`its status is` for the first column that is another now; "" when all are the same."""
    if isinstance(kept, tuple):
        columns, digest = kept
        is_known = all(name in now for name in columns)
        return "it is" if is_known and digest_of(now, columns) != digest else ""
    for name, value in kept.items():
        if name not in now:
            continue  # no column, or none that is sealed, in this version
        is_same = _is_called(value, now[name], told) if name in table.personal else value == now[name]
        if not is_same:
            return f"its {table.word(name)} is"
    return ""


def _is_called(kept: Any, now: Any, told: Told) -> bool:
    """Names that were erased since are not in the row's list any more."""
    known = told.value(kept)
    return bool(
        known == now or (isinstance(now, list) and [each for each in known if not each.endswith(ERASED)] == now)
    )


def _called(table: Table, pk: int) -> str:
    found = table.rows.filter(pk=pk).values().first() or defaultdict(lambda: "?", id=pk)
    return table.name.format_map(found)


def _strange(table: Table, pk: int) -> Fault:
    return Fault(f"{_called(table, pk)} is in no event: it was not made by Countersign.")


def _again(table: Table, pk: int, until: int, seal: Seal | None) -> Fault | None:
    """The same with what was recorded meanwhile, while nothing else can be."""
    newer = AuditEvent.objects.filter(sequence__gt=until, payload__contains=f'"{KEY}":{{"').order_by("-sequence")
    for sequence, payload in newer.values_list("sequence", "payload").iterator(chunk_size=PORTION):
        if kept := dict(_seals(payload)).get(table.label, {}).get(pk):
            seal = (sequence, kept, False)
            break
    if seal is not None:
        return next((fault for _, fault in _compare(table, {pk: seal})), None)
    return _strange(table, pk) if table.rows.filter(pk=pk).exists() else None


class _Numbers:
    """A set of numbers of rows, one bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        if number >> 3 >= len(self._bits):
            self._bits.extend(bytes((number >> 3) + 1024 - len(self._bits)))
        self._bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        return 0 <= number >> 3 < len(self._bits) and bool(self._bits[number >> 3] & (1 << (number & 7)))
