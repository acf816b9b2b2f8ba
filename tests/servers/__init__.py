"""Countersign against the MLflow servers that people run: `make test-mlflow`."""
