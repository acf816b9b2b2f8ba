"""Tells a LoggedModel's 0 from its NaN: MLflow's LoggedModel API answers 0.0 for both, and only the run that logged the
value knows. Pure but for the two questions that it is given; used by `client` only.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from mirror.mlflow import parsing
from mirror.port import LoggedModelFacts, ModelMetric, NotFound, Refused

MOST_VALUES = 50_000
"""So many logged values of one metric are looked through for the one that the LoggedModel shows."""

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """How to ask what runs logged."""

    runs: Callable[[Iterable[str]], Iterable[Raw]]
    values: Callable[[str, str], Iterator[Raw]]
    """All values of a metric (run id, key)."""


def proven(found: Sequence[LoggedModelFacts], logged: Logged) -> list[LoggedModelFacts]:
    """The same with each 0 held against the run that logged it. Runs are asked only where there is a 0, and for a
    metric's history only where the run has logged another value since."""
    doubtful = {metric.run_id for facts in found for metric in facts.metrics if metric.value == 0}
    if not doubtful:
        return list(found)
    runs = {str(raw["info"]["run_id"]): raw for raw in logged.runs(sorted(doubtful))}

    def checked(metric: ModelMetric) -> ModelMetric:
        if metric.value != 0:
            return metric
        value = _said(metric, runs.get(metric.run_id), logged)
        if value is None:
            return replace(metric, value=math.nan, answered=0.0, is_proven=False)
        return replace(metric, value=math.nan, answered=0.0) if math.isnan(value) else metric

    return [replace(facts, metrics=tuple(map(checked, facts.metrics))) for facts in found]


def _said(metric: ModelMetric, run: Raw | None, logged: Logged) -> float | None:
    """What the run logged at that step and time; None where it cannot be asked or does not know."""
    if run is None:
        return None
    for each in run.get("data", {}).get("metrics", ()):
        if each["key"] == metric.key and parsing.moment_of(each) == (metric.step, metric.timestamp):
            return parsing.value_of(each)
    try:
        for each in islice(logged.values(metric.run_id, metric.key), MOST_VALUES):
            if parsing.moment_of(each) == (metric.step, metric.timestamp):
                return parsing.value_of(each)
    except (NotFound, Refused):
        pass
    return None
