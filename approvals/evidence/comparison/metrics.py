"""Metrics of two versions side by side: difference, direction, and what matters most. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from approvals.evidence.comparison import remarks
from mirror import measures

Sources: TypeAlias = Mapping[str, Mapping[str, Any]]

# --- Which way is better ----------------------------------------------------------------------------------------------


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NEITHER = _set(
    "epoch epochs step steps count counts num n nb rows samples size support threshold seed std stdev stddev iteration "
    "iterations fold folds estimators depth"
)
"""Words that say the number is a size, a place or a spread, whatever stands beside them: `f1_threshold`, `auc_std`."""

_LOWER = _set(
    "loss losses logloss error errors err mae mse rmse mape smape wape mdape rmsle msle medae rmspe brier perplexity "
    "ppl wer cer eer ece mce nll deviance entropy crossentropy hinge hamming latency duration time seconds ms drift "
    "psi divergence kl aic bic fid fpr fnr fdr false misses regret misclassification toxicity hallucination "
    "hallucinations disparity violations"
)
_HIGHER = _set(
    "auc auroc auprc aucpr prauc rocauc roc ap acc accuracy precision recall f1 f2 fbeta ndcg dcg map mrr r2 score "
    "gini lift uplift ks hit hits bleu rouge meteor chrf iou miou jaccard dice kappa mcc specificity sensitivity tpr "
    "tnr ppv npv true likelihood reward coverage silhouette correlation pearson spearman kendall psnr ssim throughput "
    "success explained win"
)
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_PIECE = re.compile(r"[A-Za-z0-9]+")


def _words(metric: str) -> tuple[str, set[str]]:
    """The first word of a metric's name, and every way to read its words: `valLoss` is also `val` and `loss`."""
    pieces = _PIECE.findall(metric)
    words = {piece.lower() for piece in pieces}
    for piece in pieces:
        words |= {part.lower() for part in _CAMEL.findall(piece)}
        words.add(piece.lower().rstrip("0123456789"))
    return (pieces[0].lower() if pieces else ""), words


def higher_is_better(metric: str) -> bool | None:
    """Judged by the words in the metric's name, without its data set; None where they say nothing. `neg_log_loss`
    turns the direction round, as scikit-learn means it."""
    first, words = _words(measures.key_of(metric))
    if words & _NEITHER:
        return None
    if words & _LOWER:
        upward = False
    elif words & _HIGHER:
        upward = True
    else:
        return None
    return not upward if first == "neg" else upward


def direction(metric: str) -> str:
    """`higher is better`, `lower is better`, or "" where its name says nothing."""
    upward = higher_is_better(metric)
    return "" if upward is None else "higher is better" if upward else "lower is better"


# --- Rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MetricRow:
    name: str
    challenger: float | str | None
    champion: float | str | None
    """Numbers, the strings NaN, Infinity, -Infinity, or None where the version has no such metric."""

    remarks: Sequence[str] = ()
    """Sentences: what else MLflow says about this metric."""

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
        if isinstance(self.challenger, str | None) or isinstance(self.champion, str | None):
            return ""
        if math.isclose(self.challenger, self.champion, rel_tol=1e-12):  # nothing but the noise of floats
            return "same"
        upward = higher_is_better(self.name)
        return "" if upward is None else "better" if (self.challenger > self.champion) == upward else "worse"

    @property
    def direction(self) -> str:
        return direction(self.name)

    @property
    def is_lost(self) -> bool:
        """The champion has a number and the challenger has none, or none that is one."""
        return isinstance(self.challenger, str | None) and not isinstance(self.champion, str | None)

    @property
    def remark(self) -> str:
        """Why there is no difference to show, in words; "" where there is one."""
        if self.difference is not None:
            return ""
        if self.champion is None:
            return "new"
        return "missing now" if self.challenger is None else "cannot be compared"


def metric_rows(
    challenger: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    *,
    sources: Sources | None = None,
    champion_sources: Sources | None = None,
) -> list[MetricRow]:
    """All metrics of either, by name; `system/` metrics are left out. The sources of each are as in
    `mirror.measures.Sources`: like is compared with like, a data set with the same data set."""
    other, mine, theirs = champion or {}, sources or {}, champion_sources or {}
    held = _renamed(mine, theirs)
    names = sorted(name for name in {*challenger, *(held.get(name, name) for name in other)})
    shown = {own: name for name, own in held.items()}
    found = []
    for name in names:
        if not name.startswith("system/"):
            its = shown.get(name, name)
            told = remarks.of_metric(mine.get(name, {}), theirs.get(its, {}))
            found.append(MetricRow(name, challenger.get(name), other.get(its), told))
    return found


def _renamed(mine: Sources, theirs: Sources) -> dict[str, str]:
    """Where the two name the same data set differently, because one of them has two of that name: the champion's name
    of the metric, and the challenger's."""
    own = {_data_of(source): name for name, source in mine.items() if "key" in source}
    found = {name: own.get(_data_of(source), name) for name, source in theirs.items() if "key" in source}
    return {name: to for name, to in found.items() if to != name and name not in mine and to not in theirs}


def _data_of(source: Mapping[str, Any]) -> tuple[str, str, str]:
    return source["key"], source["dataset"], source["digest"]


# --- What matters most ------------------------------------------------------------------------------------------------


def by_weight(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """For reading: what was lost or got worse first, then what got better, then the rest, each by size."""

    def weight(row: MetricRow) -> tuple[int, float]:
        has_direction = bool(row.direction)
        if row.is_lost and has_direction:
            return (0, 0)
        size = -abs(row.relative or 0)
        if row.judgement in ("worse", "better"):
            return (1 if row.judgement == "worse" else 2, size)
        return (3 if has_direction else 4, size if row.judgement != "same" else 1)

    return sorted(rows, key=weight)


def tally(rows: Sequence[MetricRow]) -> str:
    """`2 better, 1 worse, 3 the same`; "" where nothing can be judged."""
    found = [row.judgement for row in rows]
    lost = sum(row.is_lost for row in rows)
    parts = [(found.count("worse"), "worse"), (found.count("better"), "better"), (found.count("same"), "the same")]
    return ", ".join(f"{number} {word}" for number, word in [*parts, (lost, "without a number now")] if number)


def headline(rows: Sequence[MetricRow]) -> MetricRow | None:
    """The one difference that matters most in a list: what was lost, else what got worst, else what got best."""
    first = next(iter(by_weight(rows)), None)
    if first is None or not (first.judgement in ("better", "worse") or (first.is_lost and first.direction)):
        return None
    return first


def widest(rows: Sequence[MetricRow]) -> float:
    """The largest judged change as a share of the champion's value: what a full bar stands for. Never below 2 %, so
    that next to nothing looks like it."""
    judged = (abs(row.relative) for row in rows if row.relative is not None and row.judgement in ("better", "worse"))
    return max([0.02, *judged])
