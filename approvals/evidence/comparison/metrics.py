"""Metrics of two versions side by side: difference, direction, and what matters most. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

from approvals.evidence.comparison import remarks
from approvals.evidence.comparison.judging import Judgement, Tally, finite, judge
from approvals.policy import Better, MetricRule, matches
from mirror import measures

Sources: TypeAlias = Mapping[str, Mapping[str, Any]]

# --- Which way is better ----------------------------------------------------------------------------------------------


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NEITHER = _set(
    "epoch epochs step steps count counts num n nb rows samples size support threshold seed std stdev stddev iteration "
    "iterations fold folds estimators depth"
)
"""Words that say the number is a size, a place or a spread, whatever is beside them: `f1_threshold`, `auc_std`."""

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


@lru_cache(maxsize=4096)
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
    return _direction(higher_is_better(metric))


def _direction(upward: bool | None) -> str:
    return "" if upward is None else "higher is better" if upward else "lower is better"


def directed(rule: MetricRule) -> MetricRule:
    """With the direction that its name says, where it leaves that open: what is kept does not depend on the words that
    we know. A pattern stays open; so does a name that says nothing."""
    upward = None if rule.is_pattern or rule.better else higher_is_better(rule.name)
    return rule if upward is None else replace(rule, better=str(Better.HIGHER if upward else Better.LOWER))


def is_undirected(rule: MetricRule) -> bool:
    """Whether no one can say which way is better, though one metric is meant."""
    return not rule.is_pattern and not directed(rule).better


# --- Rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MetricRow:
    name: str
    challenger: float | str | None
    champion: float | str | None
    """Numbers, the strings NaN, Infinity, -Infinity, or None where the version has no such metric."""

    remarks: Sequence[str] = ()
    """Sentences: what else MLflow says about this metric."""

    rule: MetricRule | None = None
    """The metric of record that it is judged by; None where no one has said anything about it."""

    place: int | None = None
    """Its place among the metrics of record, from 0; None where it is none."""

    @property
    def difference(self) -> float | None:
        after, before = finite(self.challenger), finite(self.champion)
        return None if after is None or before is None else after - before

    @property
    def relative(self) -> float | None:
        """The difference as a share of the champion's value; None when that is zero."""
        if self.difference is None or not self.champion or isinstance(self.champion, str):
            return None
        share = self.difference / abs(self.champion)
        return share if math.isfinite(share) else None

    @property
    def upward(self) -> bool | None:
        """Whether higher is better: as the rule says, else as the name does."""
        said = self.rule.upward if self.rule else None
        return higher_is_better(self.name) if said is None else said

    @property
    def allowed(self) -> float:
        """The tolerance in the metric's own unit; 0 where there is none, or no number to hold it against."""
        before = finite(self.champion)
        return 0.0 if self.rule is None or before is None else self.rule.allowed(before)

    @property
    def tolerance(self) -> str:
        """`0.5 %`, `0.002`, or "" where there is none."""
        return self.rule.tolerance if self.rule else ""

    @property
    def judgement(self) -> Judgement:
        return judge(self.challenger, self.champion, upward=self.upward, allowed=self.allowed)

    @property
    def direction(self) -> str:
        return _direction(self.upward)

    @property
    def is_lost(self) -> bool:
        """The champion has a number and the challenger has none, or none that is one."""
        return finite(self.challenger) is None and finite(self.champion) is not None

    @property
    def remark(self) -> str:
        """Why there is no difference to show, in words; "" where there is one."""
        if self.difference is not None:
            return ""
        if self.champion is None:
            return "new"
        return "missing now" if self.challenger is None else "not comparable"


def metric_rows(
    challenger: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    *,
    sources: Sources | None = None,
    champion_sources: Sources | None = None,
    rules: Sequence[MetricRule] = (),
) -> list[MetricRow]:
    """All metrics of either, by name; `system/` metrics are left out. The sources of each are as in
    `mirror.measures.Sources`: like is compared with like, a data set with the same data set. `rules` are the metrics of
    record, the most important first: of a request those of its rule, else `selectors.metrics_of_record`."""
    other, mine, theirs = champion or {}, sources or {}, champion_sources or {}
    held = _renamed(mine, theirs)
    names = sorted(name for name in {*challenger, *(held.get(name, name) for name in other)})
    shown = {own: name for name, own in held.items()}
    found = []
    for name in names:
        if not name.startswith("system/"):
            its = shown.get(name, name)
            told = remarks.of_metric(mine.get(name, {}), theirs.get(its, {}))
            rule, place = rule_of(name, rules)
            found.append(MetricRow(name, challenger.get(name), other.get(its), told, rule, place))
    return found


def rule_of(metric: str, rules: Sequence[MetricRule]) -> tuple[MetricRule | None, int | None]:
    """What is said of a metric, and its place among the metrics of record: its own name goes before its name without
    the data set, and that before the first pattern that fits, which gives no place."""
    key = measures.key_of(metric)
    for name in dict.fromkeys((metric, key)):
        for place, rule in enumerate(rules):
            if rule.name == name:
                return rule, place
    for rule in rules:
        if rule.is_pattern and (matches(rule.name, metric) or matches(rule.name, key)):
            return rule, None
    return None, None


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
    """For reading: the metrics of record in their order, then what was lost or got worse, then what got better, then
    the rest, each by size."""

    def weight(row: MetricRow) -> tuple[int, float]:
        if row.place is not None:
            return (-1, row.place)
        has_direction = row.upward is not None
        if row.is_lost and has_direction:
            return (0, 0)
        judgement, size = row.judgement, -abs(row.relative or 0)
        if judgement in (Judgement.WORSE, Judgement.BETTER):
            return (1 if judgement == Judgement.WORSE else 2, size)
        return (3 if has_direction else 4, size if judgement != Judgement.SAME else 1)

    return sorted(rows, key=weight)


def tally(rows: Sequence[MetricRow]) -> Tally:
    """How many of each judgement. Without a champion there is nothing to tell: callers leave it out."""
    return Tally.of(row.judgement for row in rows)


def of_record(rows: Sequence[MetricRow]) -> MetricRow | None:
    """The one metric that stands for the version in a list: the first metric of record that either of the two has.

    Where no one has named any, it is chosen by name alone among those that the champion has and whose name says which
    way is better: qualities before costs, what was measured in training last, then by the alphabet. So it is the same
    one each time, and never whatever got worst. None where there is nothing of the kind."""
    told = [row for row in rows if row.place is not None or row.upward is not None]
    return min(told, key=_rank, default=None)


def _rank(row: MetricRow) -> tuple[bool, int, bool, bool, bool, str]:
    if row.place is None or row.rule is None:
        is_second, place = not row.upward, 0
    else:
        is_second, place = row.rule.name != row.name, row.place  # on a data set that the rule does not name
    return row.place is None, place, row.champion is None, is_second, _is_of_training(row.name), row.name


@lru_cache(maxsize=4096)
def _is_of_training(metric: str) -> bool:
    return not _words(metric)[1].isdisjoint(("train", "training"))


_COUNTS = (Judgement.WORSE, Judgement.BETTER)


def widest(rows: Sequence[MetricRow]) -> float:
    """The largest judged change as a share of the champion's value: what a full bar stands for. Never below 2 %, so
    that next to nothing looks like it."""
    judged = (abs(row.relative) for row in rows if row.relative is not None and row.judgement in _COUNTS)
    return max([0.02, *judged])
