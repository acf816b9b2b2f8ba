"""Challenger beside champion, as data to show: metrics, named values, texts, tables, packing and files. Pure.

Callers write `comparison.metric_rows(...)`; the modules of the package are imported by name where more is needed.
"""

from approvals.evidence.comparison.judging import Judgement, Tally, judge
from approvals.evidence.comparison.metrics import (
    MetricRow,
    by_weight,
    directed,
    direction,
    higher_is_better,
    is_undirected,
    metric_rows,
    of_record,
    rule_of,
    tally,
    widest,
)
from approvals.evidence.comparison.values import ValueRow, value_rows

__all__ = [
    "Judgement",
    "MetricRow",
    "Tally",
    "ValueRow",
    "by_weight",
    "directed",
    "direction",
    "higher_is_better",
    "is_undirected",
    "judge",
    "metric_rows",
    "of_record",
    "rule_of",
    "tally",
    "value_rows",
    "widest",
]
