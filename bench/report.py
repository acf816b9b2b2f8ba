"""One row of the benchmark, and how the table is printed."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`value` and `limit` in milliseconds, or in `unit`; `bar` is the greatest ratio of the two that is good enough,
    or, with `extra_ms`, the value may be that much above the limit; it must not be above `ceiling_ms`. With `at_least`
    the bar is the least ratio. `fault` says why it is not met, whatever the figures are."""

    name: str
    value: float
    limit: float
    bar: float | None = None
    extra_ms: float | None = None
    ceiling_ms: float | None = None
    note: str = ""
    unit: str = "ms"
    at_least: bool = False
    fault: str = ""

    @property
    def ratio(self) -> float:
        return self.value / self.limit if self.limit else float(self.value > 0)

    @property
    def is_met(self) -> bool:
        if self.fault or (self.ceiling_ms is not None and self.value > self.ceiling_ms):
            return False
        if self.extra_ms is not None:
            return self.value <= self.limit + self.extra_ms
        if self.bar is None:
            return True
        return self.ratio >= self.bar if self.at_least else self.ratio <= self.bar

    @property
    def bar_told(self) -> str:
        bar = f"{'≥' if self.at_least else '≤'} {self.bar or 0:.2f} ×"
        if self.extra_ms is not None:
            bar = f"≤ limit + {self.extra_ms:.0f} ms"
        return bar + (f", {self.ceiling_ms:.0f} ms" if self.ceiling_ms else "")

    @property
    def verdict(self) -> str:
        return "met" if self.is_met else "NOT MET"

    @property
    def said(self) -> str:
        return " ".join(filter(None, [self.fault, self.note]))

    def __str__(self) -> str:
        measured = f"{self.value:>11,.1f} {self.unit}  {self.limit:>11,.1f} {self.unit}"
        line = f"{self.name:<58} {measured}  {self.ratio:>6.2f} ×  {self.bar_told:<17} {self.verdict}"
        return f"{line}\n    {self.said}" if self.said else line


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
