"""Metrics of record: by which metrics the versions of a model are judged, which way is better, and how much is noise.
Pure.

A policy names them, and so may a model; a request keeps what stood when it was made.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

MOST_METRICS = 20
LONGEST_NAME = 250
_TOLERANCE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?|\.\d{1,12})(?:[eE]([+-]?\d{1,2}))?\s*(%?)")


class Better(StrEnum):
    HIGHER = "higher"
    LOWER = "lower"
    BY_NAME = ""
    """As the metric's name says, where it does."""


DIRECTIONS: dict[str, str] = {Better.HIGHER: "higher is better", Better.LOWER: "lower is better"}


@dataclass(frozen=True)
class MetricRule:
    """One metric of record."""

    name: str
    """As MLflow has it, without its data set or with it (`auc @ validation`); or a pattern: * is any text, ? any one
    character. A pattern says what is noise, and is never itself shown as the metric of record."""

    better: str = Better.BY_NAME
    tolerance: str = ""
    """A difference up to this much is noise: `0.002`, or `0.5 %` of the champion's value; "" is none at all."""

    @property
    def is_pattern(self) -> bool:
        return "*" in self.name or "?" in self.name

    @property
    def upward(self) -> bool | None:
        """Whether higher is better; None: as its name says."""
        return None if self.better == Better.BY_NAME else self.better == Better.HIGHER

    @cached_property
    def _amount(self) -> tuple[float, bool]:
        """How much, and whether in percent."""
        return _read(self.tolerance) or (0.0, False)

    @property
    def is_relative(self) -> bool:
        return self._amount[1]

    def allowed(self, champion: float) -> float:
        """The tolerance in the metric's own unit, beside this value of the champion (finite); at least 0."""
        amount, is_relative = self._amount
        return abs(champion) * (amount / 100) if is_relative else amount

    @property
    def sentence(self) -> str:
        """`auc (higher is better, tolerance 0.5 %)`."""
        told = [f"{self.better} is better"] if self.better else []
        told += [f"tolerance {self.tolerance}"] if self.tolerance else []
        return f"{self.name} ({', '.join(told)})" if told else self.name

    @property
    def short(self) -> str:
        """`auc within 0.5 %`, or `all other metrics within 0.5 %`."""
        return f"{self.words} within {self.tolerance}" if self.tolerance else self.words

    @property
    def words(self) -> str:
        """Its name, or `all other metrics`."""
        return "all other metrics" if self.name == "*" else self.name

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "better": str(self.better), "tolerance": self.tolerance}


def read_tolerance(text: str) -> str:
    """As it is kept: `0.5 %` of `0.50%`, "" of a zero. Raises ValueError for what is no amount and no percentage."""
    found = _read(text)
    if found is None:
        raise ValueError(f"{text!r} is no tolerance.")
    amount, is_relative = found
    if not amount:
        return ""
    return f"{amount!r}".removesuffix(".0") + (" %" if is_relative else "")


def _read(text: str) -> tuple[float, bool] | None:
    if not text.strip():
        return 0.0, False
    found = _TOLERANCE.fullmatch(text.strip())
    if found is None:
        return None
    amount = float(f"{found[1]}e{found[2] or 0}")
    return (amount, bool(found[3])) if math.isfinite(amount) else None


def merged_metrics(policys: Iterable[MetricRule], models: Iterable[MetricRule]) -> tuple[MetricRule, ...]:
    """The policy's metrics in their order, then those that only the model names: of both that name the same, the
    policy's goes."""
    found: dict[str, MetricRule] = {}
    for each in (*policys, *models):
        found.setdefault(each.name, each)
    return tuple(found.values())


def names_first(found: Iterable[MetricRule]) -> list[MetricRule]:
    """In the order in which they hold: names, then patterns."""
    return sorted(found, key=lambda each: each.is_pattern)


def from_json(told: Iterable[Mapping[str, Any]]) -> tuple[MetricRule, ...]:
    """Of what `as_json` gave, each."""
    return tuple(MetricRule(**each) for each in told)


def problems_of_metrics(metrics: Sequence[MetricRule]) -> list[str]:
    """Sentences that say what makes no sense; [] when all is well."""
    found = []
    if len(metrics) > MOST_METRICS:
        found.append(f"There can be {MOST_METRICS} metrics of record at most.")
    names = [each.name for each in metrics]
    for each in metrics:
        if not each.name.strip() or each.name != each.name.strip() or len(each.name) > LONGEST_NAME:
            found.append(f"A metric of record has a name of 1 to {LONGEST_NAME} characters.")
        elif names.count(each.name) > 1:
            found.append(f"The metric of record {each.name} is named twice.")
        if each.better not in list(Better):
            found.append(f"{each.name}: which is better, higher or lower?")
        if (amount := _read(each.tolerance)) is None:
            found.append(f"{each.name}: a tolerance is a number such as 0.002, or a percentage such as 0.5 %.")
        elif amount[1] and amount[0] > 100:
            found.append(f"{each.name}: a tolerance of more than 100 % would let everything pass.")
    return list(dict.fromkeys(found))
