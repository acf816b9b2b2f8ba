"""Challenger beside champion, as data to show: metrics, named values, texts, tables, packing and files. Pure.

Callers write `comparison.metric_rows(...)`; the modules of the package are imported by name where more is needed.
"""

from approvals.evidence.comparison.metrics import (
    MetricRow,
    by_weight,
    direction,
    headline,
    higher_is_better,
    metric_rows,
    tally,
    widest,
)
from approvals.evidence.comparison.values import ValueRow, value_rows

__all__ = [
    "MetricRow",
    "ValueRow",
    "by_weight",
    "direction",
    "headline",
    "higher_is_better",
    "metric_rows",
    "tally",
    "value_rows",
    "widest",
]
