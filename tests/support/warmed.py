"""What the process has made of which tests' MLflow servers are forks (tests.support.warm): MLflow imported, and its
database without a row, which takes longer to make than to copy."""

import gc
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.support.mlflow_server import GATE

sys.path.insert(0, str(GATE))
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for name in ("mlflow.cli", "mlflow.gateway", "prometheus_client", "uvicorn.main"):
    import_module(name)


def _empty_database() -> bytes:
    from mlflow.store.db import utils

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.sqlite3"
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")
        utils._initialize_tables(engine)
        engine.dispose()
        return path.read_bytes()


EMPTY_DATABASE = _empty_database()

gc.collect()
gc.freeze()  # each fork would look through all of it, and so copy it
