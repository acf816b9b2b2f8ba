"""What the demo's engineer logs to be looked at: a curve over the trees of a forest, a figure and a table."""

import time
from typing import Any

import matplotlib as mpl
import mlflow
import numpy as np
import pandas as pd
from matplotlib import pyplot
from mlflow import MlflowClient
from mlflow.entities import Metric
from sklearn.metrics import ConfusionMatrixDisplay, PredictionErrorDisplay, RocCurveDisplay, mean_absolute_error
from sklearn.metrics import roc_auc_score as auc

from registry_ui.demo.datasets import Split

mpl.use("agg")  # no window, whatever the machine has

STEP = 4
"""Trees between two points of the curve."""


def log(client: MlflowClient, run_id: str, estimator: Any, split: Split) -> None:
    """Logs into the run what this estimator has to show on the hold-out."""
    inputs, wanted = split.holdout.drop(columns=split.target), split.holdout[split.target]
    points = curve(estimator, inputs, wanted)
    if points:
        name = "auc_roc_by_trees" if hasattr(estimator, "predict_proba") else "mae_by_trees"
        now = int(time.time() * 1000)
        client.log_batch(run_id, metrics=[Metric(name, value, now, trees) for trees, value in points])
    display = figure(estimator, inputs, wanted)
    display.figure_.set_size_inches(5, 4)
    display.figure_.tight_layout()
    mlflow.log_figure(display.figure_, "figures/hold_out.png")
    pyplot.close(display.figure_)
    if hasattr(estimator, "feature_importances_"):
        table = pd.DataFrame({"feature": inputs.columns, "importance": np.round(estimator.feature_importances_, 4)})
        mlflow.log_text(table.sort_values("importance", ascending=False).to_csv(index=False), "tables/importance.csv")


def curve(estimator: Any, inputs: pd.DataFrame, wanted: pd.Series) -> list[tuple[int, float]]:
    """(trees, score on the hold-out) as a forest grows: AUC of a classifier, mean absolute error of a regressor."""
    trees = getattr(estimator, "estimators_", ())
    if len(trees) == 0:
        return []
    rows = inputs.to_numpy()
    is_classifier = hasattr(estimator, "predict_proba")
    each = np.array([tree.predict_proba(rows)[:, 1] if is_classifier else tree.predict(rows) for tree in trees])
    so_far = np.cumsum(each, axis=0) / np.arange(1, len(trees) + 1)[:, None]
    score = auc if is_classifier else mean_absolute_error
    return [(count, float(score(wanted, so_far[count - 1]))) for count in range(STEP, len(trees) + 1, STEP)]


def figure(estimator: Any, inputs: pd.DataFrame, wanted: pd.Series) -> Any:
    """A display of scikit-learn: ROC curve, confusion matrix or prediction error, as fits the estimator."""
    if not hasattr(estimator, "predict_proba"):
        return PredictionErrorDisplay.from_predictions(wanted, estimator.predict(inputs), random_state=7)
    if len(estimator.classes_) > 2:
        return ConfusionMatrixDisplay.from_predictions(wanted, estimator.predict(inputs), xticks_rotation=20)
    return RocCurveDisplay.from_predictions(wanted, estimator.predict_proba(inputs)[:, 1], name="hold-out")
