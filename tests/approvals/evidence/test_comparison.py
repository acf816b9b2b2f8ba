"""Which way is better, what changed, and what matters most. No database."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow, ValueRow

HIGHER = """
auc_roc auc AUC rocAuc val_auc test/f1 f1-macro F1Score precision_at_k precision@10 recall_weighted ndcg NDCG@10
accuracy balanced_accuracy val.accuracy top5Accuracy mAP50 r2 r2_score explained_variance_score hit_rate mrr gini
true_positive_rate neg_log_loss neg_mean_squared_error cohen_kappa mean_iou silhouette bleu rouge1 log_likelihood
average_precision spearman_correlation throughput
"""
LOWER = """
loss val_loss valLoss log_loss logLoss training_logloss rmse RMSE test_rmse mean_absolute_error mae_eur max_error
mape brier_score brier error_rate word.error wer latency_ms p95Latency inference_time training_duration_seconds
false_positive_rate fpr perplexity cross_entropy psi data_drift_score zero_one_loss neg_log_likelihood nll aic
accuracy_loss calibration/ece
"""
UNKNOWN = """
training_rows n_samples epoch best_epoch support f1_threshold auc_std step_time_steps count_errors_count x
temperature mean value churn_rate é 123 _ lossless aucune pricey timeline
"""


@pytest.mark.parametrize("name", HIGHER.split())
def test_higher_is_better_by_name(name: str) -> None:
    assert comparison.higher_is_better(name) is True


@pytest.mark.parametrize("name", LOWER.split())
def test_lower_is_better_by_name(name: str) -> None:
    assert comparison.higher_is_better(name) is False


@pytest.mark.parametrize("name", [*UNKNOWN.split(), "", " "])
def test_a_name_that_says_nothing_is_not_judged(name: str) -> None:
    assert comparison.higher_is_better(name) is None


@given(st.text())
def test_any_name_has_an_answer(name: str) -> None:
    assert comparison.higher_is_better(name) in (True, False, None)


@pytest.mark.parametrize(
    ("name", "challenger", "champion", "judgement"),
    [
        ("auc", 0.91, 0.90, "better"),
        ("auc", 0.89, 0.90, "worse"),
        ("log_loss", 0.2, 0.3, "better"),
        ("log_loss", 0.3, 0.2, "worse"),
        ("auc", 0.9, 0.9, "same"),
        ("auc", 0.1 + 0.2, 0.3, "same"),
        ("rows", 2.0, 1.0, ""),
        ("rows", 1.0, 1.0, "same"),
        ("auc", "NaN", 0.9, ""),
        ("auc", 0.9, "Infinity", ""),
        ("auc", None, 0.9, ""),
        ("auc", 0.9, None, ""),
        ("auc", 0.0, -1e-300, "better"),
    ],
)
def test_judgement(name: str, challenger: float | str | None, champion: float | str | None, judgement: str) -> None:
    assert MetricRow(name, challenger, champion).judgement == judgement


def test_difference_and_share_carry_their_sign() -> None:
    row = MetricRow("ndcg", 0.45, 0.5)
    assert row.difference == pytest.approx(-0.05)
    assert row.relative == pytest.approx(-0.1)
    assert MetricRow("loss", -1.0, -2.0).relative == pytest.approx(0.5)
    assert MetricRow("loss", 1.0, 0.0).relative is None
    assert MetricRow("loss", 1e308, 1e-308).relative is None


@pytest.mark.parametrize(
    ("challenger", "champion", "remark"),
    [(0.9, None, "new"), (None, 0.9, "missing now"), ("NaN", 0.9, "cannot be compared"), (0.9, 0.8, "")],
)
def test_what_cannot_be_compared_says_why(challenger: float | str | None, champion: float | None, remark: str) -> None:
    assert MetricRow("auc", challenger, champion).remark == remark


def test_rows_are_of_either_and_without_system_metrics() -> None:
    rows = comparison.metric_rows({"b": 1.0, "system/cpu": 9.0}, {"a": 2.0})
    assert [(row.name, row.challenger, row.champion) for row in rows] == [("a", None, 2.0), ("b", 1.0, None)]
    assert comparison.metric_rows({"b": 1.0}, None) == [MetricRow("b", 1.0, None)]


def test_changed_values_come_first_and_say_how() -> None:
    rows = comparison.value_rows({"a": "1", "b": "2", "d": 4}, {"a": "1", "b": "3", "c": "", "d": "4"})
    assert [(row.name, row.change) for row in rows] == [("b", "changed"), ("c", "removed"), ("a", ""), ("d", "")]
    assert ValueRow("e", "", None).change == "added"


def test_reading_order_puts_what_was_lost_or_got_worse_first() -> None:
    rows = [
        MetricRow("rows", 10.0, 5.0),
        MetricRow("auc", 0.9, 0.9),
        MetricRow("ndcg", 0.8, 0.7),
        MetricRow("recall", 0.79, 0.8),
        MetricRow("precision", 0.5, 0.8),
        MetricRow("f1", "NaN", 0.7),
    ]
    assert [row.name for row in comparison.by_weight(rows)] == ["f1", "precision", "recall", "ndcg", "auc", "rows"]


def test_headline_is_the_difference_that_matters_most() -> None:
    better, worse, lost = MetricRow("auc", 0.9, 0.5), MetricRow("ndcg", 0.79, 0.8), MetricRow("f1", None, 0.7)
    assert comparison.headline([better, worse, lost]) == lost
    assert comparison.headline([better, worse]) == worse
    assert comparison.headline([better, MetricRow("rows", 1.0, 9.0)]) == better
    assert comparison.headline([MetricRow("rows", 1.0, 9.0), MetricRow("auc", 0.9, 0.9)]) is None
    assert comparison.headline([]) is None


def test_tally_counts_in_words() -> None:
    rows = [
        MetricRow("auc", 0.9, 0.5),
        MetricRow("ndcg", 0.7, 0.8),
        MetricRow("f1", None, 0.7),
        MetricRow("mae", 1.0, 1.0),
    ]
    assert comparison.tally(rows) == "1 worse, 1 better, 1 the same, 1 without a number now"
    assert comparison.tally([MetricRow("rows", 1.0, 2.0)]) == ""


def test_a_full_bar_is_the_largest_judged_change_and_never_next_to_nothing() -> None:
    assert comparison.widest([MetricRow("auc", 0.9, 0.6), MetricRow("rows", 900.0, 1.0)]) == pytest.approx(0.5)
    assert comparison.widest([MetricRow("auc", 0.9001, 0.9)]) == 0.02
    assert comparison.widest([]) == 0.02


numbers = st.one_of(
    st.none(), st.sampled_from(["NaN", "Infinity", "-Infinity"]), st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.dictionaries(st.text(max_size=8), numbers), st.dictionaries(st.text(max_size=8), numbers))
def test_any_metrics_can_be_compared(
    challenger: dict[str, float | str | None], champion: dict[str, float | str | None]
) -> None:
    rows = comparison.metric_rows(challenger, champion)
    assert sorted(comparison.by_weight(rows), key=id) == sorted(rows, key=id)
    assert math.isfinite(comparison.widest(rows))
    head = comparison.headline(rows)
    assert head is None or head in rows
