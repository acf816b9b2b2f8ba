"""Challenger beside champion: metrics with their difference and direction, params and tags. Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LOWER = re.compile(r"(?:^|[_\-. /])(?:loss|error|err|mae|mse|rmse|mape|smape|rmsle|logloss|brier|perplexity|wer|cer|fpr|fnr|latency|time|drift)(?:$|[_\-. /])")
_HIGHER = re.compile(
    r"(?:^|[_\-. /])(?:auc|auroc|roc|acc|accuracy|precision|recall|f1|f2|fbeta|ndcg|map|mrr|r2|score|gini|lift|ks|hit|bleu|rouge|iou|dice|kappa|mcc|specificity|sensitivity|tpr|tnr)(?:$|[_\-. /@\d])"
)


def higher_is_better(metric: str) -> bool | None:
    """Judged by the metric's name; None where the name says nothing. `log_loss` and `mean_squared_error` are lower-better."""
    name = metric.lower()
    if _LOWER.search(name) or name.startswith("neg_log"):
        return name.startswith("neg_")
    return True if _HIGHER.search(name) else None


@dataclass(frozen=True, slots=True)
class MetricRow:
    name: str
    challenger: float | str | None
    champion: float | str | None
    """Numbers, the strings NaN, Infinity, -Infinity, or None where the version has no such metric."""

    @property
    def difference(self) -> float | None:
        if isinstance(self.challenger, str | None) or isinstance(self.champion, str | None):
            return None
        return self.challenger - self.champion

    @property
    def relative(self) -> float | None:
        """The difference as a share of the champion's value; None when that is zero."""
        if self.difference is None or not self.champion or isinstance(self.champion, str):
            return None
        share = self.difference / abs(self.champion)
        return share if math.isfinite(share) else None

    @property
    def judgement(self) -> str:
        """`better`, `worse`, `same`, or "" where it cannot be said."""
        upward = higher_is_better(self.name)
        if self.difference is None:
            return ""
        if self.difference == 0:
            return "same"
        return "" if upward is None else "better" if (self.difference > 0) == upward else "worse"

    @property
    def direction(self) -> str:
        upward = higher_is_better(self.name)
        return "" if upward is None else "higher is better" if upward else "lower is better"


@dataclass(frozen=True, slots=True)
class ValueRow:
    name: str
    challenger: str | None
    champion: str | None

    @property
    def is_changed(self) -> bool:
        return self.challenger != self.champion


def metric_rows(challenger: Mapping[str, Any], champion: Mapping[str, Any] | None) -> list[MetricRow]:
    """All metrics of either, by name; `system/` metrics are left out."""
    other = champion or {}
    names = sorted(name for name in {*challenger, *other} if not name.startswith("system/"))
    return [MetricRow(name, challenger.get(name), other.get(name)) for name in names]


def value_rows(challenger: Mapping[str, Any], champion: Mapping[str, Any] | None) -> list[ValueRow]:
    """Params or tags of either, the changed ones first."""
    other = champion or {}
    rows = [
        ValueRow(name, _text(challenger.get(name)), _text(other.get(name))) for name in sorted({*challenger, *other})
    ]
    return sorted(rows, key=lambda row: not row.is_changed)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def headline(rows: list[MetricRow]) -> MetricRow | None:
    """The one difference that matters most in a list: the first that got worse, else the largest relative change."""
    told = [row for row in rows if row.difference is not None and row.judgement in ("better", "worse")]
    worse = [row for row in told if row.judgement == "worse"]
    return max(worse or told, key=lambda row: abs(row.relative or 0), default=None)
