"""Promotes a version as people do without a gate: a note in the description, then the stage. Plain MLflow.

MLFLOW_TRACKING_URI=http://127.0.0.1:5000 MODEL_NAME=churn_predictor python examples/promote.py 7 --by "Rita Sanz"
"""

import argparse
import os
from datetime import UTC, datetime

from mlflow import MlflowClient

MODEL_NAME = os.environ.get("MODEL_NAME", "churn_predictor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version")
    parser.add_argument("--by", required=True, help="who promotes")
    parser.add_argument("--stage", default="Production")
    options = parser.parse_args()

    client = MlflowClient()
    before = client.get_model_version(MODEL_NAME, options.version).description or ""
    note = f"Promoted to {options.stage} by {options.by} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    client.update_model_version(MODEL_NAME, options.version, description=f"{before}\n\n{note}".strip())
    client.transition_model_version_stage(MODEL_NAME, options.version, options.stage, archive_existing_versions=True)
    print(f"{MODEL_NAME} version {options.version} is in {options.stage}.")


if __name__ == "__main__":
    main()
