"""Which way is better, what changed, and what matters most. No database."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow, ValueRow
from approvals.policy import MetricRule

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
        ("auc", "NaN", 0.9, "incomparable"),
        ("auc", 0.9, "Infinity", "incomparable"),
        ("auc", None, 0.9, "incomparable"),
        ("auc", 0.9, None, "incomparable"),
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
    [(0.9, None, "new"), (None, 0.9, "missing now"), ("NaN", 0.9, "not comparable"), (0.9, 0.8, "")],
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


@pytest.mark.parametrize(
    ("challenger", "champion", "rules", "name"),
    [
        ({"rmse": 9.0, "auc": 0.9}, {"rmse": 1.0, "auc": 0.5}, (), "auc"),  # whatever got worst
        ({"rmse": 9.0, "auc": 0.9}, {"rmse": 1.0}, (), "rmse"),  # what the champion lacks cannot be compared
        ({"rmse": 9.0, "auc": 0.9}, {"rmse": 1.0, "auc": 0.5}, (MetricRule("rmse"), MetricRule("auc")), "rmse"),
        ({"rmse": 9.0}, {"auc": 0.5, "rmse": 1.0}, (MetricRule("auc"),), "auc"),  # lost, and not hidden
        ({"rows": 9.0}, {"rows": 5.0}, (MetricRule("rows"),), "rows"),
        ({"rmse": 9.0, "auc": 0.9}, None, (MetricRule("gini"), MetricRule("rmse")), "rmse"),
        ({"rmse": 9.0, "auc": 0.9}, None, (MetricRule("*", tolerance="1 %"),), "auc"),  # a pattern is none itself
        ({"auc @ train": 0.9, "auc @ val": 0.8}, None, (MetricRule("auc"),), "auc @ val"),
        ({"auc @ train": 0.9, "auc @ val": 0.8}, None, (MetricRule("auc @ train"),), "auc @ train"),
        ({"train_auc": 0.9, "val_auc": 0.8}, None, (), "val_auc"),
    ],
)
def test_the_metric_of_record_is_the_same_one_each_time(
    challenger: dict[str, float], champion: dict[str, float] | None, rules: tuple[MetricRule, ...], name: str
) -> None:
    found = comparison.of_record(comparison.metric_rows(challenger, champion, rules=rules))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("metrics", [{}, {"rows": 9.0}, {"system/cpu": 1.0}])
def test_there_may_be_no_metric_of_record(metrics: dict[str, float]) -> None:
    assert comparison.of_record(comparison.metric_rows(metrics, metrics)) is None


def test_noise_is_no_loss() -> None:
    rules = (MetricRule("auc", tolerance="0.5 %"), MetricRule("*", tolerance="1 %"))
    rows = comparison.metric_rows(
        {"auc": 0.972, "f1": 0.749, "recall": 0.499}, {"auc": 0.9, "f1": 0.7, "recall": 0.5}, rules=rules
    )
    assert str(comparison.tally(rows)) == "2 better, 1 within tolerance"
    loss = comparison.metric_rows({"auc": 0.8982}, {"auc": 0.9}, rules=rules)
    assert [row.judgement.words for row in loss] == ["within tolerance"]


def test_tally_counts_in_words() -> None:
    rows = [
        MetricRow("auc", 0.9, 0.5),
        MetricRow("ndcg", 0.7, 0.8),
        MetricRow("f1", None, 0.7),
        MetricRow("mae", 1.0, 1.0),
    ]
    assert str(comparison.tally(rows)) == "1 better, 1 worse, 1 the same, 1 not comparable"
    assert not comparison.tally([MetricRow("rows", 1.0, 2.0)])


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
    head = comparison.of_record(rows)
    assert head is None or head in rows
