"""One row of the benchmark, and how the table is printed."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`value` and `limit` in milliseconds, or in `unit`; `bar` is the greatest ratio of the two that is good enough,
    or, with `extra_ms`, the value may be that much above the limit; it must not be above `ceiling_ms`."""

    name: str
    value: float
    limit: float
    bar: float | None = None
    extra_ms: float | None = None
    ceiling_ms: float | None = None
    note: str = ""
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        return self.value / self.limit

    @property
    def is_met(self) -> bool:
        if self.ceiling_ms is not None and self.value > self.ceiling_ms:
            return False
        if self.extra_ms is not None:
            return self.value <= self.limit + self.extra_ms
        return self.bar is None or self.ratio <= self.bar

    def __str__(self) -> str:
        bar = f"≤ limit + {self.extra_ms:.0f} ms" if self.extra_ms is not None else f"≤ {self.bar:.2f} ×"
        bar += f", {self.ceiling_ms:.0f} ms" if self.ceiling_ms else ""
        verdict = "met" if self.is_met else "NOT MET"
        measured = f"{self.value:>11.1f} {self.unit}  {self.limit:>11.1f} {self.unit}"
        line = f"{self.name:<58} {measured}  {self.ratio:>6.2f} ×  {bar:<17} {verdict}"
        return f"{line}\n    {self.note}" if self.note else line


HEADER = f"{'what':<58} {'measured':>14}  {'limit':>14}  {'ratio':>8}  {'bar':<17}"


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def medians(*calls: Callable[[], object], rounds: int) -> list[float]:
    """Median milliseconds of each call; the calls take turns, so that what else the machine does hits them alike."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()  # warm
    for _ in range(rounds):
        for index, call in enumerate(calls):
            times[index].append(milliseconds(call))
    return [statistics.median(each) for each in times]


def percent(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
