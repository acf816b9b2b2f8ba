"""Makes one set of metrics and params out of what a run and a LoggedModel answer, and notes where they contradict each
other. Pure; for `facts`.

A LoggedModel's own values win, because a run may have logged several models. Metrics of a data set get a name of their
own, `accuracy @ validation`: MLflow allows no @ in a key.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mirror.port import ModelMetric

AT = " @ "

Metrics = dict[str, float | str]
Sources = dict[str, dict[str, Any]]
"""By name, for the metrics that need it: `key`, `dataset` and `digest`; `run` and `logged_model`, what each of them
says where they differ; `is_unproven` for a 0 that may have been NaN."""


def key_of(name: str) -> str:
    """`accuracy` of `accuracy @ validation`."""
    return name.partition(AT)[0]


def joined(run: Mapping[str, float], logged: Sequence[ModelMetric]) -> tuple[Metrics, Sources]:
    """Metrics by name, as JSON can have them, and their sources. The run's value of a key that the LoggedModel has is
    left out, and noted where the LoggedModel has no such value."""
    keys = {metric.key for metric in logged}
    metrics: Metrics = {key: storable(value) for key, value in run.items() if key not in keys}
    sources: Sources = {}
    for name, metric in _named(logged).items():
        metrics[name] = storable(metric.value)
        said: dict[str, Any] = {}
        if name != metric.key:
            said = {"key": metric.key, "dataset": metric.dataset_name, "digest": metric.dataset_digest}
        if metric.answered is not None:
            said["logged_model"] = storable(metric.answered)
        if not metric.is_proven:
            said["is_unproven"] = True
        if metric.key in run:
            in_run = storable(run[metric.key])
            if all(storable(each.value) != in_run for each in logged if each.key == metric.key):
                said["run"] = in_run
        if said:
            sources[name] = said
    return metrics, sources


def last_of_any(logged: Sequence[ModelMetric]) -> Metrics:
    """The last value of each key, whatever the data set."""
    ordered = sorted(logged, key=lambda each: (each.step, each.timestamp))
    return {metric.key: storable(metric.value) for metric in ordered}


def _named(logged: Sequence[ModelMetric]) -> dict[str, ModelMetric]:
    """With the digest in the name where two data sets have the same."""
    twins = Counter((metric.key, metric.dataset_name) for metric in logged if metric.dataset_digest)
    found: dict[str, ModelMetric] = {}
    for metric in sorted(logged, key=lambda each: (each.key, each.dataset_name, each.dataset_digest)):
        dataset = metric.dataset_name or metric.dataset_digest
        name = f"{metric.key}{AT}{dataset}" if dataset else metric.key
        if metric.dataset_name and twins[metric.key, metric.dataset_name] > 1:
            name += f" ({metric.dataset_digest or 'no digest'})"
        while name in found:  # a data set that is called like another one with its digest
            name += " (2)"
        found[name] = metric
    return found


def storable(value: float) -> float | str:
    """JSON has no NaN and no infinities, and PostgreSQL refuses them."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
