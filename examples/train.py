"""Trains a churn model, logs it, registers it as the next version and moves that to Staging. Plain MLflow.

MLFLOW_TRACKING_URI=http://127.0.0.1:5000 MODEL_NAME=churn_predictor python examples/train.py
"""

import argparse
import hashlib
import os
import subprocess
from importlib.metadata import version as installed

import customers
import mlflow
import mlflow.data
import mlflow.sklearn
import numpy as np
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import ndcg_score, roc_auc_score

MODEL_NAME = os.environ.get("MODEL_NAME", "churn_predictor")
K = 100


def evaluate(model: RandomForestClassifier) -> dict[str, float]:
    rows = customers.set_aside()
    chance = model.predict_proba(rows[customers.FEATURES])[:, 1]
    wanted = rows[customers.TARGET].to_numpy()
    first = np.argsort(-chance, kind="stable")[:K]
    return {
        "auc_roc": float(roc_auc_score(wanted, chance)),
        "precision_at_k": float(wanted[first].mean()),
        "ndcg": float(ndcg_score([wanted], [chance], k=K)),
    }


def commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-estimators", type=int, default=60)
    parser.add_argument("--max-depth", type=int, default=6)
    parser.add_argument("--min-samples-leaf", type=int, default=10)
    parser.add_argument("--cutoff", default="2026-10-31", help="train on data up to this date")
    options = parser.parse_args()

    rows = customers.until(options.cutoff)
    params = {
        "n_estimators": options.n_estimators,
        "max_depth": options.max_depth,
        "min_samples_leaf": options.min_samples_leaf,
    }
    provenance = {
        "training_data_hash": hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest(),
        "training_cutoff": options.cutoff,
    }

    mlflow.set_experiment(MODEL_NAME)
    with mlflow.start_run() as run:
        if found := commit():
            mlflow.set_tag("mlflow.source.git.commit", found)
        mlflow.log_params({**params, **provenance})
        mlflow.log_input(mlflow.data.from_pandas(rows, name="customers", targets=customers.TARGET), context="training")
        inputs = rows[customers.FEATURES]
        model = RandomForestClassifier(random_state=7, **params).fit(inputs, rows[customers.TARGET])
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(inputs, model.predict(inputs)),
            input_example=inputs.head(3),
            # Named, because finding them out loads the model once more in a fresh process.
            pip_requirements=[f"{name}=={installed(name)}" for name in ("scikit-learn", "skops", "pandas")],
            skops_trusted_types=["sklearn.tree._tree.Tree"],
        )
        mlflow.log_metrics(evaluate(model), model_id=logged.model_id)

    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", MODEL_NAME, tags=provenance)
    MlflowClient().transition_model_version_stage(
        MODEL_NAME, version.version, "Staging", archive_existing_versions=True
    )
    print(f"{MODEL_NAME} version {version.version} is in Staging.")


if __name__ == "__main__":
    main()
