"""What the process has imported of which tests' MLflow servers are forks: tests.support.warm."""

import os
import sys
from importlib import import_module

from tests.support.mlflow_server import GATE

sys.path.insert(0, str(GATE))
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for name in ("mlflow.cli", "mlflow.gateway", "prometheus_client", "uvicorn.main"):
    import_module(name)
