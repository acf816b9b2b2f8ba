"""MLflow's application with Databricks' calls: `mlflow server --app-name countersign`.

It is MLflow's own, as MLflow serves it when no name is given, and an object rather than a factory, which MLflow starts
wrongly under one of its servers. The gate needs it not: that stands at the store.
"""

from __future__ import annotations

import os
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from mlflow_gate.databricks import Databricks
from mlflow_gate.settings import Settings


def _made() -> Any:
    """For uvicorn the one over ASGI, around MLflow's Flask application, which every other server gets. MLflow names its
    server in the environment; before 3.5 it had none but for WSGI. Raises MlflowException, and then MLflow does not
    start."""
    from mlflow.server import app as flask  # noqa: PLC0415

    try:
        settings = Settings.from_environment()
    except ValueError as error:
        raise MlflowException(f"The gate cannot stand: {error}", INVALID_PARAMETER_VALUE) from error
    prefix = os.environ.get("_MLFLOW_STATIC_PREFIX", "")
    flask.wsgi_app = Databricks(flask.wsgi_app, settings.countersign, prefix)
    if os.environ.get("_MLFLOW_SGI_NAME") != "uvicorn":
        return flask
    from mlflow.server.fastapi_app import app as around  # noqa: PLC0415

    return around


app = _made()
