"""Loads what is in Staging and checks that it can be served: shape, range, speed, and better than guessing.

MLFLOW_TRACKING_URI=http://127.0.0.1:5000 MODEL_NAME=churn_predictor python examples/integration_test.py
"""

import os
import time

import customers
import mlflow.sklearn
from sklearn.metrics import roc_auc_score

MODEL_NAME = os.environ.get("MODEL_NAME", "churn_predictor")


def main() -> None:
    model = mlflow.sklearn.load_model(f"models:/{MODEL_NAME}/Staging")
    rows = customers.set_aside()
    started = time.perf_counter()
    chance = model.predict_proba(rows[customers.FEATURES])[:, 1]
    seconds = time.perf_counter() - started

    problems = []
    if chance.shape != (len(rows),) or chance.min() < 0 or chance.max() > 1:
        problems.append("It does not give one probability per customer.")
    if seconds > 2:
        problems.append(f"It takes {seconds:.1f} seconds for {len(rows)} customers.")
    if (score := roc_auc_score(rows[customers.TARGET], chance)) < 0.6:
        problems.append(f"Its auc_roc is only {score:.3f}.")
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"The model in Staging is fit to be served: auc_roc {score:.3f}, {seconds * 1000:.0f} ms.")


if __name__ == "__main__":
    main()
